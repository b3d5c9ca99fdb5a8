"""Parts of the test windows: by hours from the onset and by groups of patients, none so small that it names anyone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.tables import ColumnKind, Columns, read_table
from workflow_scripts.sources.counts import SMALLEST_GROUP
from workflow_scripts.windows.reading import Windows

ONSET_EDGES = (-24, -12, 0, 12, 24, 48)
"""Hours from the onset to the moment of the forecast; a band holds its lower edge."""

ONSET_BANDS = ("before -24", "-24 to -12", "-12 to 0", "0 to 12", "12 to 24", "24 to 48", "from 48")

AGE_EDGES = (18, 45, 65, 80)
"""Years at ICU admission. MIMIC-III hides ages above 89, so the last band has no upper edge."""

AGE_BANDS = ("0-17", "18-44", "45-64", "65-79", "80+")

NO_ONSET, UNKNOWN = "no onset", "unknown"

TOO_SMALL = f"not shown, fewer than {SMALLEST_GROUP} patients"
GIVES_AWAY = f"not shown, as it would reveal a group of fewer than {SMALLEST_GROUP} patients"

Labels = NDArray[np.str_]


@dataclass(frozen=True)
class WindowGroup:
    """Some of the test windows. rows: their indices; hidden: why nothing of them is shown, else empty."""

    dimension: str
    level: str
    rows: NDArray[np.int64]
    patients: int
    hidden: str


@dataclass(frozen=True)
class Division:
    """The test windows divided in one way; missing: why these data do not allow it, else empty."""

    dimension: str
    groups: list[WindowGroup]
    missing: str = ""


def divide(test: Windows, cohort: Path | None) -> list[Division]:
    """Divide test windows by hours from the onset, sex, age band, type of ICU, and hospital where there are several.

    Levels without windows are left out. cohort: the cohort table; its columns age_years (number), sex, icu_type and
    hospital (text) may be missing.
    """
    columns: Columns = {"sex": "text", "age_years": "number", "icu_type": "text", "hospital": "text"}
    found = {name: _of_stays(cohort, name, kind, test.icustay_id) for name, kind in columns.items()}
    by_hospital = _division("hospital", found["hospital"], (), test)
    return [
        _division("hours_from_onset", _onset_labels(test), (*ONSET_BANDS, NO_ONSET), test),
        _division("sex", found["sex"], (), test),
        _division("age_band", found["age_years"], AGE_BANDS, test),
        _division("icu_type", found["icu_type"], (), test),
        *([by_hospital] if len(by_hospital.groups) > 1 else []),
    ]


def hide_small(patients: Sequence[NDArray[np.object_]]) -> list[str]:
    """Why each level of one division is not shown; empty for those that are.

    patients: the distinct patients of each level. Levels of fewer than 11 are hidden; where those together are
    fewer than 11, so is the smallest other one: all less what is shown would be theirs (cohorts/table_one.py).
    """
    small = [index for index, own in enumerate(patients) if len(own) < SMALLEST_GROUP]
    others = [index for index in range(len(patients)) if index not in small]
    hidden = [TOO_SMALL if index in small else "" for index in range(len(patients))]
    if (
        small
        and others
        and len(np.unique(np.concatenate([patients[index] for index in small]))) < SMALLEST_GROUP
    ):
        hidden[min(others, key=lambda index: len(patients[index]))] = GIVES_AWAY
    return hidden


def _division(dimension: str, labels: Labels | str, order: Sequence[str], test: Windows) -> Division:
    """The division by one label for each window; a text instead of labels says why there are none."""
    if isinstance(labels, str):
        return Division(dimension, [], labels)
    found = set(labels.tolist())
    names = [*(order or sorted(found - {UNKNOWN})), UNKNOWN]
    rows = {name: np.flatnonzero(labels == name) for name in names if name in found}
    patients = [np.unique(test.subject_id[own]) for own in rows.values()]
    return Division(
        dimension,
        [
            WindowGroup(dimension, name, own, len(ids), hidden)
            for (name, own), ids, hidden in zip(rows.items(), patients, hide_small(patients), strict=True)
        ],
    )


def _onset_labels(test: Windows) -> Labels | str:
    hours = test.hours_from_onset
    if np.isnan(hours).all():
        return "no test window has an onset"
    bands = np.array(ONSET_BANDS)[np.digitize(hours, ONSET_EDGES)]
    return np.where(np.isnan(hours), NO_ONSET, bands)


def _of_stays(cohort: Path | None, column: str, kind: ColumnKind, stays: NDArray[np.object_]) -> Labels | str:
    """The label of each window's stay; UNKNOWN where the cohort table does not say it."""
    if cohort is None or not cohort.is_file():
        return "there is no cohort table"
    try:
        table = read_table(cohort, {"icustay_id": "text or integer"}, "correct it", {column: kind})
    except UserError as error:
        return f"the cohort table cannot be read: {error.found}"
    if column not in table.column_names:
        return f"the cohort table has no column {column}"
    values = table[column].combine_chunks()
    labels = (
        _as_band(values) if kind == "number" else np.array([text or UNKNOWN for text in values.to_pylist()])
    )
    known = dict(zip(table["icustay_id"].to_pylist(), labels.tolist(), strict=True))
    return np.array([known.get(stay, UNKNOWN) for stay in stays.tolist()])


def _as_band(values: pa.Array) -> Labels:
    years = values.to_numpy(zero_copy_only=False)
    return np.where(np.isnan(years), UNKNOWN, np.array(AGE_BANDS)[np.digitize(years, AGE_EDGES)])
