"""A tiny MIMIC-III folder for each test."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.tiny_folder import write_tables


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny folder (tiny_folder.write_tables) into the test's own."""
    return partial(write_tables, tmp_path / "raw")
