"""Files cut short, as a power failure leaves them on a file system that had only their names on disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_study import RESULTS, SUMMARY, compare, copy_study, run_again

from workflow_scripts.runtime.recovery import recover

pytestmark = pytest.mark.workflow

RUN = f"{RESULTS}/runs/sepsis3/heart_rate/moirai-nano"
EACH = {
    "an adapter": f"{RUN}/lora-r2/seed0/adapter/adapter_model.safetensors",
    "an adapter's description": f"{RUN}/lora-r2/seed0/adapter/arm.json",
    "forecasts": f"{RUN}/full/seed0/forecasts.parquet",
    "a record": f"{RUN}/zero-shot/seed0/run.json",
    "windows": "data/simulated/windows/sepsis3/heart_rate.parquet",
    "a cohort": "data/simulated/cohorts/sepsis3.parquet",
    "weights": "weights/prepared/moirai-nano/model.safetensors",
    "the summary": f"{SUMMARY}/metrics.csv",
    "MLflow's summary": f"{SUMMARY}/tracking.json",
    "the report": f"{RESULTS}/report.html",
    "a page of the cohort": "data/simulated/cohorts/sepsis3.table_one.html",
}
QUICK = "an adapter"


def cut(path: Path, share: float) -> None:
    """Keep the first part of a file, and its times."""
    status = path.stat()
    os.truncate(path, int(status.st_size * share))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def results(folder: Path) -> Iterator[Path]:
    """Every file that a rule made, but settings, compressed tables and Snakemake's own."""
    for place in ("data/simulated", "weights/prepared", "results"):
        for path in sorted((folder / place).rglob("*")):
            hidden = path.name.startswith(".")
            if path.is_file() and not hidden and path.parent.name != "settings":
                yield path


@pytest.mark.parametrize(
    "name", [QUICK, *(pytest.param(name, marks=pytest.mark.faults) for name in EACH if name != QUICK)]
)
def test_a_result_cut_short_is_noticed_and_made_again(undisturbed, name: str, tmp_path: Path) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    cut(folder / EACH[name], 0.5)
    assert "is cut short" in run_again(folder)
    compare(folder, undisturbed.project)


@pytest.mark.faults
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_all_results_cut_short_at_once_are_made_again(
    undisturbed, share: float, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    damaged = list(results(folder))
    for path in damaged:
        cut(path, share)
    record_property("injected", len(damaged))
    run_again(folder)
    compare(folder, undisturbed.project)


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_every_single_result_cut_short_is_cleared_away(
    undisturbed,
    share: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """One after another, so that none is noticed only because another was. A cut at a line's end is not seen."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    monkeypatch.chdir(folder)
    files = list(results(Path()))
    contents = {path: path.read_bytes() for path in files}
    missed = []
    for path in files:
        cut(path, share)
        recover([], Path(".snakemake"))
        if path.exists():
            missed.append(str(path))
        for name, content in contents.items():
            if not name.exists():
                name.parent.mkdir(parents=True, exist_ok=True)
                name.write_bytes(content)
        path.write_bytes(contents[path])
    record_property("injected", len(files))
    assert missed == []
