"""The two tables that every source gives, vital signs and stays, and the checks that all sources share.

vitals.parquet: one row for each value (VALUE_COLUMNS). stays.parquet: one row for each ICU stay (STAY_COLUMNS); a
cohort table is the same with `included`. The columns of OPTIONAL_STAY_COLUMNS may be left out of both, and further
columns do no harm.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.tables import ColumnKind, check_columns
from workflow_scripts.sources.identifiers import decode_identifiers, encode_identifiers, number_names

COHORT_COLUMNS: dict[str, ColumnKind] = {
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

OPTIONAL_STAY_COLUMNS: dict[str, ColumnKind] = {
    "hadm_id": "integer",
    "age_years": "number",
    "sex": "text",
    "icu_type": "text",
    "hospital": "text",
}
"""What a source may tell of a stay besides; a cohort table has them too."""

STRATA = ("died_in_hospital", "septic")
"""Columns that are to be as frequent in every split; where deaths are not known, sepsis."""

_COMPLETE = ("subject_id", "icustay_id", "intime", "outtime")

VALUE_COLUMNS: dict[str, ColumnKind] = {
    "icustay_id": "text or integer",
    "charttime": "timestamp without zone",
    "vital": "text",
    "value": "number",
}


@dataclass(frozen=True)
class Stays:
    """The included ICU stays, in the order of (subject_id, icustay_id); every array has one entry per stay.

    subject_id, icustay_id: str (identifiers.py says their order); intime, outtime: int64, microseconds since 1970 in
    the data's own calendar; died_in_hospital: bool, False where it is not known; onset: datetime64[us], NaT where the
    cohort gives none.
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
    known; stratified_by: the first of STRATA that the table tells of any stay, or "nothing".
    """

    subject_id: np.ndarray
    stratum: np.ndarray
    stratified_by: str = STRATA[0]

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
    remedy = "make the cohort table again (label_cohort), or correct your own"
    check_columns(path, COHORT_COLUMNS, remedy)
    table = pq.read_table(path, columns=list(COHORT_COLUMNS), partitioning=None)
    table = _with_text_identifiers(table.filter(pc.fill_null(table["included"], False)))
    if not len(table):
        raise UserError(str(path), "no included stay", "at least one stay with included = true", remedy)
    _refuse_wrong_stays(path, table, "included stay", remedy)
    subject_id, icustay_id = (
        decode_identifiers(table[name].combine_chunks()) for name in ("subject_id", "icustay_id")
    )
    order = np.lexsort((number_names(icustay_id)[1], number_names(subject_id)[1]))
    table = table.take(order)
    return Stays(
        subject_id=subject_id[order],
        icustay_id=icustay_id[order],
        intime=_microseconds(table["intime"]),
        outtime=_microseconds(table["outtime"]),
        died_in_hospital=pc.fill_null(table["died_in_hospital"], False).to_numpy(),
        onset=table["onset"].cast(pa.timestamp("us"), safe=False).to_numpy(),
    )


def read_patients(path: Path) -> Patients:
    """Return every patient of a cohort table, whether or not a stay of theirs is included.

    Raises UserError for a missing or ill-typed column.
    """
    check_columns(path, COHORT_COLUMNS, "make the cohort table again (label_cohort), or correct your own")
    present = [name for name in STRATA if name in pq.read_schema(path).names]
    table = pq.read_table(path, columns=["subject_id", *present], partitioning=None)
    told = [name for name in present if table[name].null_count < len(table)]
    encoded = encode_identifiers(table["subject_id"])
    known = pc.is_valid(encoded)
    table = table.filter(known)
    subject_id, patient = number_names(decode_identifiers(encoded.filter(known)))
    stratum = np.zeros(len(subject_id), dtype=bool)
    if not told:
        return Patients(subject_id, stratum, "nothing")
    np.logical_or.at(stratum, patient, pc.fill_null(table[told[0]], False).to_numpy())
    return Patients(subject_id, stratum, told[0])


def _with_text_identifiers(table: pa.Table) -> pa.Table:
    for name in ("subject_id", "icustay_id"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.chunked_array([encode_identifiers(table[name])]))
    return table


def _refuse_wrong_stays(path: Path, table: pa.Table, kind: str, remedy: str) -> None:
    """Raise UserError for stays that are incomplete, repeated, or end before they begin."""
    incomplete = [name for name in _COMPLETE if table[name].null_count]
    if incomplete:
        found = f"empty values of {kind}s in {', '.join(incomplete)}"
        raise UserError(str(path), found, f"every {kind} complete", remedy)
    repeated = len(table) - len(pc.unique(table["icustay_id"].combine_chunks().indices))
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
    check_columns(values, VALUE_COLUMNS, remedy)
    check_columns(stays, STAY_COLUMNS, remedy)
    present = pq.read_schema(stays).names
    optional = {name: kind for name, kind in OPTIONAL_STAY_COLUMNS.items() if name in present}
    check_columns(stays, optional, remedy)
    table = pq.read_table(stays, columns=list(STAY_COLUMNS), partitioning=None)
    _refuse_wrong_stays(stays, _with_text_identifiers(table), "stay", remedy)
    unknown = set(_vitals_of(values)) - set(vital_names)
    if unknown:
        found = f"vital signs that nobody knows: {', '.join(sorted(map(str, unknown)))}"
        raise UserError(str(values), found, f"some of {', '.join(vital_names)}", remedy)


def _vitals_of(values: Path) -> list[str]:
    return pc.unique(pq.read_table(values, columns=["vital"], partitioning=None)["vital"]).to_pylist()


def read_measurements(path: Path, vital: str) -> Measurements:
    """Return the finite values of one vital sign from a long table with at least the VALUE_COLUMNS.

    Rows without stay, time or finite value are left out: they belong to no grid.
    Raises UserError for a missing or ill-typed column and where the table holds no row of that vital sign.
    """
    remedy = "extract the vital sign (extract_events), or name one that the table holds"
    check_columns(path, VALUE_COLUMNS, remedy)
    table = pq.read_table(
        path,
        columns=["icustay_id", "charttime", "value"],
        filters=(pc.field("vital") == vital)
        & pc.field("icustay_id").is_valid()
        & pc.field("charttime").is_valid()
        & pc.field("value").is_valid(),
        partitioning=None,
    )
    if not len(table):
        names = ", ".join(sorted(map(str, _vitals_of(path)))) or "nothing"
        raise UserError(str(path), f"no value of {vital} within an ICU stay", f"one of: {names}", remedy)
    value = table["value"].cast(pa.float64()).to_numpy()
    encoded = encode_identifiers(table["icustay_id"])
    kept = np.isfinite(value) & pc.is_valid(encoded).to_numpy(zero_copy_only=False)
    return Measurements(
        icustay_ids=np.array(encoded.dictionary.to_pylist(), dtype=object),
        stay=pc.fill_null(encoded.indices, 0).to_numpy().astype(np.int64)[kept],
        time=_microseconds(table["charttime"])[kept],
        value=value[kept],
    )


def _microseconds(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
