"""What is judged by several rows together: duplicates, inconsistent pressures, the derived mean pressure."""

from collections import Counter

import numpy as np

from workflow_scripts.sources.mimic_iii.items import DERIVED_PRESSURE
from workflow_scripts.sources.mimic_iii.vital_rows import VITAL_CODES

_PRESSURES = ("systolic_blood_pressure", "diastolic_blood_pressure", "mean_blood_pressure")


def clean_rows(rows: np.ndarray, drop_inconsistent: bool) -> tuple[np.ndarray, Counter[str]]:
    """Return rows of ROW without duplicates, sorted by stay, time, vital and value, and the counts.

    drop_inconsistent: drop the pressures of one stay, time and device with systolic <= diastolic + 4,
    systolic <= mean or diastolic >= mean. A mean pressure is derived from those that stay.
    """
    is_pressure = rows["device"] >= 0
    pressures = _distinct(rows[is_pressure], ["stay", "time", "device", "vital", "value"])
    starts, systolic, diastolic, mean = _triples(pressures)
    bad = (systolic <= diastolic + 4) | (systolic <= mean) | (diastolic >= mean)
    bad &= drop_inconsistent
    sizes = np.diff(starts, append=len(pressures))
    consistent = pressures[~np.repeat(bad, sizes)]
    derivable = ~bad & ~np.isnan(systolic + diastolic)
    derived = pressures[starts[derivable]]
    derived["vital"] = VITAL_CODES[DERIVED_PRESSURE]
    derived["value"] = (diastolic + (systolic - diastolic) / 3)[derivable]
    cleaned = _distinct(
        np.concatenate([rows[~is_pressure], consistent, derived]), ["stay", "time", "vital", "value"]
    )
    added = int(np.count_nonzero(cleaned["vital"] == VITAL_CODES[DERIVED_PRESSURE]))
    dropped = len(pressures) - len(consistent)
    return cleaned, Counter(
        dropped_duplicate=len(rows) - dropped - (len(cleaned) - added),
        dropped_inconsistent_blood_pressure=dropped,
        derived=added,
        kept=len(cleaned),
    )


def _distinct(rows: np.ndarray, keys: list[str]) -> np.ndarray:
    """Sort by the keys and keep the first of equal rows."""
    ordered = rows[np.lexsort([rows[key] for key in reversed(keys)])]
    return ordered[_first_of_each(ordered, keys)]


def _first_of_each(rows: np.ndarray, keys: list[str]) -> np.ndarray:
    first = np.zeros(len(rows), dtype=bool)
    first[:1] = True
    for key in keys:
        first[1:] |= rows[key][1:] != rows[key][:-1]
    return first


def _triples(pressures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return where each stay, time and device begins, and its three pressures; NaN where one is missing.

    Several values of one pressure are represented by their median. pressures: sorted, of ROW.
    """
    begins = _first_of_each(pressures, ["stay", "time", "device"])
    moment = np.cumsum(begins) - 1
    first = np.flatnonzero(begins | _first_of_each(pressures, ["vital"]))
    size = np.diff(first, append=len(pressures))
    value = pressures["value"]
    median = (value[first + (size - 1) // 2] + value[first + size // 2]) / 2
    table = np.full((3, int(np.count_nonzero(begins))), np.nan, dtype=np.float32)
    for row, name in zip(table, _PRESSURES, strict=True):
        of_sign = pressures["vital"][first] == VITAL_CODES[name]
        row[moment[first[of_sign]]] = median[of_sign]
    return np.flatnonzero(begins), *table
