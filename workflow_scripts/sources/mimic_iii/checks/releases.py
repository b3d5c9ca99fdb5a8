"""What the known releases look like: row counts, and the files that give other databases away."""

from collections.abc import Mapping
from pathlib import Path

from workflow_scripts.sources.mimic_iii.canaries import is_simulated_identifier

FULL, DEMO, SIMULATED, UNKNOWN = (
    "MIMIC-III v1.4",
    "the open MIMIC-III demo v1.4",
    "a simulated folder",
    "unknown",
)

_ROWS = """
patients 46520 100
admissions 58976 129
icustays 61532 136
chartevents 330712483 758355
diagnoses_icd 651047 1761
procedures_icd 240095 506
d_items 12487 12487
d_labitems 753 753
labevents 27854055 76074
microbiologyevents 631726 2003
prescriptions 4156450 10398
outputevents 4349218 11320
inputevents_cv 17527935 34799
inputevents_mv 3618991 13224
procedureevents_mv 258066 753
services 73343 163
d_icd_diagnoses 14567 14567
d_icd_procedures 3882 3882
"""

RELEASE_ROWS: dict[str, dict[str, int]] = {
    release: {line.split()[0]: int(line.split()[column]) for line in _ROWS.strip().splitlines()}
    for release, column in ((FULL, 1), (DEMO, 2))
}
"""Release -> table -> rows. Source of v1.4: MIT-LCP/mimic-code, mimic-iii/buildmimic/postgres/postgres_checks.sql;
of the demo: PhysioNet's files, counted."""

_KEY_TABLES = ("patients", "admissions", "icustays")

_FOREIGN_FILES = {
    "MIMIC-IV": {"hosp", "icu", "ingredientevents", "emar", "omr", "procedureevents", "inputevents"},
    "MIMIC-II": {"d_patients", "icustayevents", "medevents", "ioevents", "poe_order", "demographicevents"},
    "eICU": {"patient", "vitalperiodic", "vitalaperiodic", "nursecharting"},
}


def recognise_release(rows: Mapping[str, int], lowest_subject: int | None) -> str:
    """Return the release that a folder is, by its patients, admissions and ICU stays.

    lowest_subject: the smallest SUBJECT_ID of PATIENTS, or None where there is none.
    """
    if lowest_subject is not None and is_simulated_identifier(lowest_subject):
        return SIMULATED
    for release, expected in RELEASE_ROWS.items():
        # Two of three suffice: then the third is what is wrong.
        if sum(rows.get(table) == expected[table] for table in _KEY_TABLES) >= 2:
            return release
    return UNKNOWN


def foreign_folder(folder: Path) -> tuple[str, list[str]] | None:
    """Return the other database that a folder's files and folders belong to, with their names, or None."""
    names = {path.name.lower().split(".")[0] for path in folder.iterdir()}
    for database, telling in _FOREIGN_FILES.items():
        if len(shown := sorted(names & telling)) >= 2:
            return database, shown
    return None
