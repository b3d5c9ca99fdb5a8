"""repair_results lists what is broken, changes nothing until it is asked to, and says how to make it again."""

import os
import time
from pathlib import Path

import pytest

from workflow_scripts.steps.repair_results import repair_results

RUN = "results/simulated/runs/sepsis3/heart_rate/moirai-nano/full/seed0"
COMPLETE = {
    f"{RUN}/run.json": "{}",
    "results/simulated/summary/metrics.csv": "model\na\n",
    "results/simulated/figures/a.svg": "<svg></svg>",
    "weights/prepared/moirai-nano/provenance.json": "{}",
    "data/simulated/cohorts/sepsis3.attrition.csv": "step\na\n",
}
BROKEN = {
    f"{RUN}/adapter/adapter_config.json": '{"r"',
    "results/simulated/report.html": "<html>",
    "results/simulated/figures/b.svg": "<svg>",
    "weights/prepared/moirai-nano/config.json": "{",
}
LEFT_OVER = "data/simulated/events/.vitals.parquet.abc.part"
OF_THE_USER = "data/raw/mimic-iii/PATIENTS.csv"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (COMPLETE | BROKEN | {LEFT_OVER: "half", OF_THE_USER: ""}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    tomorrow = time.time() + 86_400
    os.utime(tmp_path / "results/simulated/summary/metrics.csv", (tomorrow, tomorrow))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_lists_every_problem_and_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(project)
    with pytest.raises(SystemExit, match="1"):
        repair_results(delete=False)
    printed = capsys.readouterr().out
    assert {
        line.removeprefix("incomplete: ") for line in printed.splitlines() if line.startswith("incomplete")
    } == set(BROKEN)
    assert f"left over: {LEFT_OVER}" in printed
    assert "in the future: results/simulated/summary/metrics.csv" in printed
    assert files(project) == before


def test_with_delete_goes_all_that_the_job_of_an_incomplete_file_made_and_nothing_else(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repair_results(delete=True)
    left = files(project)
    assert set(left) == {
        "results/simulated/summary/metrics.csv",
        "data/simulated/cohorts/sepsis3.attrition.csv",
        OF_THE_USER,
    }
    assert left["results/simulated/summary/metrics.csv"] <= time.time_ns()
    (shared, study) = sorted(
        line.partition("again: ")[2] for line in capsys.readouterr().out.splitlines() if "again: " in line
    )
    assert shared == "snakemake --cores all -- all weights/prepared/moirai-nano/model.safetensors"
    assert study.startswith("snakemake --cores all --config dataset=simulated -- all ")
    assert set(study.partition("-- all ")[2].split()) == {
        f"{RUN}/run.json",
        "results/simulated/report.html",
        "results/simulated/figures",
    }


def test_where_nothing_is_wrong_it_says_so(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    repair_results(delete=False)
    assert "every result is complete" in capsys.readouterr().out
