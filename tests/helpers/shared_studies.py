"""The finished studies that tests look at: each is made once, whoever asks first. Tests that change one copy it."""

import compileall
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.fault_hook import set_hook
from tests.helpers.fault_study import STUDY
from tests.helpers.network_trap import TRAPPED, off_the_network, set_trap
from tests.helpers.projects import TINY_STUDY, commit_all, copy_project, run_in


@contextmanager
def made_once(tests: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """The folder of a study, and whether it still has to be made; the processes of one test session share it."""
    session = tests.getbasetemp()
    folder = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, not (folder / "made").exists()
        (folder / "made").touch()


def finished_study(tests: pytest.TempPathFactory) -> Path:
    """The tiny study by `dvc repro`, which runs Snakemake for every stage; in a repository of its own.

    No process of the study has a network, and a trap notes what asks for one in the file TRAPPED beside it.
    """
    with made_once(tests, "finished") as (shared, missing):
        folder = shared / "project"
        if missing:
            copy_project(folder, TINY_STUDY)
            run_in(folder, "git", "init", "--quiet")
            commit_all(folder, "the project")
            set_trap(folder, shared / TRAPPED)
            run_in(folder, *off_the_network(), "dvc", "repro", PYTHONPATH=str(folder))
            (folder / "sitecustomize.py").unlink()
            commit_all(folder, "the first results")
    return folder


@dataclass(frozen=True)
class Undisturbed:
    """project: the finished study. empty: the project before it.

    profiles: how much each job does (fault_hook). watched: what each used of the package (watched_imports).
    """

    project: Path
    empty: Path
    profiles: Path
    watched: Path


def undisturbed_study(tests: pytest.TempPathFactory) -> Undisturbed:
    """The study that faults are injected into: on one core, by plain processes, a checkpoint at every evaluation."""
    with made_once(tests, "undisturbed") as (shared, missing):
        study = Undisturbed(*(shared / name for name in ("project", "empty", "profiles", "watched")))
        if missing:
            make_undisturbed(study)
    return study


def make_undisturbed(study: Undisturbed) -> None:
    """Run it, and note what each of its jobs does."""
    copy_project(study.empty, STUDY)
    # As in every later run: a moment counts changes of files, of which compiled modules are none.
    compileall.compile_dir(study.empty / "workflow_scripts", quiet=1)
    shutil.copytree(study.empty, study.project, symlinks=True)
    shutil.copy(Path(__file__).with_name("watched_imports.py"), study.project)
    set_hook(study.project, study.profiles, profiling=True, before="import watched_imports")
    core = str(min(os.sched_getaffinity(0)))
    run_in(study.project, "taskset", "--cpu-list", core, "snakemake", "--cores", "all", VITALORA_WARM="0")
    for name in ("sitecustomize.py", "watched_imports.py"):
        (study.project / name).unlink()
    shutil.move(study.project / "watched", study.watched)
