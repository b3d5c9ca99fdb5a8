"""Records of the Challenge 2019: all of the real ones, read once, and invented ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.sources.challenge_2019.parsing import HEADER
from workflow_scripts.sources.challenge_2019.tables import write_tables

COLUMNS = HEADER.split("|")


@pytest.fixture(scope="session")
def tables(challenge_2019: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two tables of all real records."""
    folder = tmp_path_factory.mktemp("challenge")
    write_tables(challenge_2019, folder)
    return folder


@pytest.fixture
def write_record(tmp_path: Path) -> Callable[..., Path]:
    """Write an invented record, by default of eight hours, into a folder, and return the folder."""

    def write(number: int = 1, hours: int = 8, folder: str = "training", **columns: object) -> Path:
        rows = pd.DataFrame(np.nan, index=range(hours), columns=COLUMNS)
        rows = rows.assign(Age=60, Gender=0, HospAdmTime=-1, ICULOS=range(1, hours + 1), SepsisLabel=0)
        rows = rows.assign(**columns)
        path = tmp_path / "raw" / folder / f"p{number:06}.psv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.to_csv(path, sep="|", index=False, na_rep="NaN")
        return tmp_path / "raw"

    return write
