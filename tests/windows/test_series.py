"""Series of a user's own file become contexts on one grid."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.series import read_series


def write(path: Path, **columns) -> Path:
    table = pd.DataFrame(columns)
    table.to_parquet(path, index=False) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.fixture(params=["series.csv", "series.parquet"])
def path(request, tmp_path: Path) -> Path:
    return tmp_path / request.param


HOURS = pd.date_range("2130-05-17 03:00", periods=6, freq="h")


def test_the_last_steps_of_each_series_are_its_context_and_missing_times_are_gaps(path: Path) -> None:
    kept = HOURS[[0, 1, 2, 4, 5]]
    write(
        path,
        series=["b"] * 5 + ["a"] * 6,
        time=[*kept, *HOURS],
        value=[1, 2, 3, 5, 6, 11, 12, 13, 14, 15, 16],
    )
    series = read_series(path, context=4)
    assert series.names == ["a", "b"]
    np.testing.assert_array_equal(series.values, np.float32([[13, 14, 15, 16], [3, np.nan, 5, 6]]))
    assert series.step_seconds == 3600
    assert list(series.start) == [int(HOURS[2].timestamp())] * 2
    assert series.future_times(2)[0].tolist() == [HOURS[5] + pd.Timedelta(hours=hour) for hour in (1, 2)]


def test_rows_may_stand_in_any_order_and_an_empty_value_is_a_gap(path: Path) -> None:
    order = [3, 0, 5, 1, 4, 2]
    write(path, time=HOURS[order], value=[[1, 2, 3, None, 5, 6][number] for number in order])
    np.testing.assert_array_equal(read_series(path, 4).values, np.float32([[3, np.nan, 5, 6]]))


def test_a_named_interval_wins_over_the_smallest_distance(path: Path) -> None:
    write(path, time=HOURS[::2], value=[1, 3, 5])
    np.testing.assert_array_equal(read_series(path, 4, 60).values, np.float32([[np.nan, 3, np.nan, 5]]))
    np.testing.assert_array_equal(read_series(path, 3).values, np.float32([[1, 3, 5]]))


def test_times_of_a_zone_are_compared_in_utc(path: Path) -> None:
    write(path, time=HOURS.tz_localize("Asia/Karachi"), value=[1, 2, 3, 4, 5, 6])
    series = read_series(path, 4)
    assert series.last[0] == np.datetime64("2130-05-17T03:00:00"), "08:00 in Karachi, five hours ahead"
    np.testing.assert_array_equal(series.values, np.float32([[3, 4, 5, 6]]))


def test_one_unnamed_series_and_half_hours_are_read_as_such(path: Path) -> None:
    write(path, time=pd.date_range("2130-05-17", periods=5, freq="30min"), value=[1, 2, 3, 4, 5])
    series = read_series(path, 3)
    assert len(series.names) == 1
    assert series.step_seconds == 1800
    assert series.start.tolist() == [int(pd.Timestamp("2130-05-17 01:00").timestamp())]
    assert series.future_times(3)[0].tolist() == [
        pd.Timestamp("2130-05-17 02:00") + pd.Timedelta(minutes=30 * step) for step in (1, 2, 3)
    ]


def test_the_smallest_distance_of_all_series_is_the_step_of_each(path: Path) -> None:
    write(path, series=["a"] * 3 + ["b"] * 3, time=[*HOURS[[0, 2, 4]], *HOURS[:3]], value=[1, 3, 5, 6, 7, 8])
    series = read_series(path, 3)
    assert series.step_seconds == 3600
    np.testing.assert_array_equal(series.values, np.float32([[3, np.nan, 5], [6, 7, 8]]))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read_series(tmp_path / "none.csv", context=4)
    assert refused.value.found == "no such file"


# Columns of the file, and what the message says.
REFUSED = [
    ({"time": HOURS, "worth": range(6)}, "no column value in the header"),
    ({"time": ["soon"] * 6, "value": range(6)}, "line 2, column time: a time that cannot be read"),
    ({"time": HOURS, "value": [*"12345", "x"]}, "line 7, column value: a value that is no number"),
    ({"time": HOURS, "value": [np.inf, 1e39, 2, 3, 4, 5]}, "2 values that are infinite or too large"),
    ({"time": HOURS[[0, 0, 1, 2, 3, 4]], "value": range(6)}, "1 repeated times"),
    (
        {"time": [*HOURS[:5], HOURS[5] + pd.Timedelta(minutes=90)], "value": range(6)},
        "times off the grid of 60 min",
    ),
    (
        {"time": HOURS[:3], "value": range(3)},
        "1 of 1 series shorter than the context, the shortest has 3 steps",
    ),
    ({"time": HOURS, "value": [None] * 6}, "1 of 1 series without any value in the last 4 steps"),
    ({"time": HOURS[:1], "value": [1]}, "no series with two times"),
    ({"time": [], "value": []}, "a header and no row"),
    (
        {"series": [None, *"aaaaa"], "time": HOURS, "value": range(6)},
        "line 2, column series: an empty cell",
    ),
    (
        {"series": [*"aaa", *"bb", "c"], "time": HOURS[[0, 1, 2, 0, 1, 0]], "value": range(6)},
        "3 of 3 series shorter than the context, the shortest has 1 steps of 60 min",
    ),
    (
        {
            "time": [*HOURS[:4], *(HOURS[4:] + pd.Timedelta(minutes=7)), HOURS[5] + pd.Timedelta(minutes=7)],
            "value": range(7),
        },
        "4 times off the grid of 60 min and 1 repeated times",
    ),
]


@pytest.mark.parametrize(("columns", "message"), REFUSED)
def test_a_file_that_cannot_be_forecast_is_refused(columns, message, tmp_path: Path) -> None:
    path = write(tmp_path / "series.csv", **columns)
    with pytest.raises(UserError) as refused:
        read_series(path, context=4)
    assert message in refused.value.found
    assert str(path) in str(refused.value)


def test_a_file_that_is_no_table_is_refused(path: Path) -> None:
    path.write_bytes(b"\x00PAR\xff\xfe")
    with pytest.raises(UserError) as refused:
        read_series(path, context=4)
    found = {".csv": "line 1: text that is not UTF-8", ".parquet": "not a complete Parquet file"}[path.suffix]
    assert refused.value.found.startswith(found)
