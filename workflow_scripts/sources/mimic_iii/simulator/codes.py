"""ICD-9 codes, as coders read them out of the hidden course, and not always rightly."""

import numpy as np

from workflow_scripts.sources.mimic_iii.simulator.patients import (
    PROBLEMS,
    SEPSIS,
    Admissions,
    People,
    Stays,
    of_admission,
)
from workflow_scripts.sources.mimic_iii.simulator.physiology import Course
from workflow_scripts.sources.mimic_iii.simulator.write import Column, choose


class Worst:
    """For each admission, the worst of its ICU stays: what coders find in the record."""

    def __init__(self, admissions: Admissions, stays: Stays, course: Course) -> None:
        size = len(admissions.hadm_id)
        self.damage, self.vasopressor, self.severity = np.zeros(size), np.zeros(size), np.zeros(size)
        self.ventilated_hours = np.zeros(size)
        inside = course.inside
        np.maximum.at(self.damage, stays.admission, (course.organ_damage * inside).max(axis=1))
        np.maximum.at(self.severity, stays.admission, (course.severity * inside).max(axis=1))
        np.maximum.at(self.vasopressor, stays.admission, (course.norepinephrine * inside).max(axis=1))
        np.add.at(self.ventilated_hours, stays.admission, (course.ventilated & inside).sum(axis=1))


def _codes(
    people: People, admissions: Admissions, candidates: list[tuple[str, np.ndarray]]
) -> dict[str, Column]:
    """Rows of a code table: for each admission its codes in the order of the candidates."""
    chosen = np.stack([mask for _, mask in candidates], axis=1)
    admission, code = np.nonzero(chosen)
    return of_admission(people, admissions, admission) | {
        "seq_num": np.cumsum(chosen, axis=1)[admission, code],
        "icd9_code": choose([name for name, _ in candidates], code),
    }


def diagnoses(
    rng: np.random.Generator, people: People, admissions: Admissions, worst: Worst
) -> dict[str, Column]:
    """Return DIAGNOSES_ICD: the problem, sepsis with its source, organ failures, and old diseases."""
    size = len(admissions.hadm_id)
    problem = admissions.problem

    def chance(probability: float) -> np.ndarray:
        return rng.random(size) < probability

    septic = problem == SEPSIS
    source = rng.choice(3, size, p=[0.45, 0.3, 0.25])
    shock = septic & (worst.vasopressor > 0.02)
    organism = rng.choice(4, size, p=[0.55, 0.1, 0.15, 0.2])
    severe = septic & (chance(0.93) | shock)
    # Coders miss one severe sepsis in fourteen, and call some infections sepsis that are none.
    merely_sepsis = (septic & ~severe) | (~septic & chance(0.015))
    named = {PROBLEMS[code]: problem == code for code in range(len(PROBLEMS))}
    candidates = [
        ("0389", (septic & (organism == 0)) | (merely_sepsis & ~septic)),
        ("0380", septic & (organism == 1)),
        ("03811", septic & (organism == 2)),
        ("03842", septic & (organism == 3)),
        ("41401", named["cardiac surgery"]),
        ("4280", named["heart failure"] | chance(0.15)),
        ("86404", named["trauma"]),
        ("486", named["pneumonia"] | (septic & (source == 0))),
        ("431", named["stroke"]),
        ("5770", named["gastrointestinal"]),
        ("78552", shock & chance(0.9)),
        ("99592", severe),
        ("99591", merely_sepsis),
        ("5990", (septic & (source == 1)) | chance(0.06)),
        ("5070", septic & (source == 2) & chance(0.4)),
        ("51881", (worst.ventilated_hours > 24) | (named["pneumonia"] & chance(0.5))),
        ("5849", (worst.damage > 0.5) & chance(0.7) | chance(0.08)),
        ("2875", (worst.damage > 0.6) & chance(0.4)),
        ("2762", (worst.severity > 0.6) & chance(0.6)),
        ("34830", (worst.damage > 0.7) & chance(0.25)),
        ("570", (worst.damage > 0.8) & chance(0.15)),
        ("42731", chance(0.22)),
        ("4019", chance(0.4)),
        ("25000", chance(0.22)),
        ("2724", chance(0.25)),
    ]
    return _codes(people, admissions, candidates)


def procedures(
    rng: np.random.Generator, people: People, admissions: Admissions, worst: Worst
) -> dict[str, Column]:
    """Return PROCEDURES_ICD: operations, ventilation, lines and dialysis."""
    size = len(admissions.hadm_id)
    bypass = admissions.problem == PROBLEMS.index("cardiac surgery")
    hours = worst.ventilated_hours
    candidates = [
        ("3615", bypass),
        ("3961", bypass),
        ("9604", (hours > 0) & (rng.random(size) < 0.7)),
        ("9671", (hours > 0) & (hours < 96)),
        ("9672", hours >= 96),
        ("3893", (worst.vasopressor > 0) | (rng.random(size) < 0.3)),
        ("3891", (worst.vasopressor > 0) & (rng.random(size) < 0.5)),
        ("3995", (worst.damage > 0.85) & (rng.random(size) < 0.3)),
        ("966", rng.random(size) < 0.1),
    ]
    return _codes(people, admissions, candidates)
