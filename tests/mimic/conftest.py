"""A tiny MIMIC-III folder, written row by row with the standard library."""

import csv
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.mimic.tables import TABLES

Rows = list[dict[str, object]]

SMALL: dict[str, Rows] = {
    "patients": [
        {"row_id": 1, "subject_id": 7, "gender": "F", "dob": "1800-01-01 00:00:00", "expire_flag": 0}
    ],
    "admissions": [
        {"row_id": 1, "subject_id": 7, "hadm_id": 70, "admittime": "2100-01-01 00:00:00"}
        | {"dischtime": "2100-01-05 00:00:00", "ethnicity": "UNKNOWN", "hospital_expire_flag": 0}
    ],
    "icustays": [
        {"row_id": 1, "subject_id": 7, "hadm_id": 70, "icustay_id": 700, "dbsource": "carevue"}
        | {"first_careunit": "MICU", "intime": "2100-01-01 00:00:00", "outtime": "2100-01-04 00:00:00"}
    ],
    "diagnoses_icd": [{"row_id": 1, "subject_id": 7, "hadm_id": 70, "seq_num": 1, "icd9_code": "0389"}],
    "procedures_icd": [{"row_id": 1, "subject_id": 7, "hadm_id": 70, "seq_num": 1, "icd9_code": "9672"}],
}


def chart_row(**values: object) -> dict[str, object]:
    """A CHARTEVENTS row of the tiny folder's one stay: heart rate 80 at noon, unless told otherwise."""
    row = {"row_id": 1, "subject_id": 7, "hadm_id": 70, "icustay_id": 700, "itemid": 211}
    return row | {"charttime": "2100-01-01 12:00:00", "value": "80", "valuenum": 80} | values


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


@pytest.fixture
def demo() -> Path:
    """The folder of the open MIMIC-III demo."""
    if "MIMIC_DEMO_DIR" not in os.environ:
        pytest.skip("MIMIC_DEMO_DIR does not name the open MIMIC-III demo")
    return Path(os.environ["MIMIC_DEMO_DIR"])
