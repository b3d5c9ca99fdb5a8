"""Reads the attrition tables: what is left of a cohort after each inclusion step, and after each rule for windows."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_scripts.cohorts.source_cohorts import NOT_INCLUDED
from workflow_scripts.runtime.completeness import require_complete
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.selection_table import SelectionRow

Row = TypeVar("Row", bound=Any)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AttritionStep:
    """Counts left after one step. admissions, deaths (in hospital): None where the data do not tell them."""

    step: str
    stays: int
    admissions: int | None
    patients: int
    deaths: int | None

    @property
    def label(self) -> str:
        """The step's name as words."""
        return self.step.replace("_", " ")


def read_attrition(path: Path) -> tuple[str, list[AttritionStep]]:
    """Return the cohort's name, which the file's name begins with, and its steps in order.

    Raises UserError where the file is missing or has no such columns.
    """
    steps = _read(path, AttritionStep, "label the cohort again (label_cohort), which writes it")
    return path.name.removesuffix(".attrition.csv"), steps


def read_selection(path: Path) -> list[SelectionRow]:
    """Return what each rule for windows left, in order.

    Raises UserError where the file is missing or has no such columns.
    """
    return _read(path, SelectionRow, "make the windows again (make_windows), which writes it")


def _read(path: Path, kind: type[Row], remedy: str) -> list[Row]:
    """Return the rows of a CSV file: the first field is a name, the others are counts or empty."""
    names = [field.name for field in fields(kind)]
    if path.is_file():
        require_complete(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                kind(row[names[0]], *(int(row[name]) if row[name] else None for name in names[1:]))
                for row in csv.DictReader(file)
            ]
        if not rows:
            raise ValueError
    except (OSError, KeyError, TypeError, ValueError):
        expected = f"CSV with the columns {', '.join(names)}"
        raise UserError(str(path), "no readable attrition table", expected, remedy) from None
    return rows


def own_attrition(cohort: Path, stays: "pd.DataFrame") -> tuple[str, list[AttritionStep]]:
    """Return the name of a cohort of your own tables, and its steps: all stays, and those that the table includes.

    stays: as cohorts/source_cohorts.py describes them.
    """
    steps = []
    for step, left in (("all_stays", stays), (NOT_INCLUDED, stays[stays["group"] == "included"])):
        deaths = int((left["died_in_hospital"] == "yes").sum()) if "died_in_hospital" in left else None
        steps.append(AttritionStep(step, len(left), None, left["subject_id"].nunique(), deaths))
    return cohort.stem, steps
