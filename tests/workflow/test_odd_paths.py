"""The study in a clone whose path, line ends and home are unusual gives the numbers of an ordinary one."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.helpers.projects import ROOT, TINY_STUDY, commit_all, copy_project, run_in

pytestmark = pytest.mark.workflow

ODD = Path("it's a  folder", "50%20 ünï 病", "{x} $HOME [a] #1")
UNWRITABLE = "/proc"
"""A home that nobody can write to, the administrator included; docs/running.md says which variable it needs."""

OF_A_RUN = ("second", "mib", "finished_at", "git_commit")
"""Parts of the names of columns that differ from run to run: costs, time and the test repository's commit."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with core.autocrlf, below a folder with all kinds of characters, after the smallest study.

    Its cohort `ours` is the shipped Sepsis-3, in a file outside the repository, with a byte order mark and CRLF.
    """
    folder = tmp_path_factory.mktemp("odd")
    definition = folder / ODD / "my {y} 'SQL'" / "ours $1.sql"
    definition.parent.mkdir(parents=True)
    shipped = (ROOT / "workflow_scripts/cohorts/definitions/sepsis3.sql").read_text(encoding="utf-8")
    definition.write_text(shipped, encoding="utf-8-sig", newline="\r\n")
    study = TINY_STUDY | {
        "own_cohorts": {"ours": str(definition)},
        "cohorts": ["sepsis3", "ours"],
        "models": ["moirai-nano"],
        "baselines": ["persistence"],
        "arms": ["zero-shot", "lora"],
    }
    copy_project(folder / "origin", study)
    run_in(folder / "origin", "git", "init", "--quiet")
    commit_all(folder / "origin", "the project")
    target = str(folder / ODD / "project")
    run_in(
        folder, "git", "clone", "--quiet", "--config", "core.autocrlf=true", str(folder / "origin"), target
    )
    snakemake(Path(target))
    return Path(target)


def run_there(clone: Path, *command: str) -> str:
    """Run a command without a home, with caches in the clone's own `.snakemake`, which git ignores."""
    cache = str(clone / ".snakemake/cache")
    done = run_in(clone, *command, HOME=UNWRITABLE, XDG_CACHE_HOME=cache, DVC_SITE_CACHE_DIR=cache)
    return done.stdout + done.stderr


def snakemake(clone: Path) -> str:
    return run_there(clone, "snakemake", "--cores", "1")


def metrics(project: Path, cohort: str) -> dict[tuple[str, str], dict[str, str]]:
    """The numbers of a cohort's runs, without what differs from run to run: (model, arm) -> column -> text."""
    with (project / "results/simulated/summary/metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["cohort"] == cohort]
    return {
        (row["model"], row["arm"]): {
            name: text
            for name, text in row.items()
            if name != "cohort" and not any(part in name for part in OF_A_RUN)
        }
        for row in rows
    }


def test_the_runs_have_the_numbers_of_a_study_in_an_ordinary_folder(clone: Path, project: Path) -> None:
    """Source: the tiny study of the other workflow tests, in a folder without any such character."""
    found, ordinary = metrics(clone, "sepsis3"), metrics(project, "sepsis3")
    assert set(found) == {("moirai-nano", "zero-shot"), ("moirai-nano", "lora-r1"), ("moirai-nano", "lora-r2"),
                          ("persistence", "baseline")}  # fmt: skip
    assert found == {run: ordinary[run] for run in found}


def test_a_cohort_from_outside_with_a_byte_order_mark_is_the_shipped_one(clone: Path) -> None:
    cohorts = clone / "data/simulated/cohorts"
    ours, shipped = (pq.read_table(cohorts / f"{name}.parquet") for name in ("ours", "sepsis3"))
    assert ours.equals(shipped)
    assert metrics(clone, "ours") == metrics(clone, "sepsis3")


def test_nothing_is_left_to_do_and_nothing_lies_beside_the_clone(clone: Path) -> None:
    assert "Nothing to be done" in snakemake(clone)
    odd = clone.parents[len(ODD.parts)]
    assert sorted(path.name for path in odd.iterdir()) == sorted([ODD.parts[0], "origin"])
    above = clone
    for expected in [{"project", "my {y} 'SQL'"}, {ODD.parts[2]}, {ODD.parts[1]}]:
        above = above.parent
        assert {path.name for path in above.iterdir()} == expected
    assert not run_in(clone, "git", "status", "--porcelain").stdout


def test_the_results_are_verified_and_hold_no_patient(clone: Path) -> None:
    for step in ("verify_results", "check_privacy"):
        run_there(clone, "python", "-m", f"workflow_scripts.steps.{step}")


def test_the_adapter_that_mlflow_shows_forecasts_like_the_one_of_the_run(clone: Path, tmp_path: Path) -> None:
    """Source: the forecast with the run's own folder."""
    archives = list((clone / "mlartifacts").rglob("adapter.zip"))
    assert len(archives) == 4
    adapters = clone / "results/simulated/runs/sepsis3/heart_rate/moirai-nano/lora-r1/seed0/adapter"
    arm = (adapters / "arm.json").read_bytes()
    for number, archive in enumerate(archives):
        shutil.unpack_archive(archive, tmp_path / str(number))
    weights = (adapters / "adapter_model.safetensors").read_bytes()
    downloaded = next(
        path.parent
        for path in tmp_path.rglob("adapter_model.safetensors")
        if path.read_bytes() == weights and (path.parent / "arm.json").read_bytes() == arm
    )
    times = pd.date_range("2130-05-17", periods=30, freq="h")
    values = 80 + np.random.default_rng(0).normal(size=30).cumsum()
    pd.DataFrame({"series": "bed $1", "time": times, "value": values}).to_csv(
        tmp_path / "series.csv", index=False
    )
    for adapter, output in ((downloaded, "downloaded.csv"), (adapters, "run.csv")):
        options = ("--adapter", str(adapter), "--input", str(tmp_path / "series.csv"), "--samples", "20")
        written = (
            "--output",
            str(tmp_path / output),
            "--figure",
            str(tmp_path / output.replace(".csv", ".svg")),
        )
        run_there(clone, "python", "-m", "workflow_scripts.steps.forecast", *options, *written)
    assert (tmp_path / "downloaded.csv").read_bytes() == (tmp_path / "run.csv").read_bytes()


def test_dvc_records_the_study_there_with_its_cache_elsewhere(clone: Path, tmp_path: Path) -> None:
    """DVC itself fails where its cache is below a folder with braces; docs/running.md says what to do."""
    run_there(clone, "dvc", "cache", "dir", "--local", str(tmp_path / "cache"))
    run_there(clone, "dvc", "commit", "--force")
    assert "up to date" in run_there(clone, "dvc", "status")
    assert (clone / "dvc.lock").stat().st_size > 1000
