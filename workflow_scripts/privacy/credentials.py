"""Which data sets are credentialed, and the mark that everything trained on them carries."""

from pathlib import Path

from workflow_scripts.runtime.files import write_json
from workflow_scripts.sources.datasets import named_datasets

OPEN_DATASETS = tuple(name for name, known in named_datasets().items() if known.patients != "credentialed")
"""Data sets that anyone may have. Every other one is taken for credentialed, a hospital's own included."""

MARK = "vitalora.json"
"""Beside the weights: {"dataset": …, "credentialed": …}."""


def mark_trained_on(folder: Path, dataset: str) -> None:
    """Write into a folder of weights on which data set they were trained."""
    write_json(folder / MARK, {"dataset": dataset, "credentialed": dataset not in OPEN_DATASETS})
