"""Infusions, urine, ventilation and cultures as the ICU's own systems record them."""

import numpy as np

from workflow_scripts.sources.mimic_iii.simulator.patients import HOUR, Admissions, People, Stays
from workflow_scripts.sources.mimic_iii.simulator.physiology import Course
from workflow_scripts.sources.mimic_iii.simulator.write import Column, choose, times

Tables = dict[str, dict[str, Column]]


def bedside_events(
    rng: np.random.Generator, people: People, admissions: Admissions, stays: Stays, course: Course
) -> Tables:
    """Return OUTPUTEVENTS, INPUTEVENTS_CV, INPUTEVENTS_MV and PROCEDUREEVENTS_MV of a chunk."""
    ids = _identifiers(people, admissions, stays)
    metavision = people.metavision[stays.patient]
    charted = course.inside & ~stays.uncharted[:, None]
    start = stays.intime // HOUR * HOUR
    return {
        "outputevents": _urine(rng, ids, metavision, start, charted, course),
        "inputevents_cv": _infusions_carevue(rng, ids, start, charted & ~metavision[:, None], course),
        "inputevents_mv": _infusions_metavision(
            rng, ids, start, charted & metavision[:, None], course, people.weight_kg[stays.patient]
        ),
        "procedureevents_mv": _procedures(rng, ids, start, charted & metavision[:, None], stays, course),
    }


def _identifiers(people: People, admissions: Admissions, stays: Stays) -> dict[str, np.ndarray]:
    return {
        "subject_id": people.subject_id[stays.patient],
        "hadm_id": admissions.hadm_id[stays.admission],
        "icustay_id": stays.icustay_id,
    }


def _of(ids: dict[str, np.ndarray], stay: np.ndarray) -> dict[str, Column]:
    return {name: values[stay] for name, values in ids.items()}


def _urine(
    rng: np.random.Generator,
    ids: dict[str, np.ndarray],
    metavision: np.ndarray,
    start: np.ndarray,
    charted: np.ndarray,
    course: Course,
) -> dict[str, Column]:
    stay, hour = np.nonzero(charted & (rng.random(charted.shape) < 0.9))
    # The first full hour on: urine of an hour is read off at its end.
    stay, hour = stay[hour > 0], hour[hour > 0]
    time = start[stay] + hour * HOUR
    return _of(ids, stay) | {
        "charttime": times(time),
        "itemid": np.where(metavision[stay], 226559, 40055),
        "value": (course.urine_ml[stay, hour] / 5).round() * 5,
        "valueuom": choose(["ml", "mL"], metavision[stay].astype(int)),
        "storetime": times(time + 60 * rng.integers(1, 60, len(stay))),
        "cgid": 14000 + rng.integers(0, 7000, len(stay)),
    }


def _fluid_hours(rng: np.random.Generator, charted: np.ndarray, course: Course) -> np.ndarray:
    """Hours in which a bolus of saline begins: often in early severe sepsis, else rarely."""
    rising = np.diff(course.severity, axis=1, prepend=course.severity[:, :1]) > 0.02
    return charted & (rng.random(charted.shape) < np.where(rising, 0.5, 0.01))


def _infusions_carevue(
    rng: np.random.Generator,
    ids: dict[str, np.ndarray],
    start: np.ndarray,
    charted: np.ndarray,
    course: Course,
) -> dict[str, Column]:
    drug_stay, drug_hour = np.nonzero(charted & (course.norepinephrine > 0))
    fluid_stay, fluid_hour = np.nonzero(_fluid_hours(rng, charted, course))
    stay, hour = np.concatenate([drug_stay, fluid_stay]), np.concatenate([drug_hour, fluid_hour])
    drug = np.arange(len(stay)) < len(drug_stay)
    order = np.lexsort((hour, stay))
    stay, hour, drug = stay[order], hour[order], drug[order]
    time = start[stay] + hour * HOUR
    rate = np.where(drug, course.norepinephrine[stay, hour].round(3), np.nan)
    return _of(ids, stay) | {
        "charttime": times(time),
        "itemid": np.where(drug, 30120, 30018),
        "amount": np.where(drug, np.nan, rng.choice([250.0, 500.0, 1000.0], len(stay))),
        "amountuom": choose(["ml"], np.where(drug, -1, 0)),
        "rate": rate,
        "rateuom": choose(["mcgkgmin"], np.where(drug, 0, -1)),
        "storetime": times(time + 60 * rng.integers(1, 60, len(stay))),
        "cgid": 14000 + rng.integers(0, 7000, len(stay)),
        "orderid": 1_000_000 + rng.integers(0, 9_000_000, len(stay)),
        "linkorderid": 1_000_000 + ids["icustay_id"][stay] % 9_000_000,
    }


