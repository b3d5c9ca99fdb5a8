"""Patients, admissions and ICU stays: keys, references, dates and ages."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.checks.collectors import (
    MICROSECONDS_PER_HOUR,
    Census,
    integers,
    positions,
)
from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level

KEYS = {"patients": "subject_id", "admissions": "hadm_id", "icustays": "icustay_id"}
_HOURS_PER_YEAR = 24 * 365.2425
_ERROR_SHARE = 0.05
_RELEASE = "take the tables of one release, whole and unmodified"


def read_census(tables: Mapping[str, pa.RecordBatch]) -> Census:
    """Return the identifiers of the three tables; one that is absent counts as empty."""

    def column(table: str, name: str) -> np.ndarray:
        batch = tables.get(table)
        if batch is None or name not in batch.schema.names or KEYS[table] not in batch.schema.names:
            return np.array([], dtype=np.int64)
        order = np.argsort(integers(batch, KEYS[table]), kind="stable")
        return integers(batch, name)[order]

    return Census(
        patients=column("patients", "subject_id"),
        admissions=column("admissions", "hadm_id"),
        patient_of_admission=column("admissions", "subject_id"),
        stays=column("icustays", "icustay_id"),
        admission_of_stay=column("icustays", "hadm_id"),
        intime=column("icustays", "intime"),
        outtime=column("icustays", "outtime"),
    )


def check_people(tables: Mapping[str, pa.RecordBatch]) -> list[Finding]:
    """Return what is wrong within and between the three tables, as far as they are there and have rows."""
    tables = {table: batch for table, batch in tables.items() if batch.num_rows}
    found = [finding for table, key in KEYS.items() for finding in _check_key(tables, table, key)]
    patients, admissions, stays = (tables.get(table) for table in KEYS)
    if admissions is not None:
        found += _check_admissions(admissions)
    if stays is not None:
        found += _check_stays(stays)
    if patients is not None and admissions is not None:
        found += _check_ages(patients, admissions)
    if admissions is not None and stays is not None:
        found += _check_nesting(admissions, stays)
    return found


def _check_key(tables: Mapping[str, pa.RecordBatch], table: str, key: str) -> list[Finding]:
    batch = tables.get(table)
    if batch is None or key not in batch.schema.names:
        return []
    repeated = batch.num_rows - pc.count_distinct(batch[key], mode="all").as_py()
    empty = batch[key].null_count
    if not repeated and not empty:
        return []
    found = f"{repeated:,} repeated and {empty:,} empty values of {batch.num_rows:,}"
    remedy = "rows may have been appended twice: get the file again"
    return [Finding("error", f"key {key}", table, found, "every key once, and none empty", remedy)]


def _hours(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Hours between times in microseconds; NaN where one is empty."""
    return np.where((later == -1) | (earlier == -1), np.nan, (later - earlier) / MICROSECONDS_PER_HOUR)


def _judge(table: str, check: str, wrong: np.ndarray, found: str, expected: str) -> list[Finding]:
    """A few such rows are in the release itself: a warning; many are an error."""
    count, total = int(np.count_nonzero(wrong)), len(wrong)
    if not count:
        return []
    level: Level = "error" if count > _ERROR_SHARE * total else "warning"
    remedy = _RELEASE if level == "error" else "nothing: the release has a few; check their number against it"
    return [Finding(level, check, table, f"{count:,} of {total:,} {found}", expected, remedy)]


def _has(batch: pa.RecordBatch, *columns: str) -> bool:
    return set(columns) <= set(batch.schema.names)


def _check_admissions(admissions: pa.RecordBatch) -> list[Finding]:
    found = []
    if _has(admissions, "admittime", "dischtime"):
        length = _hours(integers(admissions, "dischtime"), integers(admissions, "admittime"))
        found += _judge(
            "admissions", "dates", length < 0, "end before they begin", "dischtime after admittime"
        )
        empty = np.isnan(length)
        found += _judge("admissions", "dates", empty, "lack a beginning or an end", "admittime and dischtime")
    if _has(admissions, "deathtime", "hospital_expire_flag"):
        died = integers(admissions, "hospital_expire_flag") == 1
        differ = died != admissions["deathtime"].is_valid().to_numpy(zero_copy_only=False)
        expected = "deathtime where hospital_expire_flag is 1, and only there"
        found += _judge("admissions", "deaths", differ, "have a death time or a death flag alone", expected)
    return found


