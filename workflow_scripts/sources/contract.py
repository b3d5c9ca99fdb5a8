"""The input contract: a cohort table and one long table of (stay, time, value), of any hospital."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.tables import ColumnKind, check_columns

COHORT_COLUMNS: dict[str, ColumnKind] = {
    "subject_id": "integer",
    "icustay_id": "integer",
    "intime": "timestamp without zone",
    "outtime": "timestamp without zone",
    "died_in_hospital": "true/false",
    "included": "true/false",
    "onset": "timestamp without zone",
}
"""What a cohort table must hold; an onset may be empty."""
VALUE_COLUMNS: dict[str, ColumnKind] = {
    "icustay_id": "integer",
    "charttime": "timestamp without zone",
    "vital": "text",
    "value": "number",
}


@dataclass(frozen=True)
class Stays:
    """The included ICU stays, in the order of (subject_id, icustay_id); every array has one entry per stay.

    subject_id, icustay_id: int64; intime, outtime: int64, microseconds since 1970 in the data's own calendar;
    died_in_hospital: bool; onset: datetime64[us], NaT where the cohort gives none.
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
class Measurements:
    """The values of one vital sign, in any order; every array has one entry per value.

    icustay_id: int64; time: int64, microseconds since 1970 in the data's own calendar; value: float64,
    finite, natural unit.
    """

    icustay_id: np.ndarray
    time: np.ndarray
    value: np.ndarray


def read_stays(path: Path) -> Stays:
    """Return the included stays of a cohort table with at least the columns of COHORT_COLUMNS.

    Raises UserError for a missing or ill-typed column, a null in an included stay, a stay that stands there
    twice or ends before it begins, and where no stay is included.
    """
    remedy = "make the cohort table anew (label_cohort), or mend your own"
    check_columns(path, COHORT_COLUMNS, remedy)
    table = pq.read_table(path, columns=list(COHORT_COLUMNS), partitioning=None)
    table = table.filter(pc.fill_null(table["included"], False))
    if not len(table):
        raise UserError(str(path), "no included stay", "at least one stay with included = true", remedy)
    incomplete = [name for name in COHORT_COLUMNS if name != "onset" and table[name].null_count]
    if incomplete:
        found = f"empty values of included stays in {', '.join(incomplete)}"
        raise UserError(str(path), found, "every included stay complete", remedy)
    table = table.sort_by([("subject_id", "ascending"), ("icustay_id", "ascending")])
    stays = Stays(
        subject_id=_integers(table["subject_id"]),
        icustay_id=_integers(table["icustay_id"]),
        intime=_microseconds(table["intime"]),
        outtime=_microseconds(table["outtime"]),
        died_in_hospital=table["died_in_hospital"].to_numpy(),
        onset=table["onset"].cast(pa.timestamp("us"), safe=False).to_numpy(),
    )
    repeated = len(stays) - len(np.unique(stays.icustay_id))
    reversed_stays = int((stays.outtime <= stays.intime).sum())
    if repeated or reversed_stays:
        raise UserError(
            str(path),
            f"{repeated} repeated included stays, {reversed_stays} with outtime not after intime",
            "every included stay once, with outtime after intime",
            remedy,
        )
    return stays


def read_measurements(path: Path, vital: str) -> Measurements:
    """Return the finite values of one vital sign from a long table with at least the VALUE_COLUMNS.

    Rows without stay, time or finite value are left out: they cannot lie on any grid.
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
        held = pc.unique(pq.read_table(path, columns=["vital"], partitioning=None)["vital"]).to_pylist()
        names = ", ".join(sorted(str(name) for name in held)) or "nothing"
        raise UserError(str(path), f"no value of {vital} within an ICU stay", f"one of: {names}", remedy)
    value = table["value"].cast(pa.float64()).to_numpy()
    finite = np.isfinite(value)
    return Measurements(
        icustay_id=_integers(table["icustay_id"])[finite],
        time=_microseconds(table["charttime"])[finite],
        value=value[finite],
    )


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.int64()).to_numpy()


def _microseconds(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
