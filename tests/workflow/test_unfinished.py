"""A study of which some runs never finish still gets its tables and its report, and says what is missing."""

import csv
import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.projects import run_in

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

ARM = "results/simulated/runs/sepsis3/heart_rate/moirai-nano/lora-r2"
LOG = "logs/simulated/run_arm/sepsis3-heart_rate-moirai-nano-lora-r2-seed0.log"


def test_missing_runs_are_named_with_their_reason_and_run_when_the_study_goes_on(
    changed_project: Path,
) -> None:
    shutil.rmtree(changed_project / ARM)
    error = "error: moirai-nano\n  found:      no room for 300 MiB\n  expected:   more\n  what to do: wait\n"
    (changed_project / LOG).write_text(error, encoding="utf-8")
    run_in(changed_project, "snakemake", "--cores", "2", "--config", "unfinished=true")
    assert not (changed_project / ARM / "seed0/run.json").exists()
    with (changed_project / "results/simulated/summary/metrics.csv").open(encoding="utf-8") as file:
        rows = {(row["model"], row["arm"]): row for row in csv.DictReader(file)}
    missing = rows.pop(("moirai-nano", "lora-r2"))
    assert (missing["status"], missing["mse"], missing["total_seconds"]) == ("missing", "", "")
    assert missing["reason"] == "not finished: moirai-nano: no room for 300 MiB"
    assert {row["status"] for row in rows.values()} == {"ok"}
    report = (changed_project / "results/simulated/report.html").read_text(encoding="utf-8")
    assert "1 of 14 runs have not finished" in report
    assert "no room for 300 MiB" in report
    planned = run_in(changed_project, "snakemake", "--cores", "2", "--dry-run").stdout
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned, flags=re.MULTILINE))
    assert jobs["adapt_and_forecast"] == "1"
    assert jobs["make_report"] == "1"
