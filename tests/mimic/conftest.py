"""A tiny MIMIC-III folder, written row by row with the standard library."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_folder import SMALL, Rows, chart_row

from workflow_scripts.mimic.tables import TABLES


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny folder; tables given by name replace its own, and None leaves a table out."""

    def write(upper: bool = True, zipped: bool = False, **tables: Rows | None) -> Path:
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        for table, rows in {**SMALL, "chartevents": [chart_row()], **tables}.items():
            if rows is None:
                continue
            header = [name.upper() if upper else name for name in TABLES[table]]
            path = folder / f"{table.upper()}.csv{'.gz' if zipped else ''}"
            opener = gzip.open if zipped else open
            with opener(path, "wt", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(header)
                writer.writerows([row.get(name, "") for name in TABLES[table]] for row in rows)
        return folder

    return write
