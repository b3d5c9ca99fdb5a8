"""The three tables of one task of a YAIB export, checked."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.tables import ColumnKind, check_columns

_REMEDY = "export the task again with YAIB-cohorts, or correct the file"
_MOST_HOURS = 10_000
"""Of a stay; YAIB-cohorts ends records after 168."""
HOURLY_LABELS = ("sepsis", "aki")
"""Tasks with a label for every hour; the others that are read have one for the stay."""


@dataclass(frozen=True)
class TaskFolder:
    """The folder of one task and data set: dyn (hourly values), sta (one row for each stay), outc (labels)."""

    name: str
    folder: Path

    def files(self) -> list[Path]:
        """Return the paths of its three tables."""
        return [self._path(table) for table in ("dyn", "sta", "outc")]

    def check(self, values: list[str]) -> None:
        """Raise UserError for a missing, cut or ill-typed table, an empty identifier or time, and repeated rows.

        values: columns of hourly values that dyn must hold.
        """
        missing = [path.name for path in self.files() if not path.is_file()]
        if missing:
            raise UserError(
                str(self.folder),
                f"no {', no '.join(missing)}",
                "dyn.parquet, sta.parquet and outc.parquet",
                _REMEDY,
            )
        identifier: dict[str, ColumnKind] = {"stay_id": "integer"}
        check_columns(self._path("dyn"), identifier | dict.fromkeys(values, "number"), _REMEDY)
        check_columns(self._path("sta"), identifier | {"age": "number", "sex": "text"}, _REMEDY)
        check_columns(self._path("outc"), identifier, _REMEDY)
        self._check_times("dyn")
        if self.name != "kidney_function" and self.name != "los":
            self._check_label()
        if self.name in HOURLY_LABELS:
            self._check_times("outc")
            self._refuse_repeated("outc", ["stay_id", "time"])
        else:
            self._refuse_repeated("outc", ["stay_id", "time"] if self.name == "los" else ["stay_id"])
        self._refuse_repeated("dyn", ["stay_id", "time"])
        self._refuse_repeated("sta", ["stay_id"])

    def hours(self) -> pa.Table:
        """Return stay_id (int64) and hour (int64) of every row of dyn."""
        return self._hourly("dyn", [])

    def values(self, column: str) -> pa.Table:
        """Return stay_id, hour and one column of dyn (float64, natural unit), where it is charted."""
        table = self._hourly("dyn", [column])
        table = table.set_column(2, column, table[column].cast(pa.float64()))
        return table.filter(pc.is_valid(table[column]))

    def static(self) -> pa.Table:
        """Return stay_id, age (years) and sex of every stay."""
        return _with_int64(self._read("sta", ["stay_id", "age", "sex"]))

    def outcomes(self) -> pa.Table:
        """Return stay_id and label (bool) of every stay."""
        table = _with_int64(self._read("outc", ["stay_id", "label"]))
        return table.set_column(1, "label", table["label"].cast(pa.bool_()))

    def hourly_outcomes(self) -> pa.Table:
        """Return stay_id, hour and label (bool) of every hour."""
        table = self._hourly("outc", ["label"])
        return table.set_column(2, "label", table["label"].cast(pa.bool_()))

    def _path(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"

    def _read(self, table: str, columns: list[str]) -> pa.Table:
        path = self._path(table)
        try:
            return pq.read_table(path, columns=columns, partitioning=None, page_checksum_verification=True)
        except (OSError, pa.ArrowException):
            raise UserError(
                str(path), "a damaged Parquet file", "a file that was written to its end", _REMEDY
            ) from None

    def _hourly(self, table: str, columns: list[str]) -> pa.Table:
        read = _with_int64(self._read(table, ["stay_id", "time", *columns]))
        hour = pc.divide(read["time"].cast(pa.duration("s"), safe=False).cast(pa.int64()), 3600)
        return read.set_column(1, "hour", hour)

    def _check_times(self, table: str) -> None:
        path = self._path(table)
        schema = pq.read_schema(path)
        kind = schema.field("time").type if "time" in schema.names else None
        if kind is None or not pa.types.is_duration(kind):
            found = "no column time" if kind is None else f"a column time of type {kind}"
            raise UserError(str(path), found, "time as a duration since ICU admission", _REMEDY)
        seconds = self._read(table, ["time"])["time"].cast(pa.duration("s"), safe=False)
        seconds = seconds.cast(pa.int64())
        hours = pc.multiply(pc.divide(seconds, 3600), 3600)
        outside = pc.or_(pc.less(seconds, 0), pc.greater(seconds, 3600 * _MOST_HOURS))
        wrong = _true(pc.or_(outside, pc.not_equal(seconds, hours))) + seconds.null_count
        if wrong:
            found = f"{wrong} rows whose time is no full hour from 0 to {_MOST_HOURS:,}"
            raise UserError(str(path), found, "time since ICU admission: 0 h, 1 h, 2 h …", _REMEDY)

    def _check_label(self) -> None:
        path = self._path("outc")
        schema = pq.read_schema(path)
        kind = schema.field("label").type if "label" in schema.names else None
        if kind is None or not (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
            found = "no column label" if kind is None else f"a column label of type {kind}"
            raise UserError(str(path), found, "label: true or false, or 1 or 0", _REMEDY)

    def _refuse_repeated(self, table: str, keys: list[str]) -> None:
        path = self._path(table)
        read = self._read(table, keys)
        empty = sum(read[key].null_count for key in keys)
        if empty:
            raise UserError(str(path), f"{empty} empty values of {', '.join(keys)}", "none", _REMEDY)
        repeated = len(read) - len(read.group_by(keys).aggregate([]))
        if repeated:
            raise UserError(
                str(path), f"{repeated} repeated rows", f"every {' and '.join(keys)} once", _REMEDY
            )


def refuse_foreign_stays(folder: Path, table: str, stays: pa.ChunkedArray, known: pa.ChunkedArray) -> None:
    """Raise UserError where stays of a table are not among those that are known (of the task los)."""
    foreign = _true(pc.invert(pc.is_in(stays.unique(), value_set=known.combine_chunks())))
    if foreign:
        raise UserError(
            str(folder / f"{table}.parquet"),
            f"{foreign} stays that the task los does not have",
            "exports of all tasks from the same data",
            "export all tasks again from the same data",
        )


def _with_int64(table: pa.Table) -> pa.Table:
    return table.set_column(0, "stay_id", table["stay_id"].cast(pa.int64()))


def _true(condition: pa.ChunkedArray) -> int:
    return int(pc.sum(condition).as_py() or 0)
