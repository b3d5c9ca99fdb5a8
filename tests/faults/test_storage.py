"""A disk that is full, or that cannot be written, in each phase; and files whose times lie in the future."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from fault_study import ORDINARY, RESULTS, STUDY, compare, copy_study, refused_once, run_again
from patient_data import assert_no_patient_data
from projects import run_in

pytestmark = pytest.mark.workflow

PHASES = {
    "simulate": "data/raw/simulated",
    "extract": "data/simulated/events",
    "label": "data/simulated/cohorts",
    "windows": "data/simulated/windows",
    "weights": "weights/prepared",
    "runs": f"{RESULTS}/runs",
    "tables": f"{RESULTS}/summary",
}
"""A phase of the study, and the folder that it writes."""

LATER = {"simulate": ("data", "results"), "extract": ("data/simulated", "results"), "label": ("results",)}
"""What is removed besides, so that the phase has something to do. Where nothing is named: the last results."""


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
        (folder / "keep").touch()
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(folder)


def made_needed(folder: Path, phase: str) -> None:
    """Remove what came of a phase, so that the next command has to go through it."""
    for name in LATER.get(phase, ()):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / RESULTS / "report.html").unlink(missing_ok=True)
    shutil.rmtree(folder / RESULTS / "summary", ignore_errors=True)
    shutil.rmtree(folder / "data/simulated/cohorts", ignore_errors=True)


@pytest.mark.parametrize(
    "phase", ["runs", *(pytest.param(name, marks=pytest.mark.faults) for name in PHASES if name != "runs")]
)
def test_a_full_disk_ends_in_one_message_and_the_study_goes_on_afterwards(
    undisturbed, phase: str, tmp_path: Path
) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    made_needed(folder, phase)
    with small_disk(folder / PHASES[phase]):
        text = refused_once(folder)
        assert os.strerror(28) in text
        assert "what to do" in text
        assert_no_patient_data([folder / "logs"], folder, "simulated")
    run_again(folder)
    compare(folder, undisturbed.project)


@pytest.mark.faults
def test_results_that_cannot_be_written_are_named(undisturbed, tmp_path: Path) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    made_needed(folder, "runs")
    place = folder / RESULTS / "runs"
    with small_disk(place):
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert "Read-only file system" in refused_once(folder)
    run_again(folder)
    compare(folder, undisturbed.project)


@pytest.mark.faults
def test_a_changed_setting_is_noticed_although_the_clock_went_back(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Files a day ahead stand for a clock that went back a day after they were made."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    files = [path for name in ("data", "results", "weights") for path in (folder / name).rglob("*")]
    ahead = time.time() + 86_400
    for path in files:
        os.utime(path, (ahead, ahead))
    record_property("injected", 2)
    assert "Nothing to be done" in run_again(folder), "equal times are no reason to repeat anything"
    changed = STUDY | {"training": STUDY["training"] | {"steps": 4}}
    (folder / "params.yaml").write_text(yaml.safe_dump(changed))
    planned = run_in(folder, *ORDINARY, "--dry-run").stdout
    assert "adapt_and_forecast" in planned
    assert "make_windows" not in planned
    (folder / "params.yaml").write_text(yaml.safe_dump(STUDY))
    run_again(folder)
    compare(folder, undisturbed.project)
