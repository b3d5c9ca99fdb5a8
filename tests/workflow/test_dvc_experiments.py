"""The DVC commands of docs/browsing-runs.md, as the page has them, against the tables that the study wrote."""

import csv
from pathlib import Path

import pytest

from tests.helpers.documents import blocks
from tests.helpers.projects import run_in

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

COMMANDS = next(
    block.commands for block in blocks("browsing-runs.md") if block.mark.endswith("test_dvc_experiments.py")
)


def table_of(text: str) -> list[dict[str, str]]:
    """A Markdown table's rows by their heads."""
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def errors_of(project: Path) -> dict[str, float]:
    """Arm -> the MSE of its one seed, by the summary."""
    with (project / "results/simulated/summary/metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "chronos-t5-nano"]
    return {row["arm"]: float(row["mse"]) for row in rows}


def test_dvc_shows_the_study_and_runs_an_experiment_beside_it(changed_project: Path) -> None:
    before = errors_of(changed_project)
    assert "lora-r2" in before
    done = [run_in(changed_project, *command) for command in COMMANDS]
    metrics, _, experiment, shown, difference = (each.stdout for each in done)

    of_arm = {Path(row["Path"]).stem.partition("chronos-t5-nano.")[2]: row for row in table_of(metrics)}
    for arm, mse in before.items():
        assert float(of_arm[arm]["mse"]) == pytest.approx(mse, abs=1e-6)
    page = (changed_project / "plots" / "index.html").read_text(encoding="utf-8")
    assert "Mean squared error of the scaled series against rank" in page

    # One rank fewer: nothing is trained, only the tables and the report are made anew.
    jobs = experiment + done[2].stderr
    assert "aggregate_metrics" in jobs
    assert "adapt_and_forecast" not in jobs
    assert errors_of(changed_project) == {arm: mse for arm, mse in before.items() if arm != "lora-r2"}
    (row,) = [row for row in table_of(shown) if "one-rank" in row["Experiment"]]
    (other,) = [row for row in table_of(shown) if row["Experiment"] in ("main", "master")]
    assert (row["ranks"], other["ranks"]) == ("[1]", "[1, 2]")
    (rank_two,) = [name for name in row if name.endswith("lora-r2.json:mse")]
    assert row[rank_two] == "-"
    assert float(other[rank_two]) == pytest.approx(before["lora-r2"], rel=1e-4)
    assert "lora-r2" in difference

    run_in(changed_project, "git", "checkout", "params.yaml", "dvc.lock")
    run_in(changed_project, "dvc", "checkout")
    assert errors_of(changed_project) == before
