"""What is unusual in the vital signs and stays of a cohort: counts and shares only, nothing of a single patient."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workflow_scripts.sources.contract import (
    STRATA,
    Measurements,
    Patients,
    Stays,
    read_measurements,
    read_patients,
    read_stays,
)
from workflow_scripts.sources.counts import SMALLEST_GROUP, few, share
from workflow_scripts.sources.mimic_iii.checks.findings import Finding
from workflow_scripts.sources.mimic_iii.checks.units import judge_vital_sign
from workflow_scripts.sources.mimic_iii.items import VitalSign
from workflow_scripts.windows.grid import find_stays
from workflow_scripts.windows.parameters import WindowParameters

LONGEST_DAYS = 365
"""A stay that is longer has no true end; MIMIC-III's longest has 173 days."""
FEWEST_PATIENTS = 30
"""With fewer there are four patients or so in validation and in test."""
MOST_DEATHS = 0.6
ONSETS_OUTSIDE = 0.5
VALUES_OUTSIDE = 0.5
STAYS_WITHOUT_VALUES = 0.5
SPARSE = 1.5
"""Values that are farther apart than this many grid steps leave most steps empty."""
DENSE = 1 / 30
"""Where values are nearer than this share of a grid step, each step is the median of 30 values and more."""

_MICROSECONDS_A_DAY = 86_400_000_000
_STAYS = "stays"


def check_tables(
    values: Path, cohort: Path, signs: Sequence[VitalSign], parameters: WindowParameters, left_out: bool
) -> list[Finding]:
    """Return what is unusual in a cohort table and in the values of these vital signs of its included stays.

    values, cohort: tables as sources/contract.py says. left_out: whether windows have no implausible values.
    Raises UserError for a table that breaks the contract, and where it holds no value of a vital sign.
    """
    stays = read_stays(cohort)
    found = check_stays(stays, read_patients(cohort), parameters)
    for sign in signs:
        found += check_values(stays, read_measurements(values, sign.name), sign, parameters, left_out)
    return found


def check_stays(stays: Stays, patients: Patients, parameters: WindowParameters) -> list[Finding]:
    """Return what is unusual in the included stays: their number, length, onsets and deaths."""
    found = []
    number = len(np.unique(stays.subject_id.astype(str)))
    if number < FEWEST_PATIENTS:
        found.append(
            Finding(
                "warning",
                "patients",
                _STAYS,
                f"{few(number)} patients with an included stay",
                f"at least {FEWEST_PATIENTS}, so that validation and test have some each",
                "judge no model by them; use more patients, or a cohort with a wider definition",
            )
        )
    days = (stays.outtime - stays.intime) / _MICROSECONDS_A_DAY
    if (days > LONGEST_DAYS).any():
        found.append(
            Finding(
                "warning",
                "length",
                _STAYS,
                f"{share(days > LONGEST_DAYS)} stays end more than {LONGEST_DAYS} days after they began",
                "the time when the patient left the ICU",
                "put the true end there; no window is made where nothing was charted, so nothing else depends on it",
            )
        )
    needed = (parameters.context + parameters.horizon) * parameters.interval_minutes / (24 * 60)
    if (days < needed).mean() > 0.5:
        found.append(
            Finding(
                "warning",
                "length",
                _STAYS,
                f"{share(days < needed)} stays are too short for a window",
                f"{parameters.context} + {parameters.horizon} steps of {parameters.interval_minutes} min in most stays",
                "use shorter windows, and check the unit of time of the export",
            )
        )
    return found + _check_onsets(stays) + _check_deaths(stays, patients)


def _check_onsets(stays: Stays) -> list[Finding]:
    given = ~np.isnat(stays.onset)
    onset = stays.onset.astype("datetime64[us]").astype(np.int64)[given]
    outside = (onset < stays.intime[given]) | (onset > stays.outtime[given])
    if not outside.any() or outside.mean() <= ONSETS_OUTSIDE:
        return []
    return [
        Finding(
            "warning",
            "onset",
            _STAYS,
            f"{share(outside)} onsets are not within their stay",
            "most onsets between intime and outtime",
            "compare the calendars and time zones of onset and stay; a cohort of early onsets may be as it should",
        )
    ]


