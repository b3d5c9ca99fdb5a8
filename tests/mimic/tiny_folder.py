"""Rows of a tiny MIMIC-III folder: one patient, one stay."""

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
