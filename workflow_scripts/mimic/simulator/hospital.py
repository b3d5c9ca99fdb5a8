"""What the hospital records around the ICU: administration, laboratories, microbiology, drugs and codes."""

import numpy as np
import pyarrow as pa

from workflow_scripts.mimic.simulator.patients import (
    DAY,
    HOUR,
    PROBLEMS,
    SEPSIS,
    Admissions,
    People,
    Stays,
)
from workflow_scripts.mimic.simulator.physiology import Course
from workflow_scripts.mimic.simulator.write import Column, choose

Tables = dict[str, dict[str, Column]]

_UNITS_OF_PROBLEM = ["MICU", "CSRU", "CCU", "TSICU", "MICU", "SICU", "SICU"]
_WARDS = {"MICU": 52, "CSRU": 14, "CCU": 7, "TSICU": 33, "SICU": 57}
_SERVICES = ["MED", "CSURG", "CMED", "TRAUM", "MED", "NMED", "SURG"]
_DIAGNOSES = [
    "SEPSIS", "CORONARY ARTERY DISEASE\\CORONARY ARTERY BYPASS GRAFT; AORTIC VALVE, REPLACEMENT/SDA",
    "CONGESTIVE HEART FAILURE", "S/P MOTOR VEHICLE ACCIDENT", "PNEUMONIA", "INTRACRANIAL HEMORRHAGE",
    "PANCREATITIS",
]  # fmt: skip
_ETHNICITIES = ["WHITE", "BLACK/AFRICAN AMERICAN", "HISPANIC OR LATINO", "ASIAN", "UNKNOWN/NOT SPECIFIED"]


def hospital_events(
    rng: np.random.Generator, people: People, admissions: Admissions, stays: Stays, course: Course
) -> Tables:
    """Return the hospital's tables of a chunk."""
    worst = _Worst(admissions, stays, course)
    return {
        "patients": _patients(rng, people, admissions),
        "admissions": _admissions(rng, people, admissions, stays),
        "icustays": _icustays(people, admissions, stays),
        "services": _services(people, admissions),
        "diagnoses_icd": _diagnoses(rng, people, admissions, worst),
        "procedures_icd": _procedures(rng, people, admissions, worst),
        "labevents": _laboratory(rng, people, admissions, stays, course),
        "microbiologyevents": _microbiology(rng, people, admissions, stays),
        "prescriptions": _prescriptions(rng, people, admissions, stays),
    }


class _Worst:
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


def _times(seconds: np.ndarray) -> np.ndarray:
    return seconds.astype("datetime64[s]")


