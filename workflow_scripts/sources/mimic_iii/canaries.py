"""The identifiers and dates of simulated patients: recognisable wherever they turn up. Imports nothing heavy.

Every identifier has eleven digits and is a multiple of CHECK, so that one number of that length in 9,973 is taken
for one by chance; MIMIC-III's have five or six digits. Every date is in FIRST_YEAR … LAST_YEAR: MIMIC-III's
shifted dates end before 2230, and no clock shows such a year.
"""

from typing import TypeVar

import numpy as np

CHECK = 9_973
"""A prime."""

_FIRST_SUBJECT = 31 * 10**9 // CHECK * CHECK
_FIRST_ADMISSION = 50 * 10**9 // CHECK * CHECK
_FIRST_STAY = 70 * 10**9 // CHECK * CHECK
_PAST_LAST = 10**11

ADMISSIONS_PER_PATIENT = 3
STAYS_PER_ADMISSION = 2

FIRST_YEAR, LAST_YEAR = 2300, 2799
ADMISSION_YEAR = 2600
"""Of the first admissions; the birth of patients above 89 years is moved 300 years back, as in MIMIC-III."""

Whole = TypeVar("Whole", int, np.ndarray)


def subject_id(patient: Whole) -> Whole:
    """The SUBJECT_ID of a patient, by number from 0."""
    return _FIRST_SUBJECT + CHECK * patient


def hadm_id(patient: Whole, admission: Whole) -> Whole:
    """The HADM_ID of a patient's admission, both by number from 0."""
    return _FIRST_ADMISSION + CHECK * (ADMISSIONS_PER_PATIENT * patient + admission)


def icustay_id(patient: Whole, admission: Whole, stay: Whole) -> Whole:
    """The ICUSTAY_ID of a stay of an admission, all by number from 0."""
    number = ADMISSIONS_PER_PATIENT * patient + admission
    return _FIRST_STAY + CHECK * (STAYS_PER_ADMISSION * number + stay)


def is_simulated_identifier(number: int) -> bool:
    """Whether a number is made as these identifiers are."""
    return _FIRST_SUBJECT <= number < _PAST_LAST and number % CHECK == 0
