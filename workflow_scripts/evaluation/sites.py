"""Cohorts of other data sets that take part in a study's transfers: `eicu-demo.all`. Imports nothing heavy."""

from pathlib import Path

PATTERN = r"[a-z0-9][a-z0-9-]*\.[a-z0-9_]+"
"""A site: name of a data set, and one of its cohorts."""


def split_site(name: str, dataset: str) -> tuple[str, str]:
    """Return the data set and the cohort of a name: those of a site, or a cohort of the study's own data set."""
    other, dot, cohort = name.partition(".")
    return (other, cohort) if dot else (dataset, name)


def windows_file(dataset: str, cohort: str, vital: str) -> Path:
    """Return the windows of a cohort of the study's own data set, or of a site."""
    dataset, cohort = split_site(cohort, dataset)
    return Path("data", dataset, "windows", cohort, f"{vital}.parquet")


def run_folder(dataset: str, cohort: str, vital: str, model: str, arm: str, seed: int) -> Path:
    """Return the folder of a run on a cohort of the study's own data set, or on a site."""
    dataset, cohort = split_site(cohort, dataset)
    return Path("results", dataset, "runs", cohort, vital, model, arm, f"seed{seed}")
