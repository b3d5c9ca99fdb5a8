"""One small study by `dvc repro`, with a trap for connections: what all tests of this folder look at."""

from pathlib import Path

import pytest
from network_trap import TRAPPED, off_the_network, set_trap
from projects import TINY_STUDY, commit_all, copy_project, run_in

STUDY = TINY_STUDY | {"models": ["moirai-nano"], "arms": ["zero-shot", "lora"], "ranks": [1]}


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study in a repository of its own, made off the network. Tests leave it as it is."""
    folder = copy_project(tmp_path_factory.mktemp("privacy") / "project", STUDY)
    run_in(folder, "git", "init", "--quiet")
    commit_all(folder, "the project")
    set_trap(folder, folder.parent / TRAPPED)
    run_in(folder, *off_the_network(), "dvc", "repro", PYTHONPATH=str(folder))
    (folder / "sitecustomize.py").unlink()
    commit_all(folder, "the results")
    return folder
