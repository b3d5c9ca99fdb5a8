"""Open data sets that tests use where they are, and that are never part of the project."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


def open_data(name: str, variable: str) -> Path:
    """The folder or archive of an open data set: its environment variable, else a folder beside the checkout.

    The test is skipped where there is none.
    """
    path = Path(os.environ.get(variable) or SHARED / name)
    if not path.exists():
        pytest.skip(f"the open data set {name} is not here: set {variable} to its folder")
    return path
