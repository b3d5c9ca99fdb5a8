"""Who is simulated: people, their hospital admissions and ICU stays, and who becomes septic or dies."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from workflow_scripts.sources.mimic_iii.canaries import ADMISSION_YEAR, hadm_id, icustay_id, subject_id

CHUNK = 50
"""Patients that are drawn together. A chunk is always drawn whole, so that a patient does not depend on
how many there are."""

HOUR, DAY = 3600, 86400

PROBLEMS = ["sepsis", "cardiac surgery", "heart failure", "trauma", "pneumonia", "stroke", "gastrointestinal"]
SEPSIS = 0
_OTHER_SHARES = [0.22, 0.2, 0.15, 0.15, 0.1, 0.18]

Group = TypeVar("Group")


@dataclass(frozen=True)
class People:
    """One entry per patient of a chunk; number: counted from 0 over all chunks."""

    number: np.ndarray
    subject_id: np.ndarray
    metavision: np.ndarray
    female: np.ndarray
    age_years: np.ndarray
    weight_kg: np.ndarray
    septic: np.ndarray
    septic_admission: np.ndarray
    """Number of the admission with the septic episode; -1 for patients without one."""


@dataclass(frozen=True)
class Admissions:
    """One entry per hospital admission; times in seconds since 1970."""

    patient: np.ndarray
    number: np.ndarray
    hadm_id: np.ndarray
    problem: np.ndarray
    emergency: np.ndarray
    dies: np.ndarray
    stays: np.ndarray
    admittime: np.ndarray
    dischtime: np.ndarray


@dataclass(frozen=True)
class Stays:
    """One entry per ICU stay; times in seconds since 1970, hours since the clock hour before intime."""

    admission: np.ndarray
    patient: np.ndarray
    icustay_id: np.ndarray
    intime: np.ndarray
    outtime: np.ndarray
    septic: np.ndarray
    onset_hour: np.ndarray
    severity: np.ndarray
    dies: np.ndarray
    uncharted: np.ndarray


def take(group: Group, index: np.ndarray) -> Group:
    """Return the same kind of group with the entries of an index array or mask."""
    return type(group)(**{field.name: getattr(group, field.name)[index] for field in fields(group)})  # type: ignore[arg-type]


def draw_people(rng: np.random.Generator, chunk: int, septic_fraction: float) -> People:
    """Draw one chunk of patients."""
    age = rng.normal(65, 15, CHUNK).clip(18.5, 97)
    minor = rng.random(CHUNK) < 0.01
    septic = rng.random(CHUNK) < septic_fraction
    number = chunk * CHUNK + np.arange(CHUNK)
    return People(
        number=number,
        subject_id=subject_id(number),
        metavision=rng.random(CHUNK) < 0.5,
        female=rng.random(CHUNK) < 0.44,
        age_years=np.where(minor, rng.uniform(15.5, 17.5, CHUNK), age),
        weight_kg=rng.normal(81, 17, CHUNK).clip(42, 160).round(1),
        septic=septic,
        septic_admission=np.where(septic, (rng.random(CHUNK) < 0.1).astype(int), -1),
    )


def draw_admissions(rng: np.random.Generator, people: People) -> Admissions:
    """Draw the admissions of a chunk, without discharge times (they follow from the ICU stays)."""
    number_of = 1 + rng.choice(3, CHUNK, p=[0.8, 0.16, 0.04])
    number_of = np.maximum(number_of, people.septic_admission + 1)
    patient = np.repeat(np.arange(CHUNK), number_of)
    number = np.concatenate([np.arange(count) for count in number_of])
    size = len(patient)
    septic = number == people.septic_admission[patient]
    problem = np.where(septic, SEPSIS, 1 + rng.choice(len(_OTHER_SHARES), size, p=_OTHER_SHARES))
    risk = np.where(septic, 0.24, 0.065) * (people.age_years[patient] / 65)
    dies = rng.random(size) < risk
    first = np.datetime64(f"{ADMISSION_YEAR}-01-01", "s").astype(np.int64)
    start = first + rng.integers(0, 98 * 365 * DAY, CHUNK)
    later = np.where(number > 0, rng.integers(60 * DAY, 360 * DAY, size), 0)
    group_start = np.cumsum(later) - np.cumsum(later)[np.searchsorted(patient, patient)]
    drawn = Admissions(
        patient=patient,
        number=number,
        hadm_id=hadm_id(people.number[patient], number),
        problem=problem,
        emergency=(problem != PROBLEMS.index("cardiac surgery")) | (rng.random(size) < 0.2),
        dies=dies,
        stays=np.where(dies, 1, 1 + (rng.random(size) < 0.12)),
        admittime=(start[patient] + group_start) // 60 * 60,
        dischtime=np.zeros(size, dtype=np.int64),
    )
    died_at = np.full(CHUNK, np.iinfo(np.int64).max)
    np.minimum.at(died_at, patient[dies], number[dies])
    return take(drawn, number <= died_at[patient])


def draw_stays(rng: np.random.Generator, people: People, admissions: Admissions) -> tuple[Admissions, Stays]:
    """Draw the ICU stays of admissions; return the admissions with their discharge times, and the stays."""
    admission = np.repeat(np.arange(len(admissions.stays)), admissions.stays)
    number = np.arange(len(admission)) - np.searchsorted(admission, admission)
    size = len(admission)
    septic = (admissions.problem[admission] == SEPSIS) & (number == 0)
    days = np.where(septic, rng.lognormal(np.log(5.6), 0.42, size), rng.lognormal(np.log(3.2), 0.5, size))
    days = np.where(septic, days.clip(2.2, 13), days.clip(0.3, 12))
    wait = np.where(
        admissions.emergency[admission],
        rng.exponential(4 * HOUR, size),
        rng.uniform(8 * HOUR, 30 * HOUR, size),
    )
    between = rng.uniform(DAY, 4 * DAY, size)
    intime = admissions.admittime[admission] + wait.astype(np.int64)
    outtime = intime + (days * DAY).astype(np.int64)
    second = np.flatnonzero(number == 1)
    shift = outtime[second - 1] + between[second].astype(np.int64) - intime[second]
    intime[second] += shift
    outtime[second] += shift
    dies = admissions.dies[admission]
    early = rng.random(size) < 0.4
    onset = np.where(early, rng.uniform(-4, 4, size), 8 + rng.random(size) * (12 * days - 8).clip(0))
    stays = Stays(
        admission=admission,
        patient=admissions.patient[admission],
        icustay_id=icustay_id(
            people.number[admissions.patient[admission]], admissions.number[admission], number
        ),
        intime=intime,
        outtime=outtime,
        septic=septic,
        onset_hour=np.where(septic, onset, np.inf),
        severity=(0.35 + 0.65 * rng.beta(2, 2, size) + 0.25 * dies).clip(0.35, 1.0),
        dies=dies,
        uncharted=rng.random(size) < np.where(septic, 0.01, 0.04),
    )
    last = np.searchsorted(admission, np.arange(len(admissions.stays)), side="right") - 1
    ward = (rng.exponential(3 * DAY, len(last)) + 6 * HOUR).astype(np.int64) // 60 * 60
    dischtime = np.where(admissions.dies, outtime[last], outtime[last] + ward)
    values = {field.name: getattr(admissions, field.name) for field in fields(admissions)}
    return Admissions(**{**values, "dischtime": dischtime}), stays


def of_admission(people: People, admissions: Admissions, which: np.ndarray) -> dict[str, np.ndarray]:
    """Return the identifiers of patient and admission for rows that belong to the admissions `which`."""
    return {
        "subject_id": people.subject_id[admissions.patient[which]],
        "hadm_id": admissions.hadm_id[which],
    }
