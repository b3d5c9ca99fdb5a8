"""Files cut short, as a power failure leaves them on a file system that had only their names on disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.fault_study import LORA, compare, compare_part, copy_study, run_again
from workflow_scripts.runtime import recovery
from workflow_scripts.runtime.recovery import recover

pytestmark = pytest.mark.workflow


def cut(path: Path, share: float) -> None:
    """Keep the first part of a file, and its times. A cut at a line's end is not seen, so it falls before one."""
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)].rstrip(b"\n"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def results(folder: Path) -> Iterator[Path]:
    """Every file that a rule made, but settings, compressed tables, copied model cards and Snakemake's own."""
    for place in ("data/simulated", "weights/prepared", "results"):
        for path in sorted((folder / place).rglob("*")):
            hidden = path.name.startswith(".")
            if path.is_file() and not hidden and path.parent.name != "settings" and path.suffix != ".md":
                yield path


def test_an_adapter_cut_short_is_noticed_and_made_again(undisturbed, tmp_path: Path) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    cut(folder / LORA / "adapter/adapter_model.safetensors", 0.5)
    record = str(LORA / "run.json")
    assert "is cut short" in run_again(folder, record)
    compare_part(folder, undisturbed.project, str(LORA))


@pytest.mark.faults
def test_all_results_cut_short_at_once_are_made_again(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_study(undisturbed.project, tmp_path / "project")
    damaged = list(results(folder))
    for path in damaged:
        cut(path, 0.5)
    record_property("injected", len(damaged))
    run_again(folder)
    compare(folder, undisturbed.project)


@pytest.mark.parametrize("share", [0.5, pytest.param(0.0, marks=pytest.mark.faults)])
def test_every_single_result_cut_short_is_cleared_away(
    undisturbed,
    share: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """One after another, so that none is noticed only because another was."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    monkeypatch.chdir(folder)
    files = list(results(Path()))
    contents = {path: path.read_bytes() for path in files}
    missed = []
    for path in files:
        cut(path, share)
        recover([], Path(".snakemake"))
        # A Snakemake keeps its lock until it ends.
        recovery._HANDLES.clear()
        if path.exists():
            missed.append(str(path))
        for name, content in contents.items():
            if not name.exists():
                name.parent.mkdir(parents=True, exist_ok=True)
                name.write_bytes(content)
        path.write_bytes(contents[path])
    record_property("injected", len(files))
    assert missed == []