def _check_deaths(stays: Stays, patients: Patients) -> list[Finding]:
    """Deaths are judged only where the table tells of them."""
    if patients.stratified_by != STRATA[0]:
        return []
    deaths = stays.died_in_hospital
    if 0 < deaths.mean() <= MOST_DEATHS:
        return []
    return [
        Finding(
            "warning",
            "deaths",
            _STAYS,
            f"{share(deaths)} stays with died_in_hospital"
            if deaths.any()
            else "no stay with died_in_hospital",
            f"some, and at most {MOST_DEATHS:.0%} of the stays",
            "check how the column was made; leave it empty where deaths are not known",
        )
    ]


def check_values(
    stays: Stays, measurements: Measurements, sign: VitalSign, parameters: WindowParameters, left_out: bool
) -> list[Finding]:
    """Return what is unusual in the values of one vital sign of the included stays."""
    stay, inside = find_stays(stays, measurements)
    value = measurements.value[stay >= 0]
    if not len(value):
        return [
            Finding(
                "error",
                "identifiers",
                sign.name,
                "no value of an included stay",
                "values whose icustay_id is one of the cohort's",
                "write the same identifiers into both tables; 7 and 007 are two stays",
            )
        ]
    plausible = sign.plausible.holds_all(value)
    return [
        *_check_plausible(plausible, value, sign, left_out),
        *judge_vital_sign(sign.name, sign.unit, value),
        *_check_times(stay, inside, measurements, len(stays), sign, parameters),
    ]


def _check_plausible(
    plausible: np.ndarray, value: np.ndarray, sign: VitalSign, left_out: bool
) -> list[Finding]:
    if plausible.all():
        return []
    limits = sign.plausible
    far = np.abs(value) > 10 * max(abs(limits.low), abs(limits.high))
    sentinels = f", {few(int(far.sum()))} of them so far that they are no measurement" if far.any() else ""
    effect = (
        "left out of the windows" if left_out else "kept, and every error that they are in is meaningless"
    )
    return [
        Finding(
            "warning",
            "plausible range",
            sign.name,
            f"{share(~plausible)} values are outside the plausible range{sentinels}; {effect}",
            f"values between {limits.low:g} and {limits.high:g} {sign.unit} (items.yaml)",
            "export missing values as missing, not as a number (-9999, 1e30)"
            + ("" if left_out else "; or set extraction.plausible_ranges, which leaves them out"),
        )
    ]


def _check_times(
    stay: np.ndarray,
    inside: np.ndarray,
    measurements: Measurements,
    count: int,
    sign: VitalSign,
    parameters: WindowParameters,
) -> list[Finding]:
    """Judge where the values are: within their stay, in enough stays, and how far from each other."""
    found = []
    known = stay >= 0
    outside = ~inside[known]
    if outside.mean() > VALUES_OUTSIDE:
        found.append(
            Finding(
                "warning",
                "times",
                sign.name,
                f"{share(outside)} values were charted before or after their stay",
                "most values between intime and outtime",
                "compare the calendars, time zones and units of time of both tables",
            )
        )
    without = np.bincount(stay[inside], minlength=count) == 0
    if without.mean() > STAYS_WITHOUT_VALUES:
        found.append(
            Finding(
                "warning",
                "stays with values",
                sign.name,
                f"{share(without)} stays have no value of this vital sign",
                "values in most stays",
                "compare the identifiers of both tables; 7 and 007 are two stays",
            )
        )
    minutes = spacing_minutes(stay[inside], measurements.time[inside])
    interval = parameters.interval_minutes
    if minutes is not None and not interval * DENSE <= minutes <= interval * SPARSE:
        sparse = minutes > interval
        found.append(
            Finding(
                "warning",
                "spacing",
                sign.name,
                f"half of the values are {minutes:.3g} min or "
                f"{'more after' if sparse else 'less after'} the one before, the grid's steps are {interval} min",
                "a value in most steps, and few in one",
                "lengthen windows.interval_minutes: most steps are empty"
                if sparse
                else "shorten windows.interval_minutes: each step is the median of many values",
            )
        )
    return found


def spacing_minutes(stay: np.ndarray, time: np.ndarray) -> float | None:
    """Return the median time between two charted times of one stay, minutes; None for fewer than 11 such times.

    stay: int64 [N]; time: int64 [N], microseconds; in any order.
    """
    order = np.lexsort((time, stay))
    gaps = np.diff(time[order])[np.diff(stay[order]) == 0]
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) / 60_000_000 if len(gaps) >= SMALLEST_GROUP else None
