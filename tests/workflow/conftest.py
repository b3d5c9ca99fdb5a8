"""The tiny study, run once by `dvc repro`, which runs Snakemake for every stage."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.shared_studies import finished_study


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished tiny study, in a repository of its own. Tests that change it work on a copy."""
    return finished_study(tmp_path_factory)


@pytest.fixture
def changed_project(project: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with the workflow's memory and all times."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    return folder
