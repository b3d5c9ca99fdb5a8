"""The two tables that every source gives, vital signs and stays, and the checks that all sources share.

vitals.parquet: one row for each value (VALUE_COLUMNS). stays.parquet: one row for each ICU stay (STAY_COLUMNS); a
cohort table is the same with `included`. The columns of OPTIONAL_STAY_COLUMNS may be left out of both, and further
columns do no harm.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.identifiers import decode_identifiers, number_names
from workflow_scripts.runtime.tables import Columns, read_table

COHORT_COLUMNS: Columns = {
    "subject_id": "text or integer",
    "icustay_id": "text or integer",
    "intime": "timestamp without zone",
    "outtime": "timestamp without zone",
    "died_in_hospital": "true/false",
    "included": "true/false",
    "onset": "timestamp without zone",
}
"""What a cohort table must hold; an onset may be empty, and so may died_in_hospital, where it is not known."""

STAY_COLUMNS = {name: kind for name, kind in COHORT_COLUMNS.items() if name != "included"}

OPTIONAL_STAY_COLUMNS: Columns = {
    "hadm_id": "text or integer",
    "age_years": "number",
    "sex": "text",
    "icu_type": "text",
    "hospital": "text",
    "subject_kind": "text",
    "died_in_icu": "true/false",
}
"""What a source may tell of a stay besides; a cohort table has them too.

