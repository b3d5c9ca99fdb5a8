"""Series of a user's own file, CSV or Parquet, as the equally spaced contexts that a model forecasts from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.identifiers import decode_identifiers, number_names
from workflow_scripts.runtime.tables import Columns, read_table

ONE_SERIES = "series"
"""The name of the only series of a file without a column `series`."""

_COLUMNS: Columns = {"time": "time", "value": "number"}
_SERIES: Columns = {"series": "text or integer"}
_REMEDY = "correct the file; see python -m workflow_scripts.steps.forecast --help"


@dataclass(frozen=True)
class SeriesTable:
    """N series on one grid, each ending with its last row; natural units.

    names: str [N], in the order of runtime/identifiers.py; values: float32 [N, context], NaN where nothing was charted;
    last: datetime64[s] [N], time of the last value; step_seconds: seconds between two values; spacing_seconds: the
    median of the seconds between two times of the file, 0 where no series has two.
    """

    names: list[str]
    values: np.ndarray
    last: np.ndarray
    step_seconds: int
    spacing_seconds: float = 0

    @property
    def start(self) -> np.ndarray:
        """Seconds since 1970 of the first context step, int64 [N]."""
        return self.last.astype(np.int64) - (self.values.shape[1] - 1) * self.step_seconds

    def future_times(self, horizon: int) -> np.ndarray:
        """The times of the forecast, datetime64[s] [N, horizon]."""
        steps = np.arange(1, horizon + 1) * np.timedelta64(self.step_seconds, "s")
        return self.last[:, None] + steps


def read_series(path: Path, context: int, interval_minutes: int | None = None) -> SeriesTable:
    """Read a CSV or Parquet file with the columns series (optional), time and value; rows in any order.

    The last `context` steps of each series are taken. The step is the smallest distance between two times of a
    series, or `interval_minutes`; times in between are refused, missing ones are gaps (NaN). Times with a zone are
    told in UTC, fractions of a second are rounded. Names stay as they are written.
    Raises UserError for an unreadable file, missing columns, times that are no times or are off the grid,
    repeated times, values that are not numbers, a series shorter than the context or without any value.
    """
    rows = _read_rows(path)
    step = _step_seconds(path, rows, interval_minutes)
    behind = rows.seconds - rows.last[rows.series]
    _refuse_uneven(path, rows, behind, step)
    place = behind // step
    steps = 1 - np.minimum.reduceat(place, rows.begin)
    if (steps < context).any():
        raise UserError(
            str(path),
            f"{int((steps < context).sum())} of {len(steps)} series shorter than the context, the shortest has "
            f"{steps.min()} steps of {step // 60} min",
            f"at least {context} steps in each series",
            "give longer series, or a shorter --context",
        )
    values = np.full((len(steps), context), np.nan, dtype=np.float32)
    recent = place > -context
    values[rows.series[recent], place[recent] + context - 1] = rows.values[recent]
    empty = int(np.isnan(values).all(axis=1).sum())
    if empty:
        raise UserError(
            str(path),
            f"{empty} of {len(steps)} series without any value in the last {context} steps",
            "at least one value in each context",
            "leave these series out",
        )
    return SeriesTable(rows.names, values, rows.last.astype("datetime64[s]"), step, rows.spacing)


@dataclass(frozen=True)
class _Rows:
    """R rows of N series, sorted by series and time.

    names: of the series, in order; series: int64 [R], which of them; seconds: int64 [R], since 1970; values: float32
    [R]; begin: int64 [N], the first row of each series.
    """

    names: list[str]
    series: np.ndarray
    seconds: np.ndarray
    values: np.ndarray
    begin: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """The last time of each series, int64 [N], seconds since 1970."""
        return self.seconds[np.append(self.begin[1:], len(self.seconds)) - 1]

    @property
    def strides(self) -> np.ndarray:
        """Seconds between two times of one series, int64, 0 where a time is repeated."""
        return np.diff(self.seconds)[np.diff(self.series) == 0]

    @property
    def spacing(self) -> float:
        """The median of the strides, 0 where there is none."""
        return float(np.median(self.strides)) if len(self.strides) else 0.0


def _read_rows(path: Path) -> _Rows:
    table = read_table(path, _COLUMNS, _REMEDY, optional=_SERIES, complete=("time", "series"))
    if not len(table):
        raise UserError(str(path), "a header and no row", "at least one series", "give rows")
    if "series" in table.column_names:
        names, series = number_names(decode_identifiers(table["series"].combine_chunks()))
    else:
        names, series = np.array([ONE_SERIES]), np.zeros(len(table), dtype=np.int64)
    microseconds = table["time"].cast(pa.int64()).to_numpy()
    seconds = (microseconds + 500_000) // 1_000_000
    values = table["value"].to_numpy()
    too_large = int((np.abs(values) > np.finfo(np.float32).max).sum())
    if too_large:
        expected = "finite numbers up to 3.4e38 in size, or nothing"
        raise UserError(str(path), f"{too_large} values that are infinite or too large", expected, _REMEDY)
    order = np.lexsort((seconds, series))
    return _Rows(
        names.tolist(),
        series[order],
        seconds[order],
        values[order].astype(np.float32),
        np.flatnonzero(np.diff(series[order], prepend=-1)),
    )


def _step_seconds(path: Path, rows: _Rows, interval_minutes: int | None) -> int:
    if interval_minutes is not None:
        return interval_minutes * 60
    strides = rows.strides[rows.strides > 0]
    if not len(strides):
        raise UserError(
            str(path),
            "no series with two times",
            "series of several equally spaced values",
            "give longer series, or name the step with --interval-minutes",
        )
    return int(strides.min())


def _refuse_uneven(path: Path, rows: _Rows, behind: np.ndarray, step: int) -> None:
    off, repeated = int((behind % step != 0).sum()), int((rows.strides == 0).sum())
    problems = [f"{off} times off the grid of {step / 60:g} min"] * bool(off)
    problems += [f"{repeated} repeated times in one series, to the second"] * bool(repeated)
    if problems:
        raise UserError(
            str(path),
            " and ".join(problems),
            "equally spaced times of whole seconds, each once; missing ones are fine",
            "resample the series first, for example to the median of each hour",
        )
