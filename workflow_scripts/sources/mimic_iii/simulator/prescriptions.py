"""What was prescribed: antibiotics, prophylaxis before surgery, ordinary drugs."""

import numpy as np
import pyarrow as pa

from workflow_scripts.sources.mimic_iii.simulator.patients import (
    DAY,
    HOUR,
    PROBLEMS,
    Admissions,
    People,
    Stays,
    of_admission,
)
from workflow_scripts.sources.mimic_iii.simulator.write import Column, choose, dates

_DRUGS = [
    ("Vancomycin", "IV", "1000", "mg"), ("Piperacillin-Tazobactam Na", "IV", "4.5", "g"),
    ("CefePIME", "IV", "2", "g"), ("Meropenem", "IV", "500", "mg"), ("CeftriaXONE", "IV", "1", "g"),
    ("CefazoLIN", "IV", "2", "g"), ("Ciprofloxacin 0.3% Ophth Soln", "BOTH EYES", "1-2", "DROP"),
    ("Heparin", "SC", "5000", "UNIT"), ("Pantoprazole", "IV", "40", "mg"),
    ("Metoprolol Tartrate", "PO", "25", "mg"), ("Acetaminophen", "PO", "650", "mg"),
    ("NORepinephrine", "IV DRIP", "0.03-0.5", "mcg/kg/min"),
]  # fmt: skip
_LAST_ANTIBIOTIC = 4
"""Up to here the drugs treat infections; the next one prevents them."""


def _prescription_chances(admissions: Admissions, stays: Stays, broad: np.ndarray) -> list[np.ndarray]:
    """For each drug, the probability that it is prescribed in each stay; broad: index of the antibiotic."""
    size = len(stays.patient)
    surgery = admissions.problem[stays.admission] == PROBLEMS.index("cardiac surgery")
    return [
        np.where(stays.septic, 0.85, 0.06),
        *(np.where(stays.septic, 0.97 * (broad == drug), 0.03) for drug in range(1, _LAST_ANTIBIOTIC + 1)),
        np.where(surgery, 0.95, 0.02),
        *(np.full(size, chance) for chance in (0.01, 0.7, 0.6, 0.4, 0.5)),
        np.where(stays.septic & (stays.severity > 0.6), 0.8, 0.0),
    ]


def prescriptions(
    rng: np.random.Generator, people: People, admissions: Admissions, stays: Stays
) -> dict[str, Column]:
    """Antibiotics from the day of the onset on, prophylaxis before surgery, and ordinary drugs."""
    size = len(stays.patient)
    broad = rng.integers(1, 5, size)
    onset = stays.intime + np.where(stays.septic, stays.onset_hour, 0) * HOUR
    chances = _prescription_chances(admissions, stays, broad)
    pieces = []
    for number, given in enumerate(chances):
        stay = np.flatnonzero(rng.random(size) < given)
        antibiotic = number <= _LAST_ANTIBIOTIC
        begin = np.where(antibiotic, onset[stay] + rng.uniform(0, 4, len(stay)) * HOUR, stays.intime[stay])
        days = rng.integers(2, 9, len(stay)) if antibiotic else rng.integers(1, 6, len(stay))
        begin = begin.astype(np.int64)
        pieces.append((stay, begin, begin + days * DAY, np.full(len(stay), number)))
    stay, begin, end, drug = (np.concatenate(part) for part in zip(*pieces, strict=True))
    order = np.lexsort((drug, begin, stay))
    stay, begin, end, drug = stay[order], begin[order], end[order], drug[order]
    names = [name for name, _, _, _ in _DRUGS]
    return of_admission(people, admissions, stays.admission[stay]) | {
        "icustay_id": pa.array(stays.icustay_id[stay], mask=rng.random(len(stay)) < 0.3),
        "startdate": dates(begin),
        "enddate": dates(end),
        "drug_type": "MAIN",
        "drug": choose(names, drug),
        "drug_name_generic": choose(names, np.where(rng.random(len(drug)) < 0.4, -1, drug)),
        "dose_val_rx": choose([dose for _, _, dose, _ in _DRUGS], drug),
        "dose_unit_rx": choose([unit for _, _, _, unit in _DRUGS], drug),
        "route": choose([route for _, route, _, _ in _DRUGS], drug),
    }
