"""A disk that is full, or that cannot be written, in each phase; and files whose times lie in the future."""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_study import (
    LORA,
    ORDINARY,
    STUDY,
    SUMMARY,
    UNTRACKED,
    compare_part,
    copy_study,
    numbers,
    refused_once,
    run_again,
    set_study,
    tracked,
)
from projects import run_in

pytestmark = pytest.mark.workflow

PHASES = {
    "simulate": ("data/raw/simulated", "simulated_tables"),
    "extract": ("data/simulated/events", "data/simulated/events/vitals.parquet"),
    "label": ("data/simulated/cohorts", "data/simulated/cohorts/sepsis3.parquet"),
    "windows": ("data/simulated/windows", "data/simulated/windows/sepsis3/heart_rate.parquet"),
    "weights": ("weights/prepared", "weights"),
    "train": (str(LORA), str(LORA / "run.json")),
    "tables": (str(SUMMARY), str(SUMMARY / "metrics.csv")),
}
"""A phase of the study, the folder that it writes, and what to ask of Snakemake for it."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for a folder, with almost no space. Skips where this machine lets nobody mount one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        # Snakemake removes folders that are empty, and nobody can remove a mounted one.
        (folder / "keep").write_text("It is no result cut short.")
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "phase", ["train", *(pytest.param(name, marks=pytest.mark.faults) for name in PHASES if name != "train")]
)
def test_a_full_disk_ends_in_one_message_and_the_phase_goes_on_afterwards(
    undisturbed, phase: str, tmp_path: Path
) -> None:
    place, target = PHASES[phase]
    folder = copy_study(undisturbed.project, tmp_path / "project")
    set_study(folder, UNTRACKED)
    with small_disk(folder / place):
        text = refused_once(folder, target)
        assert os.strerror(errno.ENOSPC) in text
        assert "what to do" in text
    run_again(folder, target)
    compare_part(folder, undisturbed.project, place)


@pytest.mark.faults
def test_results_that_cannot_be_written_are_named(undisturbed, tmp_path: Path) -> None:
    place, target = PHASES["train"]
    folder = copy_study(undisturbed.project, tmp_path / "project")
    set_study(folder, UNTRACKED)
    with small_disk(folder / place):
        subprocess.run(["mount", "-o", "remount,ro", str(folder / place)], check=True)
        assert os.strerror(errno.EROFS) in refused_once(folder, target)
    run_again(folder, target)
    compare_part(folder, undisturbed.project, place)


@pytest.mark.faults
def test_a_changed_setting_is_noticed_although_the_clock_went_back(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Files a day ahead stand for a clock that went back a day after they were made."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    files = [path for name in ("data", "results", "weights", "logs") for path in (folder / name).rglob("*")]
    ahead = time.time() + 86_400
    for path in files:
        os.utime(path, (ahead, ahead))
    record_property("injected", 2)
    assert "Nothing to be done" in run_again(folder), "equal times are no reason to repeat anything"
    changed = STUDY | {"training": STUDY["training"] | {"steps": 2}}
    set_study(folder, changed)
    planned = run_in(folder, *ORDINARY, "--dry-run").stdout
    assert "adapt_and_forecast" in planned
    assert "make_windows" not in planned


@pytest.mark.faults
def test_a_full_disk_below_mlflow_costs_no_run_and_is_made_good_afterwards(
    undisturbed, tmp_path: Path
) -> None:
    place, target = PHASES["train"]
    folder = copy_study(undisturbed.project, tmp_path / "project")
    set_study(folder, STUDY | {"tracking": {"uri": "sqlite:///store/mlflow.db"}})
    shutil.rmtree(folder / place)
    with small_disk(folder / "store"):
        run_again(folder, target)
        compare_part(folder, undisturbed.project, place)
        assert "MLflow" in refused_once(folder)
    run_again(folder)
    assert tracked(folder / "store") == tracked(undisturbed.project)
    assert numbers(folder) == numbers(undisturbed.project)
