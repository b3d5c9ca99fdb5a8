"""A disk that is full, or that cannot be written, in each phase; and files whose times lie in the future."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.fault_study import (
    LORA,
    ORDINARY,
    RESULTS,
    STUDY,
    SUMMARY,
    UNTRACKED,
    compare,
    compare_part,
    copy_study,
    numbers,
    refused_once,
    run_again,
    set_study,
    tracked,
)
from tests.helpers.projects import run_in
from workflow_scripts.runtime.files import MARK

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


REPORT, FIGURES = RESULTS / "report.html", RESULTS / "figures"


def drawn(folder: Path) -> dict[str, bytes]:
    """The report's page and figures."""
    files = [folder / REPORT, *(folder / FIGURES).glob("[!.]*")]
    return {path.name: path.read_bytes() for path in files}


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
        (folder / MARK).write_text("made by vitalora")
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(folder)


@contextmanager
def filled_disk(folder: Path, content: Path, left: int) -> Iterator[Path]:
    """Put a copy of a folder onto a disk of its own with almost no space; give the file that takes the space."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        shutil.copytree(content, folder, symlinks=True, dirs_exist_ok=True)
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(folder).free - left))
        yield ballast
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
@pytest.mark.parametrize("left", [8 * 1024, 512 * 1024], ids=["no figure", "figures but no page"])
def test_a_report_on_a_full_disk_ends_in_one_message_and_is_written_afterwards(
    undisturbed, left: int, tmp_path: Path
) -> None:
    folder, kept = copy_study(undisturbed.project, tmp_path / "project"), tmp_path / "results"
    (folder / REPORT).unlink()
    shutil.rmtree(folder / FIGURES)
    (folder / RESULTS).rename(kept)
    with filled_disk(folder / RESULTS, kept, left) as ballast:
        text = refused_once(folder, str(REPORT))
        assert os.strerror(errno.ENOSPC) in text
        assert "what to do" in text
        assert not (folder / REPORT).exists()
        ballast.unlink()
        run_again(folder, str(REPORT))
        compare(folder, undisturbed.project)
        assert drawn(folder) == drawn(undisturbed.project)


@pytest.mark.faults
def test_a_project_on_a_full_disk_is_told_so_before_any_job(undisturbed, tmp_path: Path) -> None:
    """Snakemake's own log and notes lie on that disk too."""
    place, target = PHASES["train"]
    kept, folder = copy_study(undisturbed.project, tmp_path / "kept"), tmp_path / "project"
    shutil.rmtree(kept / place)
    with filled_disk(folder, kept, left=0) as ballast:
        text = refused_once(folder, target)
        assert os.strerror(errno.ENOSPC) in text
        assert "what to do" in text
        ballast.unlink()
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
def test_a_changed_setting_is_noticed_although_the_clock_went_back(undisturbed, tmp_path: Path) -> None:
    """Files a day ahead stand for a clock that went back a day after they were made."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    files = [path for name in ("data", "results", "weights", "logs") for path in (folder / name).rglob("*")]
    ahead = time.time() + 86_400
    for path in files:
        os.utime(path, (ahead, ahead))
    assert "Nothing to be done" in run_again(folder), "equal times are no reason to repeat anything"
    changed = STUDY | {"training": STUDY["training"] | {"steps": 2}}
    set_study(folder, changed)
    text = refused_once(folder)
    assert "a time in the future" in text
    assert "repair_results --delete" in text
    repair = (sys.executable, "-m", "workflow_scripts.steps.repair_results")
    assert "in the future: " in run_in(folder, *repair, expect=1, PYTHONPATH=str(folder)).stdout
    run_in(folder, *repair, "--delete", PYTHONPATH=str(folder))
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
