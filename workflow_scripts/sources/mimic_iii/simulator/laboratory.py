"""Laboratory values and cultures."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.simulator.patients import (
    HOUR,
    Admissions,
    People,
    Stays,
    of_admission,
)
from workflow_scripts.sources.mimic_iii.simulator.physiology import Course
from workflow_scripts.sources.mimic_iii.simulator.write import Column, choose, dates, times

_LABS = {
    50813: ("mmol/L", 1), 50821: ("mm Hg", 0), 50816: (None, 0), 50818: ("mm Hg", 0), 50820: ("units", 2),
    50885: ("mg/dL", 1), 50912: ("mg/dL", 1), 51006: ("mg/dL", 0), 51265: ("K/uL", 0), 51301: ("K/uL", 1),
    51222: ("g/dL", 1), 50971: ("mEq/L", 1), 50983: ("mEq/L", 0), 50882: ("mEq/L", 0), 51237: (None, 1),
    50931: ("mg/dL", 0),
}  # fmt: skip
_BLOOD_GAS = (50813, 50821, 50816, 50818, 50820)
_SPECIMEN = 50800


def laboratory(
    rng: np.random.Generator, people: People, admissions: Admissions, stays: Stays, course: Course
) -> dict[str, Column]:
    """Morning bloods every day and evening ones in unrest; blood gases while ventilated or in shock."""
    clock = (stays.intime // HOUR % 24)[:, None] + np.arange(course.inside.shape[1])
    draws = (clock % 24 == 4) | ((clock % 24 == 16) & (course.severity > 0.2))
    draws |= np.arange(course.inside.shape[1]) == 1
    gases = (course.ventilated | (course.severity > 0.3)) & (clock % 6 == 0)
    pieces = []
    for drawn, items in (
        (draws, [itemid for itemid in _LABS if itemid not in _BLOOD_GAS]),
        (gases, [*_BLOOD_GAS, _SPECIMEN]),
    ):
        stay, hour = np.nonzero(drawn & course.inside)
        minute = hour * 60 + rng.integers(0, 50, len(stay))
        for item in items:
            kept = rng.random(len(stay)) < 0.95
            level = _lab_value(rng, item, stays.patient[stay], course, stay, hour)
            pieces.append((stay[kept], minute[kept], np.full(kept.sum(), item), level[kept]))
    stay, minute, itemid, value = (np.concatenate(part) for part in zip(*pieces, strict=True))
    order = np.lexsort((itemid, minute, stay))
    stay, minute, itemid, value = stay[order], minute[order], itemid[order], value[order]
    time = (stays.intime // HOUR * HOUR)[stay] + minute * 60
    numbers = pa.array(value, from_pandas=True)
    names = sorted({unit for unit, _ in _LABS.values() if unit})
    unit_codes = {key: names.index(unit) if unit else -1 for key, (unit, _) in _LABS.items()}
    unit = np.array([unit_codes.get(key, -1) for key in itemid.tolist()], dtype=np.int64)
    specimen = pa.array(itemid == _SPECIMEN)
    return of_admission(people, admissions, stays.admission[stay]) | {
        "itemid": itemid,
        "charttime": times(time),
        "value": pc.if_else(specimen, "ART", numbers.cast(pa.string())),
        "valuenum": numbers,
        "valueuom": choose(list(names), unit),
    }


def _lab_value(
    rng: np.random.Generator,
    itemid: int,
    patient: np.ndarray,
    course: Course,
    stay: np.ndarray,
    hour: np.ndarray,
) -> np.ndarray:
    damage, severity = course.organ_damage[stay, hour], course.severity[stay, hour]
    spread = np.exp(0.12 * rng.standard_normal(len(stay)))
    # A number of the patient's own in [0, 1) that needs no further draw: the golden-ratio sequence.
    own = (patient * 0.6180339887 + itemid * 0.7548776662) % 1
    inspired = course.fraction_inspired_oxygen[stay, hour]
    level = {
        50813: 1.1 + 5.5 * severity**2,
        50821: course.oxygenation[stay, hour] * inspired,
        50816: inspired * 100,
        50818: 40 - 8 * severity,
        50820: 7.40 - 0.14 * severity**2,
        50885: 0.6 + 2.8 * damage**2 * (0.3 + own),
        50912: (0.7 + 0.6 * own) * (1 + 2.4 * damage * own),
        51006: (13 + 12 * own) * (1 + 1.2 * damage),
        51265: (160 + 150 * own) * (1 - 0.65 * damage),
        51301: 8.5 + 11 * severity,
        51222: 9.5 + 3.5 * own,
        50971: 4.1 + 0.5 * damage,
        50983: 138 + 3 * (own - 0.5),
        50882: 25 - 7 * severity,
        51237: 1.15 + 0.7 * damage,
        50931: 115 + 55 * severity,
    }.get(itemid, np.full(len(stay), np.nan))
    steady = {50820: spread**0.02, 50983: spread**0.12, 50816: np.ones_like(spread), 50971: spread**0.6}
    return (level * steady.get(itemid, spread)).round(_LABS[itemid][1] if itemid in _LABS else 0)


_SPECIMENS = [(70012, "BLOOD CULTURE"), (70079, "URINE"), (70062, "SPUTUM"), (70091, "MRSA SCREEN")]
_ORGANISMS = [
    (80002, "ESCHERICHIA COLI"),
    (80023, "STAPH AUREUS COAG +"),
    (80155, "STAPHYLOCOCCUS, COAGULASE NEGATIVE"),
    (80004, "KLEBSIELLA PNEUMONIAE"),
]
_SUSCEPTIBILITIES = [(90012, "GENTAMICIN"), (90018, "CEFTRIAXONE"), (90025, "LEVOFLOXACIN")]


def microbiology(
    rng: np.random.Generator, people: People, admissions: Admissions, stays: Stays
) -> dict[str, Column]:
    """Cultures around the onset of sepsis, screening on admission, some cultures without infection."""
    onset = stays.intime + np.where(stays.septic, stays.onset_hour, 0) * HOUR
    pieces = []
    for number, probability in enumerate((0.97, 0.8, 0.5, 0.0)):
        taken = np.where(stays.septic, probability, 0.08 if number < 3 else 0.5)
        stay = np.flatnonzero(rng.random(len(taken)) < taken)
        time = onset[stay] + rng.uniform(-2, 5, len(stay)) * HOUR
        grown = rng.random(len(stay)) < np.where(stays.septic[stay], 0.45, 0.04)
        organism = np.where(grown & (number < 3), rng.integers(0, len(_ORGANISMS), len(stay)), -1)
        pieces.append((stay, time.astype(np.int64) // 60 * 60, np.full(len(stay), number), organism))
    stay, time, specimen, organism = (np.concatenate(part) for part in zip(*pieces, strict=True))
    # Each organism that grew has one row for every drug it was tested against.
    repeats = np.where(organism >= 0, len(_SUSCEPTIBILITIES), 1)
    drug = np.concatenate([np.arange(count) for count in repeats]) if len(repeats) else repeats
    stay, time, specimen, organism = (np.repeat(part, repeats) for part in (stay, time, specimen, organism))
    drug = np.where(organism >= 0, drug, -1)
    order = np.lexsort((drug, specimen, time, stay))
    stay, time, specimen, organism, drug = (part[order] for part in (stay, time, specimen, organism, drug))
    # One culture in ten has a date and no time; all rows of one culture agree.
    undated = (time // 60 + specimen) % 10 == 0
    return of_admission(people, admissions, stays.admission[stay]) | {
        "chartdate": dates(time),
        "charttime": np.where(undated, np.datetime64("NaT"), times(time)),
        "spec_itemid": np.array([itemid for itemid, _ in _SPECIMENS])[specimen],
        "spec_type_desc": choose([name for _, name in _SPECIMENS], specimen),
        "org_itemid": pa.array([itemid for itemid, _ in _ORGANISMS]).take(
            pa.array(organism, mask=organism < 0)
        ),
        "org_name": choose([name for _, name in _ORGANISMS], organism),
        "isolate_num": pa.array(np.ones(len(stay), dtype=np.int64), mask=organism < 0),
        "ab_itemid": pa.array([itemid for itemid, _ in _SUSCEPTIBILITIES]).take(
            pa.array(drug, mask=drug < 0)
        ),
        "ab_name": choose([name for _, name in _SUSCEPTIBILITIES], drug),
        "interpretation": choose(
            ["S", "R"], np.where(drug < 0, -1, (rng.random(len(stay)) < 0.2).astype(int))
        ),
    }
