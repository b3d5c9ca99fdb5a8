"""Where a data set's raw folder lies, and what is in it: MIMIC-III tables, or a table of vital signs from elsewhere."""

import hashlib
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.errors import UserError

MIMIC_DATASETS = ("simulated", "mimic-iii-demo", "mimic-iii")
"""Data sets that are MIMIC-III folders; any other name is a folder of vital signs from elsewhere."""

SIMULATED_MONITOR = "simulated-monitor"
"""The example of data from elsewhere, which the workflow makes itself."""

MONITOR_COHORTS = ("all", "septic")
"""Its cohort tables: every stay, and the stays with a septic episode, with its onset."""

FOLDER_VARIABLES = {"mimic-iii": "MIMIC_DIR", "mimic-iii-demo": "MIMIC_DEMO_DIR"}
"""Environment variables that point to a data set kept elsewhere; otherwise it lies in data/raw/<dataset>."""

_SAMPLE_BYTES = 64 * 1024


def raw_folder(dataset: str) -> Path:
    """The raw folder of a data set: its environment variable, or data/raw/<dataset>."""
    variable = FOLDER_VARIABLES.get(dataset, "")
    return Path(os.environ.get(variable) or f"data/raw/{dataset}")


def own_values(dataset: str) -> Path:
    """The long table of vital signs of a data set from elsewhere (docs/own-data.md)."""
    return raw_folder(dataset) / "vitals.parquet"


def own_cohort(dataset: str, cohort: str) -> Path:
    """A cohort table of a data set from elsewhere."""
    return raw_folder(dataset) / "cohorts" / f"{cohort}.parquet"


def require_own_tables(dataset: str, cohorts: list[str]) -> None:
    """Raise UserError that names every table that a data set from elsewhere lacks, and what there is."""
    known = (*MIMIC_DATASETS, SIMULATED_MONITOR)
    folder = raw_folder(dataset)
    if not folder.is_dir():
        close = get_close_matches(dataset, known, n=1)
        raise UserError(
            f"dataset '{dataset}'",
            f"no folder {folder}" + (f"; did you mean '{close[0]}'?" if close else ""),
            f"one of {', '.join(known)}, or a folder of your own below data/raw",
            f"name one of these, or link your tables to {folder} (docs/own-data.md)",
        )
    wanted = [own_values(dataset), *(own_cohort(dataset, cohort) for cohort in cohorts)]
    missing = [str(path) for path in wanted if not path.is_file()]
    if missing:
        present = sorted(path.stem for path in (folder / "cohorts").glob("*.parquet"))
        raise UserError(
            f"dataset '{dataset}'",
            f"no {', no '.join(missing)} (cohorts there: {', '.join(present) or 'none'})",
            "vitals.parquet and cohorts/<cohort>.parquet for every cohort of the study",
            "write the missing tables, or choose other cohorts; docs/own-data.md describes both tables",
        )


def inventory(folder: Path) -> dict[str, Any]:
    """Name, size and fingerprint of every table file, in milliseconds whatever their size.

    The fingerprint covers both ends of the file; a gzip file ends with the CRC-32 and length of its content.
    """
    tables = sorted(path for path in folder.glob("*") if path.name.lower().endswith((".csv", ".csv.gz")))
    return {
        path.name: {"bytes": path.stat().st_size, "fingerprint": _fingerprint(path)}
        for path in tables
        if path.is_file()
    }


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, path.stat().st_size - _SAMPLE_BYTES))
        digest.update(file.read())
    return digest.hexdigest()
