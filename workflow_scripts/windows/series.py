"""Series of a user's own file, CSV or Parquet, as the equally spaced contexts that a model forecasts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

ONE_SERIES = "series"
"""The name of the only series of a file without a column `series`."""


@dataclass(frozen=True)
class SeriesTable:
    """N series on one grid, each ending with its last row; natural units.

    names: str [N]; values: float32 [N, context], NaN where nothing was charted; last: datetime64[s] [N], time of
    the last value; step_seconds: seconds between two values.
    """

    names: list[str]
    values: np.ndarray
    last: np.ndarray
    step_seconds: int

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
    series, or `interval_minutes`; times in between are refused, missing ones are gaps (NaN).
    Raises UserError for an unreadable file, missing columns, times that are no times or are off the grid,
    repeated times, values that are not numbers, a series shorter than the context or without any value.
    """
    table = _read_table(path)
    step = _step_seconds(path, table, interval_minutes)
    names = list(dict.fromkeys(table["series"]))
    values = np.full((len(names), context), np.nan, dtype=np.float32)
    last = np.empty(len(names), dtype="datetime64[s]")
    too_short = []
    for number, (_, rows) in enumerate(table.groupby("series", sort=False)):
        place = _places(path, rows, step)
        if place[0] > -(context - 1):
            too_short.append(1 - int(place[0]))
        recent = place > -context
        values[number, place[recent] + context - 1] = rows["value"].to_numpy()[recent]
        last[number] = rows["time"].iloc[-1].to_datetime64()
    if too_short:
        raise UserError(
            str(path),
            f"{len(too_short)} of {len(names)} series shorter than the context, the shortest has "
            f"{min(too_short)} steps of {step // 60} min",
            f"at least {context} steps in each series",
            "give longer series, or a shorter --context",
        )
    empty = int(np.isnan(values).all(axis=1).sum())
    if empty:
        raise UserError(
            str(path),
            f"{empty} of {len(names)} series without any value in the last {context} steps",
            "at least one value in each context",
            "leave these series out",
        )
    return SeriesTable([str(name) for name in names], values, last, step)


def _read_table(path: Path) -> "pd.DataFrame":
    """Return the rows as series, time (datetime64[s]), value (float), sorted by series and time."""
    import pandas as pd

    expected = "CSV or Parquet with the columns time and value, and series where there are several"
    remedy = "correct the file; see python -m workflow_scripts.steps.forecast --help"
    if not path.is_file():
        raise UserError(str(path), "no such file", expected, "name an existing file")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        found = f"a file that cannot be read ({type(error).__name__})"
        raise UserError(str(path), found, expected, remedy) from None
    if "series" not in table:
        table["series"] = ONE_SERIES
    missing = [name for name in ("time", "value") if name not in table]
    if missing:
        found = f"no column {', '.join(missing)}; there are {', '.join(map(str, table.columns))}"
        raise UserError(str(path), found, expected, remedy)
    if not len(table):
        raise UserError(str(path), "a header and no row", "at least one series", "give rows")
    time = pd.to_datetime(table["time"], errors="coerce", format="ISO8601")
    value = pd.to_numeric(table["value"], errors="coerce")
    problems = {
        "time": int(time.isna().sum()),
        "value": int((value.isna() & table["value"].notna()).sum() + np.isinf(value).sum()),
        "series": int(table["series"].isna().sum()),
    }
    wrong = [f"{count} rows with a {name} that cannot be read" for name, count in problems.items() if count]
    if wrong:
        raise UserError(str(path), "; ".join(wrong), "ISO times, finite numbers or nothing", remedy)
    if time.dt.tz is not None:
        time = time.dt.tz_convert("UTC").dt.tz_localize(None)
    rows = pd.DataFrame({"series": table["series"], "time": time.astype("datetime64[s]"), "value": value})
    return rows.sort_values(["series", "time"], kind="stable", ignore_index=True)


def _step_seconds(path: Path, table: "pd.DataFrame", interval_minutes: int | None) -> int:
    if interval_minutes is not None:
        return interval_minutes * 60
    strides = table.groupby("series")["time"].diff().dropna().dt.total_seconds()
    strides = strides[strides > 0]
    if not len(strides):
        raise UserError(
            str(path),
            "no series with two times",
            "series of several equally spaced values",
            "give longer series, or name the step with --interval-minutes",
        )
    return int(strides.min())


def _places(path: Path, rows: "pd.DataFrame", step: int) -> np.ndarray:
    """Return each row's step, counted from the series' last one, which is 0."""
    seconds = rows["time"].to_numpy().astype(np.int64)
    behind = seconds - seconds[-1]
    off, repeated = int((behind % step != 0).sum()), int((np.diff(behind) == 0).sum())
    if off or repeated:
        raise UserError(
            str(path),
            f"{off} times off the grid of {step / 60:g} min and {repeated} repeated times in one series",
            "equally spaced times, each once; missing ones are fine",
            "resample the series first, for example to the median of each hour",
        )
    return behind // step
