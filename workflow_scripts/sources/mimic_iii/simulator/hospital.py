"""What the hospital records around the ICU."""

import numpy as np

from workflow_scripts.sources.mimic_iii.simulator.codes import Worst, diagnoses, procedures
from workflow_scripts.sources.mimic_iii.simulator.laboratory import laboratory, microbiology
from workflow_scripts.sources.mimic_iii.simulator.patients import (
    DAY,
    HOUR,
    Admissions,
    People,
    Stays,
    of_admission,
)
from workflow_scripts.sources.mimic_iii.simulator.physiology import Course
from workflow_scripts.sources.mimic_iii.simulator.prescriptions import prescriptions
from workflow_scripts.sources.mimic_iii.simulator.write import Column, choose, dates, times

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
    worst = Worst(admissions, stays, course)
    return {
        "patients": _patients(rng, people, admissions),
        "admissions": _admissions(rng, people, admissions, stays),
        "icustays": _icustays(people, admissions, stays),
        "services": _services(people, admissions),
        "diagnoses_icd": diagnoses(rng, people, admissions, worst),
        "procedures_icd": procedures(rng, people, admissions, worst),
        "labevents": laboratory(rng, people, admissions, stays, course),
        "microbiologyevents": microbiology(rng, people, admissions, stays),
        "prescriptions": prescriptions(rng, people, admissions, stays),
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
    died_on = np.where(death < 0, np.datetime64("NaT"), dates(death))
    hospital = np.where(died < 0, np.datetime64("NaT"), dates(death))
    return {
        "subject_id": people.subject_id,
        "gender": choose(["M", "F"], people.female.astype(int)),
        "dob": dates(first - (age * 365.2425 * DAY).astype(np.int64)),
        "dod": died_on,
        "dod_hosp": hospital,
        "dod_ssn": np.where(later, died_on, np.datetime64("NaT")),
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
    return of_admission(people, admissions, np.arange(size)) | {
        "admittime": times(admissions.admittime),
        "dischtime": times(admissions.dischtime),
        "deathtime": np.where(admissions.dies, times(admissions.dischtime), missing),
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
        "edregtime": np.where(emergency, times(admissions.admittime - waited), missing),
        "edouttime": np.where(emergency, times(admissions.admittime + 1800), missing),
        "diagnosis": choose(_DIAGNOSES, admissions.problem),
        "hospital_expire_flag": admissions.dies.astype(int),
        "has_chartevents_data": charted.astype(int),
    }


def _icustays(people: People, admissions: Admissions, stays: Stays) -> dict[str, Column]:
    problem = admissions.problem[stays.admission]
    wards = np.array([_WARDS[unit] for unit in _UNITS_OF_PROBLEM])[problem]
    return of_admission(people, admissions, stays.admission) | {
        "icustay_id": stays.icustay_id,
        "dbsource": choose(["carevue", "metavision"], people.metavision[stays.patient].astype(int)),
        "first_careunit": choose(_UNITS_OF_PROBLEM, problem),
        "last_careunit": choose(_UNITS_OF_PROBLEM, problem),
        "first_wardid": wards,
        "last_wardid": wards,
        "intime": times(stays.intime),
        "outtime": times(stays.outtime),
        "los": ((stays.outtime - stays.intime) / DAY).round(4),
    }


def _services(people: People, admissions: Admissions) -> dict[str, Column]:
    return of_admission(people, admissions, np.arange(len(admissions.hadm_id))) | {
        "transfertime": times(admissions.admittime + 60),
        "curr_service": choose(_SERVICES, admissions.problem),
    }
