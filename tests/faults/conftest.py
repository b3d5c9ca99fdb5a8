"""The undisturbed study, made once; the marker `faults` chooses the full catalogue."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_hook import set_hook
from fault_study import ORDINARY, STUDY
from projects import copy_project, run_in


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the full catalogue to those who ask for it (`-m faults`, or `make faults`)."""
    if "faults" in config.option.markexpr:
        return
    full = [item for item in items if item.get_closest_marker("faults")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


@dataclass(frozen=True)
class Undisturbed:
    """project: the finished study. empty: the project before it. profiles: how much each job does (fault_hook)."""

    project: Path
    empty: Path
    profiles: Path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    empty = copy_project(folder / "empty", STUDY)
    project = copy_project(folder / "project", STUDY)
    set_hook(project, folder / "profiles", profiling=True)
    run_in(project, *ORDINARY, VITALORA_WARM="0")
    (project / "sitecustomize.py").unlink()
    return Undisturbed(project, empty, folder / "profiles")
