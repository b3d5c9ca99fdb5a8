"""The data sets that a study can name: those of datasets.yaml, and those of `sources:`. Imports nothing heavy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from workflow_scripts.sources.parameters import SourceParameters

OWN_TABLES = "own-tables"


@dataclass(frozen=True)
class Dataset:
    """One data set. The fields are those of datasets.yaml; path and options are those of `sources:` in params.yaml."""

    name: str
    format: str
    title: str
    patients: Literal["simulated", "open", "credentialed"]
    variable: str = ""
    centres: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def raw_folder(self) -> Path:
        """Its raw files, a folder or one archive: `path`, else its environment variable, else data/raw/<name>."""
        return Path(self.path or os.environ.get(self.variable) or f"data/raw/{self.name}")

    def centres_of(self, cohort: str) -> set[str]:
        """The hospitals of a cohort, as far as they are known: one where its name ends with _hospital_<key>."""
        key = cohort.rpartition("_hospital_")[2]
        return {self.centres[key]} if key in self.centres else set(self.centres.values())


@cache
def named_datasets() -> dict[str, Dataset]:
    """Return every data set of datasets.yaml by name."""
    entries = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: Dataset(name, **entry) for name, entry in entries.items()}


def formats() -> list[str]:
    """Return the formats that are read: each is a module of this folder."""
    return sorted({known.format for known in named_datasets().values()})


def dataset_of(name: str, declared: SourceParameters | None = None) -> Dataset:
    """Return a data set by name.

    declared: its entry in `sources:`. A name that is not in datasets.yaml counts as credentialed, and without an entry
    it is a folder of your own tables.
    """
    known = named_datasets().get(name) or Dataset(name, OWN_TABLES, name, "credentialed")
    if declared is None:
        return known
    options = {**known.options, **declared.options}
    return replace(
        known, format=declared.format or known.format, path=declared.path or known.path, options=options
    )