subject_kind: what a subject_id is, the same for all stays: patient, where the column is absent, or admission or stay,
where the data do not tell which of these are of one person.
"""

STRATA = ("died_in_hospital", "septic")
"""Columns that are to be as frequent in every split; where deaths are not known, sepsis."""

OUTSIDE = {
    True: "values outside the plausible range, left out",
    False: "values outside the plausible range",
}
"""What a source calls such values, by whether they are left out."""

_COHORT_REMEDY = "correct the cohort table; one that the workflow made is made again once it is deleted"
_COMPLETE = ("subject_id", "icustay_id", "intime", "outtime")

VALUE_COLUMNS: Columns = {
    "icustay_id": "text or integer",
    "charttime": "timestamp without zone",
    "vital": "text",
    "value": "number",
}


@dataclass(frozen=True)
class Stays:
    """The included ICU stays, in the order of (subject_id, icustay_id); every array has one entry per stay.

    subject_id, icustay_id: str (runtime/identifiers.py says their order); intime, outtime: int64, microseconds since
    1970 in the data's own calendar; died_in_hospital: bool, False where it is not known; onset: datetime64[us], NaT
    where the cohort gives none.
    """

    subject_id: np.ndarray
    icustay_id: np.ndarray
    intime: np.ndarray
    outtime: np.ndarray
    died_in_hospital: np.ndarray
    onset: np.ndarray

    def __len__(self) -> int:
        return len(self.icustay_id)


@dataclass(frozen=True)
class Patients:
    """All patients of a cohort table, included or not, in the order of subject_id.

    subject_id: str; stratum: bool, whether `stratified_by` holds for any of the patient's stays, False where it is not
    known; stratified_by: the first of STRATA that the table tells of any stay, or "nothing"; kind: what a subject_id is
    (subject_kind).
    """

    subject_id: np.ndarray
    stratum: np.ndarray
    stratified_by: str = STRATA[0]
    kind: str = "patient"

    def __len__(self) -> int:
        return len(self.subject_id)


@dataclass(frozen=True)
class Measurements:
    """The values of one vital sign, in any order; every array but icustay_ids has one entry per value.

    icustay_ids: str [K], the distinct stays in any order; stay: int64, the place of the value's stay among them;
    time: int64, microseconds since 1970 in the data's own calendar; value: float64, finite, natural unit.
    """

    icustay_ids: np.ndarray
    stay: np.ndarray
    time: np.ndarray
    value: np.ndarray


def read_stays(path: Path) -> Stays:
    """Return the included stays of a cohort table with at least the columns of COHORT_COLUMNS.

    Raises UserError for a missing or ill-typed column, an empty value, a repeated stay, a stay that ends before it
    begins, and where no stay is included.
    """
    table = read_table(path, COHORT_COLUMNS, _COHORT_REMEDY)
    table = table.filter(pc.fill_null(table["included"], False))
    if not len(table):
        raise UserError(
            str(path), "no included stay", "at least one stay with included = true", _COHORT_REMEDY
        )
    _refuse_wrong_stays(path, table, "included stay", _COHORT_REMEDY)
    subject_id, icustay_id = (
        decode_identifiers(table[name].combine_chunks()) for name in ("subject_id", "icustay_id")
    )
    order = np.lexsort((number_names(icustay_id)[1], number_names(subject_id)[1]))
    table = table.take(order)
    return Stays(
        subject_id=subject_id[order],
        icustay_id=icustay_id[order],
        intime=table["intime"].cast(pa.int64()).to_numpy(),
        outtime=table["outtime"].cast(pa.int64()).to_numpy(),
        died_in_hospital=pc.fill_null(table["died_in_hospital"], False).to_numpy(),
        onset=table["onset"].to_numpy(),
    )


def read_patients(path: Path) -> Patients:
    """Return every patient of a cohort table, whether or not a stay of theirs is included.

    Raises UserError for a missing or ill-typed column.
    """
    optional: Columns = {"septic": "true/false", "subject_kind": "text"}
    table = read_table(path, COHORT_COLUMNS, _COHORT_REMEDY, optional)
    table = table.filter(pc.is_valid(table["subject_id"]))
    subject_id, patient = number_names(decode_identifiers(table["subject_id"].combine_chunks()))
    stratum = np.zeros(len(subject_id), dtype=bool)
    told = [name for name in STRATA if name in table.column_names and table[name].null_count < len(table)]
    kinds = pc.unique(table["subject_kind"]).to_pylist() if "subject_kind" in table.column_names else []
    kind = next((kind for kind in kinds if kind), "patient")
    if not told:
        return Patients(subject_id, stratum, "nothing", kind)
    np.logical_or.at(stratum, patient, pc.fill_null(table[told[0]], False).to_numpy())
    return Patients(subject_id, stratum, told[0], kind)


def _refuse_wrong_stays(path: Path, table: pa.Table, kind: str, remedy: str) -> None:
    """Raise UserError for stays that are incomplete, repeated, or end before they begin."""
    incomplete = [name for name in _COMPLETE if table[name].null_count]
    if incomplete:
        found = f"empty values of {kind}s in {', '.join(incomplete)}"
        raise UserError(str(path), found, f"every {kind} complete", remedy)
    repeated = len(table) - pc.count_distinct(table["icustay_id"].cast(pa.string())).as_py()
    reversed_stays = pc.sum(pc.less_equal(table["outtime"], table["intime"])).as_py()
    if repeated or reversed_stays:
        raise UserError(
            str(path),
            f"{repeated} repeated {kind}s, {reversed_stays} with outtime not after intime",
            f"every {kind} once, with outtime after intime",
            remedy,
        )


def check_tables(values: Path, stays: Path, vital_names: list[str]) -> None:
    """Raise UserError where the two tables that a source wrote are not as this module says.

    vital_names: the vital signs that are known.
    """
    remedy = "correct the source that writes it (workflow_scripts/sources), or the raw files that it reads"
    named = pc.unique(read_table(values, VALUE_COLUMNS, remedy)["vital"]).to_pylist()
    table = read_table(stays, STAY_COLUMNS, remedy, OPTIONAL_STAY_COLUMNS)
    _refuse_wrong_stays(stays, table, "stay", remedy)
    unknown = set(named) - set(vital_names)
    if unknown:
        found = f"vital signs that nobody knows: {_told(unknown)}"
        raise UserError(str(values), found, f"some of {', '.join(vital_names)}", remedy)


def read_measurements(path: Path, vital: str) -> Measurements:
    """Return the finite values of one vital sign from a long table with at least the VALUE_COLUMNS.

    Rows without stay, time or finite value are left out: they belong to no grid.
    Raises UserError for a missing or ill-typed column and where the table holds no row of that vital sign.
    """
    remedy = (
        "name a vital sign that the table holds (`vitals` in params.yaml), or add its values to the table"
    )
    table = read_table(path, VALUE_COLUMNS, remedy, keep=("vital", vital))
    table = table.filter(pc.field("icustay_id").is_valid() & pc.field("charttime").is_valid())
    table = table.filter(pc.is_finite(table["value"]))
    if not len(table):
        vitals = read_table(path, {"vital": "text"}, remedy)["vital"]
        expected = f"one of: {_told(set(pc.unique(vitals).to_pylist()))}"
        raise UserError(str(path), f"no value of {vital} within an ICU stay", expected, remedy)
    icustay_id = table["icustay_id"].combine_chunks()
    return Measurements(
        icustay_ids=np.array(icustay_id.dictionary.to_pylist(), dtype=object),
        stay=icustay_id.indices.to_numpy().astype(np.int64),
        time=table["charttime"].cast(pa.int64()).to_numpy(),
        value=table["value"].to_numpy(),
    )


def _told(vitals: set[str | None]) -> str:
    """The names of vital signs that a table holds; what does not look like one may be a patient's, and is counted."""
    names = sorted(name for name in vitals if name and re.fullmatch(r"[A-Za-z_ ]{3,40}\d?", name))[:20]
    others = len(vitals) - len(names)
    return ", ".join([*names, *[f"{others} others"] * bool(others)]) or "nothing"
