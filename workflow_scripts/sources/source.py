"""What the workflow asks a source of patients. docs/adding.md says how to add one."""

import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from workflow_scripts.sources.datasets import Dataset, dataset_of

_SAMPLE_BYTES = 64 * 1024


class Source:
    """Reads one data set into the two tables of contract.py: vital signs and stays.

    A source is one module: a subclass that it calls SOURCE, with `cohorts` and `write_tables`, and one entry in
    datasets.yaml for each of its data sets. The other methods are for sources that differ from that.
    """

    cohorts: ClassVar[Mapping[str, str]] = {}
    """Cohort -> the SQL condition on the columns of stays.parquet under which a stay is included."""
    labels_cohorts: ClassVar[bool] = False
    """Whether cohorts are SQL definitions over events, with attrition and Table 1 (cohorts/definitions)."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @property
    def raw_folder(self) -> Path:
        """The folder of the raw files."""
        return self.dataset.raw_folder

    @property
    def values(self) -> str:
        """The path of the long table of vital signs."""
        return f"data/{self.dataset.name}/vitals.parquet"

    @property
    def cohort(self) -> str:
        """The path of a cohort table, with {cohort} for its name."""
        return f"data/{self.dataset.name}/cohorts/{{cohort}}.parquet"

    def made_raw_files(self) -> list[str] | None:
        """Return the raw files that a rule of this workflow makes; None where the folder comes from outside."""
        return None

    def raw_files(self) -> list[Path]:
        """Return the files of the raw folder that are read."""
        return [path for path in self.raw_folder.rglob("*") if path.is_file()]

    def inventory(self) -> dict[str, Any]:
        """Return what tells one state of the raw files from another, without reading them whole."""
        return inventory(self.raw_folder, self.raw_files())

    def require(self, cohorts: list[str]) -> None:
        """Raise UserError where a study of these cohorts cannot start. Called before any job."""

    def write_tables(self, raw: Path, folder: Path) -> None:  # noqa: ARG002
        """Write vitals.parquet and stays.parquet (contract.py) into an empty folder.

        raw: the raw folder. Raises UserError for raw files that cannot be read.
        """
        raise TypeError(f"{self.dataset.name} has rules of its own that write its tables")


def source_of(dataset: str) -> Source:
    """Return the source of a data set; its module is imported only now."""
    described = dataset_of(dataset)
    module = import_module(f"workflow_scripts.sources.{described.source}")
    return module.SOURCE(described)


def inventory(folder: Path, files: list[Path]) -> dict[str, Any]:
    """Return the size and a fingerprint of every file of a folder, by relative name, in milliseconds.

    The fingerprint covers both ends of the file; a gzip file ends with the CRC-32 and length of its content.
    """
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "fingerprint": _fingerprint(path),
        }
        for path in sorted(files)
    }


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, path.stat().st_size - _SAMPLE_BYTES))
        digest.update(file.read())
    return digest.hexdigest()
