"""What comes from outside runs again where its content is another one, whatever its time says."""

import csv
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.own_tables import own_tables
from tests.helpers.projects import TINY_STUDY, commit_all, copy_project, run_in

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

MODEL = "chronos-t5-nano"
RESULTS, WINDOWS = Path("results/our-hospital"), Path("data/our-hospital/windows/all/heart_rate.parquet")
VALUES = Path("data/raw/our-hospital/vitals.parquet")
LONG_AGO = 1_500_000_000


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A study of own tables, with weights that a path names, finished and recorded by `dvc repro`."""
    own_tables(tmp_path / "kept-elsewhere")
    folder = tmp_path / "project"
    study = TINY_STUDY | {
        "dataset": "our-hospital",
        "cohorts": ["all"],
        "models": [MODEL],
        "baselines": ["persistence"],
        "arms": ["zero-shot"],
        "weights": {MODEL: str(tmp_path / "weights")},
    }
    copy_project(folder, study)
    shutil.copytree(folder / "weights/embedded" / MODEL, tmp_path / "weights")
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/our-hospital").symlink_to(tmp_path / "kept-elsewhere")
    run_in(folder, "git", "init", "--quiet")
    commit_all(folder, "the project")
    run_in(folder, "dvc", "repro")
    return folder


def errors(project: Path) -> dict[str, float]:
    """Model -> its mean squared error."""
    with (project / RESULTS / "summary/metrics.csv").open(newline="") as file:
        return {row["model"]: float(row["mse"]) for row in csv.DictReader(file)}


def put_older(path: Path, content: Path) -> None:
    """Put a file in the place of another one, with a time long before any result."""
    os.utime(content, (LONG_AGO, LONG_AGO))
    content.replace(path)


def recorded_hashes(project: Path) -> dict[str, str]:
    """Path -> the hash that dvc.lock has of it, over all stages."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"].values()
    return {each["path"]: each["md5"] for stage in stages for each in stage["deps"] + stage["outs"]}


def test_an_older_table_and_older_weights_are_read_again_verified_and_recorded_together(
    project: Path,
) -> None:
    verify = ("python", "-m", "workflow_scripts.steps.verify_results")
    before, lock = errors(project), recorded_hashes(project)
    assert "2 of 2 runs" in run_in(project, *verify).stdout

    # A tenth of every deviation: the error of persistence must become a hundredth.
    table = pd.read_parquet(project / VALUES)
    table["value"] = 120 + (table["value"] - 80) / 10
    table.to_parquet(project.parent / "other.parquet", index=False, coerce_timestamps="us")
    put_older((project / VALUES).resolve(), project.parent / "other.parquet")
    told = run_in(project, *verify, expect=1)
    assert f"{WINDOWS}: older than data/raw/our-hospital" in told.stdout
    assert "0 of 2 runs of our-hospital reproduced" in told.stdout
    assert "start the workflow again" in told.stderr
    refused = run_in(project, "snakemake", "--touch", "--cores", "1", expect=1)
    assert "own_tables.all.json" in refused.stderr
    run_in(project, "dvc", "repro")
    after, new_lock = errors(project), recorded_hashes(project)
    assert after["persistence"] == pytest.approx(before["persistence"] / 100, rel=1e-4)
    for path in ("data/raw/our-hospital", "data/our-hospital", f"{RESULTS}/runs"):
        assert new_lock[path] != lock[path]
    assert "up to date" in run_in(project, "dvc", "status").stdout
    assert "2 of 2 runs" in run_in(project, *verify).stdout

    # The same link to another folder, whose files are older than everything.
    other = own_tables(project.parent / "kept-still-elsewhere", seed=1)
    for path in other.rglob("*.parquet"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    (project / "data/raw/our-hospital").unlink()
    (project / "data/raw/our-hospital").symlink_to(other)
    run_in(project, "snakemake", "--cores", "1")
    assert errors(project)["persistence"] > after["persistence"] * 50

    # Weights that a path names, replaced by an older file: the embedded model's, in which one tensor is another.
    weights = project.parent / "weights/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 0x10
    (project.parent / "other.safetensors").write_bytes(content)
    put_older(weights, project.parent / "other.safetensors")
    told = run_in(project, *verify, expect=1)
    assert f"weights/prepared/{MODEL}: older than {project.parent}/weights" in told.stdout
    run_in(project, "snakemake", "--cores", "1")
    assert "2 of 2 runs" in run_in(project, *verify).stdout
    record = json.loads((project / "weights/prepared" / MODEL / "provenance.json").read_text())
    assert record["read"]["model.safetensors"] == record["sha256"]["model.safetensors"]


def test_a_cohort_s_sql_outside_of_the_repository_labels_again_where_its_text_is_another_one(
    tmp_path: Path,
) -> None:
    sql = tmp_path / "mine.sql"
    study = TINY_STUDY | {"own_cohorts": {"mine": str(sql)}, "cohorts": ["mine"]}
    folder = copy_project(tmp_path / "project", study)
    sql.write_text("SELECT icustay_id, NULL::TIMESTAMP AS onset FROM icustays\n")
    cohort = "data/simulated/cohorts/mine.parquet"
    run_in(folder, "snakemake", "--cores", "1", cohort)
    first = pd.read_parquet(folder / cohort)["included"].sum()
    (tmp_path / "other.sql").write_text(f"{sql.read_text()}WHERE icustay_id % 2 = 0\n")
    put_older(sql, tmp_path / "other.sql")
    told = run_in(folder, "python", "-m", "workflow_scripts.steps.verify_results", expect=1)
    assert f"{cohort}: older than {sql}" in told.stdout
    run_in(folder, "snakemake", "--cores", "1", cohort)
    told = run_in(folder, "python", "-m", "workflow_scripts.steps.verify_results", expect=1)
    assert "older than" not in told.stdout
    assert 0 < pd.read_parquet(folder / cohort)["included"].sum() < first