def _dates(seconds: np.ndarray) -> np.ndarray:
    return _times(seconds // DAY * DAY)


def _of_admission(people: People, admissions: Admissions, which: np.ndarray) -> dict[str, Column]:
    return {
        "subject_id": people.subject_id[admissions.patient[which]],
        "hadm_id": admissions.hadm_id[which],
    }


def _patients(rng: np.random.Generator, people: People, admissions: Admissions) -> dict[str, Column]:
    size = len(people.subject_id)
    first = admissions.admittime[admissions.number == 0]
    # As in the release: whoever was older than 89 at the first admission is given an age of 300.
    age = np.where(people.age_years > 89, 300, people.age_years)
    died = np.full(size, -1, dtype=np.int64)
    in_hospital = admissions.patient[admissions.dies]
    died[in_hospital] = admissions.dischtime[admissions.dies]
    last = np.zeros(size, dtype=np.int64)
    np.maximum.at(last, admissions.patient, admissions.dischtime)
    later = (died < 0) & (rng.random(size) < 0.2)
    death = np.where(later, last + rng.integers(5 * DAY, 900 * DAY, size), died)
    dates = np.where(death < 0, np.datetime64("NaT"), _dates(death))
    hospital = np.where(died < 0, np.datetime64("NaT"), _dates(death))
    return {
        "subject_id": people.subject_id,
        "gender": choose(["M", "F"], people.female.astype(int)),
        "dob": _dates(first - (age * 365.2425 * DAY).astype(np.int64)),
        "dod": dates,
        "dod_hosp": hospital,
        "dod_ssn": np.where(later, dates, np.datetime64("NaT")),
        "expire_flag": (death >= 0).astype(int),
    }


def _admissions(
    rng: np.random.Generator, people: People, admissions: Admissions, stays: Stays
) -> dict[str, Column]:
    size = len(admissions.hadm_id)
    emergency = admissions.emergency
    ethnicity = rng.choice(5, len(people.subject_id), p=[0.7, 0.1, 0.06, 0.04, 0.1])[admissions.patient]
    waited = rng.integers(2 * HOUR, 9 * HOUR, size)
    discharge = np.where(admissions.dies, 0, rng.integers(1, 4, size))
    charted = np.bincount(stays.admission, ~stays.uncharted, size) > 0
    missing = np.datetime64("NaT")
    return _of_admission(people, admissions, np.arange(size)) | {
        "admittime": _times(admissions.admittime),
        "dischtime": _times(admissions.dischtime),
        "deathtime": np.where(admissions.dies, _times(admissions.dischtime), missing),
        "admission_type": choose(["ELECTIVE", "EMERGENCY"], emergency.astype(int)),
        "admission_location": choose(
            ["PHYS REFERRAL/NORMAL DELI", "EMERGENCY ROOM ADMIT"], emergency.astype(int)
        ),
        "discharge_location": choose(["DEAD/EXPIRED", "HOME", "SNF", "REHAB/DISTINCT PART HOSP"], discharge),
        "insurance": choose(
            ["Private", "Medicare"], (people.age_years[admissions.patient] >= 65).astype(int)
        ),
        "language": choose(["ENGL", "SPAN"], rng.choice([-1, 0, 1], size, p=[0.3, 0.62, 0.08])),
        "religion": choose(["CATHOLIC", "NOT SPECIFIED", "JEWISH"], rng.choice(3, size)),
        "marital_status": choose(["MARRIED", "SINGLE", "WIDOWED"], rng.choice([-1, 0, 1, 2], size)),
        "ethnicity": choose(_ETHNICITIES, ethnicity),
        "edregtime": np.where(emergency, _times(admissions.admittime - waited), missing),
        "edouttime": np.where(emergency, _times(admissions.admittime + 1800), missing),
        "diagnosis": choose(_DIAGNOSES, admissions.problem),
        "hospital_expire_flag": admissions.dies.astype(int),
        "has_chartevents_data": charted.astype(int),
    }


def _icustays(people: People, admissions: Admissions, stays: Stays) -> dict[str, Column]:
    problem = admissions.problem[stays.admission]
    wards = np.array([_WARDS[unit] for unit in _UNITS_OF_PROBLEM])[problem]
    return _of_admission(people, admissions, stays.admission) | {
        "icustay_id": stays.icustay_id,
        "dbsource": choose(["carevue", "metavision"], people.metavision[stays.patient].astype(int)),
        "first_careunit": choose(_UNITS_OF_PROBLEM, problem),
        "last_careunit": choose(_UNITS_OF_PROBLEM, problem),
        "first_wardid": wards,
        "last_wardid": wards,
        "intime": _times(stays.intime),
        "outtime": _times(stays.outtime),
        "los": ((stays.outtime - stays.intime) / DAY).round(4),
    }


def _services(people: People, admissions: Admissions) -> dict[str, Column]:
    return _of_admission(people, admissions, np.arange(len(admissions.hadm_id))) | {
        "transfertime": _times(admissions.admittime + 60),
        "curr_service": choose(_SERVICES, admissions.problem),
    }


def _codes(
    people: People, admissions: Admissions, candidates: list[tuple[str, np.ndarray]]
) -> dict[str, Column]:
    """Rows of a code table: for each admission its codes in the order of the candidates."""
    chosen = np.stack([mask for _, mask in candidates], axis=1)
    admission, code = np.nonzero(chosen)
    return _of_admission(people, admissions, admission) | {
        "seq_num": np.cumsum(chosen, axis=1)[admission, code],
        "icd9_code": choose([name for name, _ in candidates], code),
    }


def _diagnoses(
    rng: np.random.Generator, people: People, admissions: Admissions, worst: _Worst
) -> dict[str, Column]:
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


def _procedures(
    rng: np.random.Generator, people: People, admissions: Admissions, worst: _Worst
) -> dict[str, Column]:
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


_LABS = {
    50813: ("mmol/L", 1), 50821: ("mm Hg", 0), 50816: (None, 0), 50818: ("mm Hg", 0), 50820: ("units", 2),
    50885: ("mg/dL", 1), 50912: ("mg/dL", 1), 51006: ("mg/dL", 0), 51265: ("K/uL", 0), 51301: ("K/uL", 1),
    51222: ("g/dL", 1), 50971: ("mEq/L", 1), 50983: ("mEq/L", 0), 50882: ("mEq/L", 0), 51237: (None, 1),
    50931: ("mg/dL", 0),
}  # fmt: skip
_BLOOD_GAS = (50813, 50821, 50816, 50818, 50820)
_SPECIMEN = 50800


def _laboratory(
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
    return _of_admission(people, admissions, stays.admission[stay]) | {
        "itemid": itemid,
        "charttime": _times(time),
        "value": pa.compute.if_else(specimen, "ART", numbers.cast(pa.string())),
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


def _microbiology(
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
    return _of_admission(people, admissions, stays.admission[stay]) | {
        "chartdate": _dates(time),
        "charttime": np.where(undated, np.datetime64("NaT"), _times(time)),
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


def _prescriptions(
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
    return _of_admission(people, admissions, stays.admission[stay]) | {
        "icustay_id": pa.array(stays.icustay_id[stay], mask=rng.random(len(stay)) < 0.3),
        "startdate": _dates(begin),
        "enddate": _dates(end),
        "drug_type": "MAIN",
        "drug": choose(names, drug),
        "drug_name_generic": choose(names, np.where(rng.random(len(drug)) < 0.4, -1, drug)),
        "dose_val_rx": choose([dose for _, _, dose, _ in _DRUGS], drug),
        "dose_unit_rx": choose([unit for _, _, _, unit in _DRUGS], drug),
        "route": choose([route for _, route, _, _ in _DRUGS], drug),
    }