def _check_stays(stays: pa.RecordBatch) -> list[Finding]:
    found = []
    if _has(stays, "intime", "outtime"):
        length = _hours(integers(stays, "outtime"), integers(stays, "intime"))
        found += _judge("icustays", "dates", length < 0, "end before they begin", "outtime after intime")
        empty = np.isnan(length)
        found += _judge("icustays", "dates", empty, "lack a beginning or an end", "intime and outtime")
        if _has(stays, "los"):
            los = pc.fill_null(stays["los"], np.nan).to_numpy(zero_copy_only=False) * 24
            differ = np.abs(los - length) > 0.1
            expected = "the days between intime and outtime in LOS"
            found += _judge("icustays", "length of stay", differ, "have another length in LOS", expected)
    if _has(stays, "dbsource"):
        known = pc.is_in(stays["dbsource"], pa.array(["carevue", "metavision", "both"]))
        other = ~pc.fill_null(known, False).to_numpy(zero_copy_only=False)
        found += _judge(
            "icustays", "dbsource", other, "have another source system", "carevue, metavision, both"
        )
    return found


def _check_ages(patients: pa.RecordBatch, admissions: pa.RecordBatch) -> list[Finding]:
    if not (_has(patients, "subject_id", "dob") and _has(admissions, "subject_id", "admittime")):
        return []
    ids = integers(patients, "subject_id")
    order = np.argsort(ids, kind="stable")
    subject = integers(admissions, "subject_id")
    place = positions(ids[order], subject)
    found = []
    if unknown := int(np.count_nonzero(place < 0)):
        words = f"{unknown:,} of {len(place):,} rows name none that PATIENTS holds"
        expected = "every SUBJECT_ID is in PATIENTS"
        found.append(Finding("error", "reference subject_id", "admissions", words, expected, _RELEASE))
    # 300 years before 2100 is before 1970, so an empty time of -1 never comes from a birth.
    birth = integers(patients, "dob")[order][place]
    years = _hours(integers(admissions, "admittime"), birth)[place >= 0] / _HOURS_PER_YEAR
    found += _judge(
        "patients", "ages", years < -0.01, "admissions are before the birth", "birth before admission"
    )
    # MIMIC-III moves the birth of patients older than 89 years to 300 years before their first admission.
    strange = ((years > 90) & (years < 299)) | (years > 330)
    expected = "ages up to 89 years, or about 300 for patients who were older"
    found += _judge("patients", "ages", strange, "admissions are at an age that MIMIC-III has not", expected)
    if len(years) >= 100 and not np.any(years > 150):
        words = "no age of about 300 years: the shift of patients older than 89 is missing"
        remedy = "nothing for a selection of younger patients; otherwise use the release's dates of birth"
        found.append(Finding("warning", "ages", "patients", words, expected, remedy))
    return found


def _check_nesting(admissions: pa.RecordBatch, stays: pa.RecordBatch) -> list[Finding]:
    if not (_has(admissions, "hadm_id", "subject_id") and _has(stays, "hadm_id", "subject_id")):
        return []
    ids = integers(admissions, "hadm_id")
    order = np.argsort(ids, kind="stable")
    place = positions(ids[order], integers(stays, "hadm_id"))
    known = place >= 0
    found = []
    if unknown := int(np.count_nonzero(~known)):
        words = f"{unknown:,} of {len(place):,} rows name none that ADMISSIONS holds"
        expected = "every HADM_ID is in ADMISSIONS"
        found.append(Finding("error", "reference hadm_id", "icustays", words, expected, _RELEASE))
    other = known & (integers(admissions, "subject_id")[order][place] != integers(stays, "subject_id"))
    if count := int(np.count_nonzero(other)):
        words = f"{count:,} of {len(other):,} stays belong to an admission of another patient"
        expected = "a stay and its admission name one patient"
        found.append(Finding("error", "references", "icustays", words, expected, _RELEASE))
    if _has(admissions, "admittime", "dischtime") and _has(stays, "intime", "outtime"):
        early = _hours(integers(stays, "intime"), integers(admissions, "admittime")[order][place]) < -24
        late = _hours(integers(stays, "outtime"), integers(admissions, "dischtime")[order][place]) > 24
        expected = "stays that lie within their admission, or less than a day outside"
        words = "stays lie a day or more outside their admission"
        found += _judge("icustays", "dates", known & (early | late), words, expected)
    return found
