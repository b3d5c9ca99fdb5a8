"""A small study by `dvc repro`, made with a trap for connections: what all tests of this folder look at."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.network_trap import TRAPPED
from tests.helpers.shared_studies import finished_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished study. Tests plant in it what must be found, and take it away again."""
    return Path(
        shutil.copytree(
            finished_study(tmp_path_factory),
            tmp_path_factory.mktemp("privacy") / "project",
            symlinks=True,
        )
    )


@pytest.fixture(scope="session")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trap noted connections while the study was made."""
    return finished_study(tmp_path_factory).parent / TRAPPED
