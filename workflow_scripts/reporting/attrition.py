"""Reads a cohort's attrition table: what is left after each inclusion step."""

import csv
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.runtime.completeness import require_complete
from workflow_scripts.runtime.errors import UserError


@dataclass(frozen=True)
class AttritionStep:
    """Counts left after one step. admissions: None where the data do not tell them."""

    step: str
    stays: int
    admissions: int | None
    patients: int

    @property
    def label(self) -> str:
        """The step's name as words."""
        return self.step.replace("_", " ")


def read_attrition(path: Path) -> tuple[str, list[AttritionStep]]:
    """Return the cohort's name, which the file's name begins with, and its steps in order.

    Raises UserError where the file is missing or has no such columns.
    """
    if path.is_file():
        require_complete(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            steps = [
                AttritionStep(
                    row["step"],
                    int(row["stays"]),
                    int(row["admissions"]) if row["admissions"] else None,
                    int(row["patients"]),
                )
                for row in csv.DictReader(file)
            ]
        if not steps:
            raise ValueError
    except (OSError, KeyError, TypeError, ValueError):
        raise UserError(
            where=str(path),
            found="no readable attrition table",
            expected="CSV with the columns step, stays, admissions and patients",
            remedy="label the cohort again (label_cohort), which writes it",
        ) from None
    return path.name.removesuffix(".attrition.csv"), steps
