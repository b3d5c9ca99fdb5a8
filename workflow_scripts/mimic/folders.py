"""Where a data set's raw MIMIC-III folder lies, and what is in it."""

import hashlib
import os
from pathlib import Path
from typing import Any

FOLDER_VARIABLES = {"mimic-iii": "MIMIC_DIR", "mimic-iii-demo": "MIMIC_DEMO_DIR"}
"""Environment variables that point to a data set kept elsewhere; otherwise it lies in data/raw/<dataset>."""

_SAMPLE_BYTES = 64 * 1024


def raw_folder(dataset: str) -> Path:
    """The raw folder of a data set: its environment variable, or data/raw/<dataset>."""
    variable = FOLDER_VARIABLES.get(dataset, "")
    return Path(os.environ.get(variable) or f"data/raw/{dataset}")


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
