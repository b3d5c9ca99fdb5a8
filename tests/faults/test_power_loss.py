"""Files cut short, as a power failure leaves them on a file system that had only their names on disk."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.fault_study import LORA, LostError, compare, compare_part, copy_study, run_again
from tests.helpers.projects import run_in
from workflow_scripts.runtime.completeness import incomplete_files
from workflow_scripts.steps.repair_results import result_folders

pytestmark = pytest.mark.workflow

REPAIR = (sys.executable, "-m", "workflow_scripts.steps.repair_results")
AGAIN = "to make them again: "


def cut(path: Path, share: float) -> None:
    """Keep the first part of a file, and its times. A cut at a line's end is not seen, so it falls before one."""
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)].rstrip(b"\n"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def results(folder: Path) -> Iterator[Path]:
    """Every file that a rule made, but settings, copied model cards and Snakemake's own."""
    for place in ("data/simulated", "data/raw/simulated", "weights/prepared", "results"):
        for path in sorted((folder / place).rglob("*")):
            hidden = path.name.startswith(".")
            if path.is_file() and not hidden and path.parent.name != "settings" and path.suffix != ".md":
                yield path


def repaired(folder: Path) -> str:
    """What the repair prints, first as a list, then with --delete."""
    listed = run_in(folder, *REPAIR, expect=1, PYTHONPATH=str(folder)).stdout
    deleted = run_in(folder, *REPAIR, "--delete", PYTHONPATH=str(folder)).stdout
    return listed + deleted


def test_an_adapter_cut_short_is_listed_then_deleted_with_its_run_and_made_again(
    undisturbed, tmp_path: Path
) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    adapter = LORA / "adapter/adapter_model.safetensors"
    cut(folder / adapter, 0.5)
    listed = run_in(folder, *REPAIR, expect=1, PYTHONPATH=str(folder)).stdout
    assert f"incomplete: {adapter}\n" in listed
    assert listed.count("incomplete: ") == 1
    assert (folder / adapter).exists(), "a list deletes nothing"
    run_in(folder, *REPAIR, "--delete", PYTHONPATH=str(folder))
    assert not (folder / LORA).exists()
    run_again(folder, str(LORA / "run.json"))
    compare_part(folder, undisturbed.project, str(LORA))


@pytest.mark.faults
def test_all_results_cut_short_at_once_are_made_again_by_the_printed_commands(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    damaged = list(results(folder))
    for path in damaged:
        cut(path, 0.5)
    record_property("injected", len(damaged))
    lines = repaired(folder).splitlines()
    for command in dict.fromkeys(line.removeprefix(AGAIN) for line in lines if line.startswith(AGAIN)):
        run_in(folder, *shlex.split(command))
    run_again(folder)
    compare(folder, undisturbed.project)


@pytest.mark.parametrize("share", [0.5, pytest.param(0.0, marks=pytest.mark.faults)])
def test_every_single_result_cut_short_is_found(
    undisturbed,
    share: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """One after another, so that none is found only because another was."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    monkeypatch.chdir(folder)
    files, folders = list(results(Path())), result_folders()
    missed = []
    for path in files:
        content = path.read_bytes()
        cut(path, share)
        searched = any(path.is_relative_to(place) for place in folders)
        if not searched or list(incomplete_files([path.parent])) != [path]:
            missed.append(str(path))
        path.write_bytes(content)
    record_property("injected", len(files))
    assert missed == []


INPUTS = {
    "label_cohort": "data/simulated/events/icustays.parquet",
    "make_windows": "data/simulated/cohorts/sepsis3.parquet",
    "run_arm": "data/simulated/windows/sepsis3/heart_rate.parquet",
    "aggregate_metrics": f"{LORA}/forecasts.parquet",
    "make_report": "results/simulated/summary/metrics.csv",
}
"""A step, and a file that it reads."""
OUTPUTS = {
    "label_cohort": "data/simulated/cohorts/sepsis3.parquet",
    "make_windows": "data/simulated/windows/sepsis3/heart_rate.parquet",
    "run_arm": f"{LORA}/run.json",
    "aggregate_metrics": "results/simulated/summary/metrics.csv",
    "make_report": "results/simulated/report.html",
}


@pytest.mark.faults
@pytest.mark.parametrize("step", INPUTS)
def test_a_step_whose_input_is_cut_short_names_the_file_and_writes_nothing(
    undisturbed, step: str, tmp_path: Path
) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    cut(folder / INPUTS[step], 0.5)
    (folder / OUTPUTS[step]).unlink()
    done = run_in(folder, "snakemake", "--cores", "2", OUTPUTS[step], expect=1)
    text = done.stdout + done.stderr
    if INPUTS[step] not in text or "what to do" not in text or "Traceback" in text:
        raise LostError(f"no message that names {INPUTS[step]}: {text}")
    assert not (folder / OUTPUTS[step]).exists()
