"""A tiny MIMIC-III folder: one patient, one stay, everything at noon of its first day."""

import csv
import gzip
from pathlib import Path

from workflow_scripts.sources.mimic_iii.tables import TABLES

Rows = list[dict[str, object]]

_NOON = "2100-01-01 12:00:00"
_ADMISSION = {"row_id": 1, "subject_id": 7, "hadm_id": 70}
_STAY = {**_ADMISSION, "icustay_id": 700}

SMALL: dict[str, Rows] = {
    "patients": [
        {"row_id": 1, "subject_id": 7, "gender": "F", "dob": "1800-01-01 00:00:00", "expire_flag": 0}
    ],
    "admissions": [
        {**_ADMISSION, "admittime": "2100-01-01 00:00:00", "dischtime": "2100-01-05 00:00:00"}
        | {"admission_type": "EMERGENCY", "ethnicity": "UNKNOWN", "hospital_expire_flag": 0}
    ],
    "icustays": [
        {**_STAY, "dbsource": "carevue", "first_careunit": "MICU", "last_careunit": "SICU"}
        | {"intime": "2100-01-01 00:00:00", "outtime": "2100-01-04 00:00:00"}
    ],
    "diagnoses_icd": [{**_ADMISSION, "seq_num": 1, "icd9_code": "0389"}],
    "procedures_icd": [{**_ADMISSION, "seq_num": 1, "icd9_code": "9672"}],
    "services": [{**_ADMISSION, "transfertime": "2100-01-01 00:00:00", "curr_service": "MED"}],
    "prescriptions": [
        {**_ADMISSION, "startdate": "2100-01-01 00:00:00", "enddate": "2100-01-03 00:00:00"}
        | {"drug_type": "MAIN", "drug": "Vancomycin HCl", "route": "IV"}
    ],
    "microbiologyevents": [
        {**_ADMISSION, "chartdate": "2100-01-01 00:00:00", "spec_itemid": 70012}
        | {"spec_type_desc": "BLOOD CULTURE", "org_name": "STAPHYLOCOCCUS, COAGULASE NEGATIVE"}
    ],
    "labevents": [
        {**_ADMISSION, "itemid": 50821, "charttime": _NOON, "value": "80", "valuenum": 80},
        {**_ADMISSION, "itemid": 1, "charttime": _NOON},
    ],
    "outputevents": [{**_STAY, "charttime": _NOON, "itemid": 40055, "value": 120, "valueuom": "ml"}],
    "inputevents_cv": [{**_STAY, "charttime": _NOON, "itemid": 30120, "rate": 0.1, "rateuom": "mcgkgmin"}],
    "inputevents_mv": [],
    "procedureevents_mv": [],
}


def chart_row(**values: object) -> dict[str, object]:
    """A CHARTEVENTS row of the tiny folder's one stay: heart rate 80 at noon, unless told otherwise."""
    return {**_STAY, "itemid": 211, "charttime": _NOON, "value": "80", "valuenum": 80} | values


def write_tables(folder: Path, upper: bool = True, zipped: bool = False, **tables: Rows | None) -> Path:
    """Write the tiny folder with the standard library; tables given by name replace its own, None leaves one out."""
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
