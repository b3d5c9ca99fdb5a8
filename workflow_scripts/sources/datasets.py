"""The data sets that a study can name, as datasets.yaml lists them. Imports nothing heavy."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml


@dataclass(frozen=True)
class Dataset:
    """One data set. The fields are those of datasets.yaml."""

    name: str
    source: str
    title: str
    patients: Literal["simulated", "open", "credentialed"]
    variable: str = ""

    @property
    def raw_folder(self) -> Path:
        """The folder of its raw files: its environment variable, or data/raw/<name>."""
        return Path(os.environ.get(self.variable) or f"data/raw/{self.name}")


@cache
def named_datasets() -> dict[str, Dataset]:
    """Return every data set of datasets.yaml by name."""
    entries = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: Dataset(name, **entry) for name, entry in entries.items()}


def dataset_of(name: str) -> Dataset:
    """Return a data set by name; a name that is not listed is a folder of your own tables, and credentialed."""
    return named_datasets().get(name) or Dataset(name, "own_tables", name, "credentialed")
