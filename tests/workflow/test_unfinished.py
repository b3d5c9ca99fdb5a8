"""A study of which some runs never finish still gets its tables and its report, and says what is missing."""

import csv
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.helpers.projects import run_in
from workflow_scripts.runtime.hashing import file_hash

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


def test_after_a_failed_job_mlflow_shows_the_runs_that_finished_and_names_the_missing_one(
    changed_project: Path,
) -> None:
    baseline = changed_project / "results/simulated/runs/sepsis3/heart_rate/persistence/baseline/seed0"
    before = file_hash(baseline / "run.json")
    shutil.rmtree(changed_project / ARM)
    shutil.rmtree(baseline)
    (changed_project / "results/simulated/summary/tracking.json").unlink()
    damage(changed_project / "weights/prepared/moirai-nano/model.safetensors")
    run_in(changed_project, "snakemake", "--cores", "2", "--keep-going", expect=1)
    with sqlite3.connect(changed_project / "mlflow.db") as store:
        tags = store.execute(
            "select run_uuid, key, value from tags join runs using (run_uuid) where lifecycle_stage = 'active'"
        ).fetchall()
    pages: dict[str, dict[str, str]] = {}
    for page, name, value in tags:
        pages.setdefault(page, {})[name] = value
    (sweep,) = [page for page in pages.values() if page.get("runs") == "3 of 4"]
    assert sweep["model"] == "moirai-nano"
    assert "lora-r2 seed0" in sweep["mlflow.note.content"]
    shown = {page["vitalora.record"] for page in pages.values()}
    after = file_hash(baseline / "run.json")
    assert after in shown
    assert before not in shown


def damage(path: Path) -> None:
    """Other bytes under the same time: Snakemake sees no change, and the job that reads it fails."""
    times = path.stat()
    path.write_bytes(b"damaged")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
