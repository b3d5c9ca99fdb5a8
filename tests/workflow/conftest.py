"""The tiny study, run once by `dvc repro`, which runs Snakemake for every stage."""

import shutil
from pathlib import Path

import pytest
from projects import TINY_STUDY, commit_all, copy_project, run_in


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished tiny study, in a repository of its own. Tests that change it work on a copy."""
    folder = copy_project(tmp_path_factory.mktemp("study") / "project", TINY_STUDY)
    run_in(folder, "git", "init", "--quiet")
    commit_all(folder, "the project")
    run_in(folder, "dvc", "repro")
    commit_all(folder, "the first results")
    return folder


@pytest.fixture
def changed_project(project: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with the workflow's memory and all times."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    return folder
