"""The finished studies that tests look at: each is made once, whoever asks first. Tests that change one copy it."""

import compileall
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fault_hook import set_hook
from fault_study import STUDY
from network_trap import TRAPPED, off_the_network, set_trap
from projects import TINY_STUDY, commit_all, copy_project, run_in


@cache
def finished_study(session: Path) -> Path:
    """The tiny study by `dvc repro`, which runs Snakemake for every stage; in a repository of its own.

    session: the temporary folder of the test session. No process of the study has a network, and a trap notes what
    asks for one in the file TRAPPED beside it.
    """
    folder = copy_project(session / "finished/project", TINY_STUDY)
    run_in(folder, "git", "init", "--quiet")
    commit_all(folder, "the project")
    set_trap(folder, folder.parent / TRAPPED)
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


@cache
def undisturbed_study(session: Path) -> Undisturbed:
    """The study that faults are injected into: on one core, by plain processes, a checkpoint at every evaluation."""
    folder = session / "undisturbed"
    empty = copy_project(folder / "empty", STUDY)
    # As in every later run: a moment counts changes of files, of which compiled modules are none.
    compileall.compile_dir(empty / "workflow_scripts", quiet=1)
    project = Path(shutil.copytree(empty, folder / "project", symlinks=True))
    shutil.copy(Path(__file__).with_name("watched_imports.py"), project)
    set_hook(project, folder / "profiles", profiling=True, before="import watched_imports")
    core = str(min(os.sched_getaffinity(0)))
    run_in(project, "taskset", "--cpu-list", core, "snakemake", "--cores", "all", VITALORA_WARM="0")
    for name in ("sitecustomize.py", "watched_imports.py"):
        (project / name).unlink()
    return Undisturbed(project, empty, folder / "profiles", Path(shutil.move(project / "watched", folder)))