def _infusions_metavision(
    rng: np.random.Generator,
    ids: dict[str, np.ndarray],
    start: np.ndarray,
    charted: np.ndarray,
    course: Course,
    weight_kg: np.ndarray,
) -> dict[str, Column]:
    drug_stay, drug_hour = np.nonzero(charted & (course.norepinephrine > 0))
    fluid_stay, fluid_hour = np.nonzero(_fluid_hours(rng, charted, course))
    stay, hour = np.concatenate([drug_stay, fluid_stay]), np.concatenate([drug_hour, fluid_hour])
    drug = np.arange(len(stay)) < len(drug_stay)
    order = np.lexsort((hour, stay))
    stay, hour, drug = stay[order], hour[order], drug[order]
    begin = start[stay] + hour * HOUR
    rate = course.norepinephrine[stay, hour].round(3)
    milligrams = rate * weight_kg[stay] * 60 / 1000
    millilitres = rng.choice([250.0, 500.0, 1000.0], len(stay))
    amount = np.where(drug, milligrams.round(4), millilitres)
    kind = np.where(drug, 0, 1)
    return _of(ids, stay) | {
        "starttime": times(begin),
        "endtime": times(begin + HOUR),
        "itemid": np.where(drug, 221906, 225158),
        "amount": amount,
        "amountuom": choose(["mg", "ml"], kind),
        "rate": np.where(drug, rate, millilitres),
        "rateuom": choose(["mcg/kg/min", "mL/hour"], kind),
        "storetime": times(begin + 60 * rng.integers(1, 60, len(stay))),
        "cgid": 14000 + rng.integers(0, 7000, len(stay)),
        "orderid": 1_000_000 + rng.integers(0, 9_000_000, len(stay)),
        "linkorderid": 1_000_000 + ids["icustay_id"][stay] % 9_000_000,
        "ordercategoryname": choose(["01-Drips", "03-IV Fluid Bolus"], kind),
        "ordercomponenttypedescription": "Main order parameter",
        "ordercategorydescription": choose(["Continuous Med", "Bolus"], kind),
        "patientweight": weight_kg[stay],
        "totalamount": np.where(drug, 250.0, millilitres),
        "totalamountuom": "ml",
        "isopenbag": 0,
        "continueinnextdept": 0,
        "cancelreason": 0,
        # One infusion in a hundred was rewritten, which analysts have to leave out.
        "statusdescription": choose(
            ["FinishedRunning", "Changed/Running", "Rewritten"],
            rng.choice(3, len(stay), p=[0.8, 0.19, 0.01]),
        ),
        "originalamount": amount,
        "originalrate": np.where(drug, rate, millilitres),
    }


def _procedures(
    rng: np.random.Generator,
    ids: dict[str, np.ndarray],
    start: np.ndarray,
    charted: np.ndarray,
    stays: Stays,
    course: Course,
) -> dict[str, Column]:
    on = course.ventilated & charted
    began = on & ~np.pad(on, ((0, 0), (1, 0)))[:, :-1]
    ended = on & ~np.pad(on, ((0, 0), (0, 1)))[:, 1:]
    vent_stay, vent_begin = np.nonzero(began)
    vent_end = np.nonzero(ended)[1] + 1
    cultured = np.flatnonzero(charted.any(axis=1) & stays.septic & (stays.onset_hour > 1))
    stay = np.concatenate([vent_stay, vent_stay, vent_stay, cultured])
    itemid = np.repeat([225792, 224385, 227194, 225401], [*[len(vent_stay)] * 3, len(cultured)])
    culture_minute = (stays.onset_hour[cultured] * 60).astype(np.int64) + 45
    begin = np.concatenate([vent_begin * 60, vent_begin * 60, vent_end * 60, culture_minute])
    end = np.concatenate([vent_end * 60, vent_begin * 60 + 1, vent_end * 60 + 1, culture_minute + 1])
    order = np.lexsort((itemid, begin, stay))
    stay, itemid, begin, end = stay[order], itemid[order], begin[order], end[order]
    lasting = itemid == 225792
    names = ["Ventilation", "Intubation/Extubation", "Procedures"]
    return _of(ids, stay) | {
        "starttime": times(start[stay] + begin * 60),
        "endtime": times(start[stay] + end * 60),
        "itemid": itemid,
        "value": np.where(lasting, end - begin, 1).astype(float),
        "valueuom": choose(["min", "None"], np.where(lasting, 0, 1)),
        "storetime": times(start[stay] + (end + 20) * 60),
        "cgid": 14000 + rng.integers(0, 7000, len(stay)),
        "orderid": 1_000_000 + rng.integers(0, 9_000_000, len(stay)),
        "ordercategoryname": choose(names, np.where(lasting, 0, np.where(itemid == 225401, 2, 1))),
        "ordercategorydescription": choose(["Task", "Electrolytes"], np.where(lasting, 0, 1)),
        "isopenbag": lasting.astype(int),
        "continueinnextdept": 0,
        "cancelreason": 0,
        "statusdescription": "FinishedRunning",
    }
