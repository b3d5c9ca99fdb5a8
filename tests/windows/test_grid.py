"""The regular series of each stay."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.grids import grid_of, series_of
from tests.helpers.identifiers import as_names
from workflow_scripts.sources.contract import Measurements, Stays
from workflow_scripts.windows.grid import make_grid, smooth

MINUTE = 60_000_000
NAN = np.nan


def make_stays(*spans: tuple[int, float, float]) -> Stays:
    """Return stays of (icustay_id, intime, outtime), times in minutes."""
    ids, begins, ends = (np.array(column) for column in zip(*spans, strict=True))
    times = [(column * MINUTE).astype(np.int64) for column in (begins, ends)]
    no_onset = np.full(len(ids), np.datetime64("NaT", "us"))
    names = as_names(ids)
    return Stays(names, names, *times, np.zeros(len(ids), dtype=bool), no_onset)


def make_measurements(*rows: tuple[int, float, float]) -> Measurements:
    """Return measurements of (icustay_id, minute, value)."""
    ids, times, values = (np.array(column) for column in zip(*rows, strict=True))
    names, stay = np.unique(ids, return_inverse=True)
    return Measurements(as_names(names), stay, (times * MINUTE).astype(np.int64), values.astype(float))


def test_each_step_holds_the_median_of_its_hour_from_the_admission() -> None:
    stays = make_stays((7, 17, 17 + 240))
    charted = make_measurements(
        (7, 17, 60), (7, 40, 90), (7, 76.9, 70), (7, 77, 100), (7, 80, 110), (7, 200, 50)
    )
    grid = make_grid(stays, charted, 60)
    np.testing.assert_array_equal(series_of(grid, 0), np.float32([70, 105, NAN, 50]))
    np.testing.assert_array_equal(grid.lengths, [4])


def test_values_outside_the_stay_and_of_other_stays_lie_on_no_grid() -> None:
    stays = make_stays((9, 0, 90), (4, 0, 60))
    charted = make_measurements((9, -1, 1), (9, 90, 2), (9, 89.9, 3), (5, 10, 4), (11, 10, 5), (4, 60, 6))
    grid = make_grid(stays, charted, 60)
    np.testing.assert_array_equal(series_of(grid, 0), np.float32([NAN, 3]))
    np.testing.assert_array_equal(series_of(grid, 1), np.float32([NAN]))
    np.testing.assert_array_equal(grid.offsets, [0, 2, 3])


@given(
    st.lists(
        st.tuples(st.sampled_from([3, 5, 8, 13]), st.integers(-30, 400), st.integers(20, 200)),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([5, 30, 60]),
)
def test_the_grid_equals_a_group_by_in_pandas(rows: list[tuple[int, int, int]], interval: int) -> None:
    spans = {5: (20, 333), 3: (0, 300), 8: (10, 70)}
    grid = make_grid(
        make_stays(*((stay, *span) for stay, span in spans.items())), make_measurements(*rows), interval
    )
    table = pd.DataFrame(rows, columns=["stay", "minute", "value"])
    for place, (stay, (begin, end)) in enumerate(spans.items()):
        own = table[(table["stay"] == stay) & (table["minute"] >= begin) & (table["minute"] < end)]
        medians = own.groupby((own["minute"] - begin) // interval)["value"].median()
        expected = medians.reindex(range(int(np.ceil((end - begin) / interval)))).to_numpy(np.float32)
        np.testing.assert_array_equal(series_of(grid, place), expected)


@given(
    st.lists(
        st.lists(st.one_of(st.just(NAN), st.integers(20, 200).map(float)), max_size=8), min_size=1, max_size=5
    )
)
def test_smoothing_is_the_centred_rolling_mean_of_each_stay_where_something_was_charted(
    series: list[list[float]],
) -> None:
    smoothed = smooth(grid_of(series))
    for place, stay in enumerate(series):
        expected = pd.Series(stay, dtype=float).rolling(3, center=True, min_periods=1).mean()
        np.testing.assert_allclose(series_of(smoothed, place), expected.where(pd.notna(stay)), rtol=1e-6)


@pytest.mark.parametrize("interval", [1, 60, 1440])
def test_the_last_step_may_be_cut_short_by_the_discharge(interval: int) -> None:
    stays = make_stays((1, 0, 2 * interval), (2, 0, 2 * interval + 0.5))
    grid = make_grid(stays, make_measurements((1, 0, 80)), interval)
    np.testing.assert_array_equal(grid.lengths, [2, 3])
