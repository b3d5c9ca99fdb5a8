"""docs/browsing-runs.md against what MLflow and DVC really have."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.finished_runs import finished_run
from tests.helpers.projects import ROOT, run_in
from workflow_scripts.tracking.pages import run_page
from workflow_scripts.tracking.sweeps import read_sweeps

DOCUMENT = ROOT / "docs" / "browsing-runs.md"


def test_every_metric_of_a_run_is_listed(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", text))
    (sweep,) = read_sweeps("simulated", [finished_run(tmp_path, "lora-r2", loss=1.0)])
    page = run_page(sweep.runs[0])
    assert {*page.metrics, *page.curves, *page.tags} <= listed | set(re.findall(r"`([\w.]+)`", text))


def test_the_screenshots_are_there_and_small() -> None:
    names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", DOCUMENT.read_text(encoding="utf-8"))
    sizes = [(DOCUMENT.parent / name).stat().st_size for name in names]
    assert len(sizes) == 3
    assert sum(sizes) < 300_000


@pytest.mark.workflow
def test_dvc_draws_a_line_for_each_sweep(tmp_path: Path) -> None:
    """Expected: the plot that DVC itself writes, with the template of this repository."""
    run_in(tmp_path, "git", "init", "--quiet")
    run_in(tmp_path, "dvc", "init", "--quiet")
    shutil.copytree(ROOT / ".dvc" / "plots", tmp_path / ".dvc" / "plots")
    rows = [f"{model},{rank},0.{rank}" for model in ("a", "b") for rank in (1, 2)]
    (tmp_path / "error.csv").write_text("\n".join(["subject,rank,mse", *rows]) + "\n")
    (tmp_path / "dvc.yaml").write_text(
        "plots:\n  - Error against rank:\n      x: rank\n      y:\n        error.csv: mse\n"
        "      template: error_by_rank\n"
    )
    run_in(tmp_path, "dvc", "plots", "show", "--out", "page")
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    start = page.index("var spec = ") + len("var spec = ")
    drawn, _ = json.JSONDecoder().raw_decode(page[start:])
    assert drawn["encoding"]["color"]["field"] == "subject"
    assert {(row["subject"], row["rank"], row["mse"]) for row in drawn["data"]["values"]} == {
        ("a", "1", "0.1"),
        ("a", "2", "0.2"),
        ("b", "1", "0.1"),
        ("b", "2", "0.2"),
    }
