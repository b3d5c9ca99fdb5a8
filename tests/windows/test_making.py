"""Windows of handmade series, their properties, and the open demo computed a second time by pandas."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.grids import grid_of
from tests.helpers.identifiers import as_names
from workflow_scripts.sources.contract import read_patients
from workflow_scripts.windows.making import make_windows
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import Covariate, Windows
from workflow_scripts.windows.slicing import Slices, candidate_slices, cut_contexts, cut_targets
from workflow_scripts.windows.splitting import split_by_patient

NAN = np.nan
SMALL = {
    "context": 4,
    "horizon": 2,
    "train_stride": 3,
    "minimum_context_observed": 1,
    "minimum_horizon_observed": 1,
    "horizon_may_be_cut": False,
    "validation_fraction": 0.3,
    "test_fraction": 0.3,
}


def steps_of(windows: Windows, stay: int) -> list[int]:
    """Return the starts of a stay's windows in hours after the ward's admission time."""
    admitted = int(pd.Timestamp("2130-05-17 22:47:00").timestamp())
    return [(start - admitted) // 3600 for start in windows.start[windows.icustay_id == str(stay)].tolist()]


def of_stay(windows: Windows, stay: int) -> tuple[np.ndarray, np.ndarray]:
    return windows.context[windows.icustay_id == str(stay)], windows.target[windows.icustay_id == str(stay)]


def fill_ward(ward, count: int = 10, length: int = 18) -> None:
    """Add complete stays 101, 102, … so that every split has windows; stay s counts up from 10 s."""
    for stay in range(101, 101 + count):
        ward.add(stay, [float(10 * stay + step) for step in range(length)])


def test_training_windows_step_by_the_stride_and_the_others_never_overlap(ward) -> None:
    fill_ward(ward)
    windows = ward.windows(**SMALL)
    by_split = {str(split): int(stay) for split, stay in zip(windows.split, windows.icustay_id, strict=True)}
    assert steps_of(windows, by_split["train"]) == [0, 3, 6, 9, 12]
    assert steps_of(windows, by_split["validation"]) == [0, 6, 12]
    assert steps_of(windows, by_split["test"]) == [0, 6, 12]


def test_test_windows_step_by_their_own_stride_where_it_is_given(ward) -> None:
    fill_ward(ward)
    windows = ward.windows(**SMALL, test_stride=1)
    by_split = {str(split): int(stay) for split, stay in zip(windows.split, windows.icustay_id, strict=True)}
    assert steps_of(windows, by_split["test"]) == list(range(13))
    assert steps_of(windows, by_split["validation"]) == [0, 6, 12]


def test_context_and_target_are_neighbouring_pieces_of_the_series(ward) -> None:
    fill_ward(ward)
    windows = ward.windows(**SMALL)
    for stay in map(int, windows.icustay_id):
        context, target = of_stay(windows, stay)
        first = 10 * stay + np.array(steps_of(windows, stay))
        np.testing.assert_array_equal(context, first[:, None] + np.arange(4))
        np.testing.assert_array_equal(target, first[:, None] + np.arange(4, 6))


# fill, and what becomes of the context [missing, 71, missing, 73].
FILLS = [
    ("forward", [NAN, 71, 71, 73]),
    ("forward_backward", [71, 71, 71, 73]),
    ("none", [NAN, 71, NAN, 73]),
]


@pytest.mark.parametrize(("fill", "expected"), FILLS)
def test_gaps_are_filled_within_the_context_only_and_targets_never(fill, expected, ward) -> None:
    fill_ward(ward)
    ward.add(1, [NAN, 71, NAN, 73, NAN, 75, NAN, NAN, 77, NAN, 80, NAN])
    context, target = of_stay(ward.windows(**{**SMALL, "train_stride": 6}, fill=fill), 1)
    np.testing.assert_array_equal(context[0], np.float32(expected))
    np.testing.assert_array_equal(target, np.float32([[NAN, 75], [80, NAN]]))
    # The second context starts with a gap after a charted horizon value: nothing comes across.
    second = {"forward": [NAN, NAN, 77, 77], "forward_backward": [77] * 4, "none": [NAN, NAN, 77, NAN]}
    np.testing.assert_array_equal(context[1], np.float32(second[fill]))


def test_the_age_of_the_last_value_is_counted_in_steps_from_the_end_of_the_context(ward) -> None:
    """A context that is filled looks charted: 71, -, -, 74 | 75, -, -, - | 60, 61, -, -."""
    fill_ward(ward)
    ward.add(1, [71, NAN, NAN, 74, 1, 1, 75, NAN, NAN, NAN, 1, 1, 60, 61, NAN, NAN, 1, 1])
    for fill in ("forward", "forward_backward", "none"):
        windows = ward.windows(**{**SMALL, "train_stride": 6}, fill=fill)
        assert windows.steps_since_observed[windows.icustay_id == "1"].tolist() == [0, 3, 2]
        assert not windows.steps_since_observed[windows.icustay_id != "1"].any()


def test_windows_with_too_few_charted_steps_are_left_out(ward) -> None:
    fill_ward(ward)
    ward.add(1, [1, NAN, NAN, 1, 1, 1, 1, NAN, NAN, NAN, 1, 1, 1, 1, NAN, NAN, 1, NAN, 1, 1, 1, 1, 1, 1])
    parameters = {
        **SMALL, "train_stride": 6, "minimum_context_observed": 2, "minimum_horizon_observed": 2,
    }  # fmt: skip
    assert steps_of(ward.windows(**parameters), 1) == [0, 18]


def test_the_end_of_the_stay_cuts_a_horizon_where_it_may(ward) -> None:
    """Stay 1 lasts 15 hours: the horizon of the window at hour 9 is complete, that of hour 10 has one step."""
    fill_ward(ward)
    ward.add(1, [float(step) for step in range(15)]).add(2, [100.0] * 18)
    parameters = {**SMALL, "train_stride": 1, "validation_fraction": 0.1, "test_fraction": 0.1}
    windows = ward.windows(**{**parameters, "horizon_may_be_cut": True})
    assert windows.split[windows.icustay_id == "1"][0] == "train"
    assert steps_of(windows, 1) == list(range(11))
    context, target = of_stay(windows, 1)
    np.testing.assert_array_equal(target[-2:], np.float32([[13, 14], [14, NAN]]))
    np.testing.assert_array_equal(context[-1], np.float32([10, 11, 12, 13]))
    assert steps_of(ward.windows(**parameters), 1) == list(range(10))


@pytest.mark.parametrize(
    ("left", "charted", "is_kept"),
    [(1, 0, False), (1, 1, True), (2, 1, True), (3, 1, False), (3, 2, True), (4, 1, False), (4, 2, True)],
)
def test_of_a_cut_horizon_the_same_share_must_be_charted(
    left: int, charted: int, is_kept: bool, ward
) -> None:
    """Two of four steps, half: of one left step one, of two one, of three two."""
    settings = {**SMALL, "horizon": 4, "minimum_horizon_observed": 2, "horizon_may_be_cut": True}
    fill_ward(ward)
    ward.add(1, [80.0] * 4 + [NAN] * (left - charted) + [80.0] * charted)
    assert steps_of(ward.windows(**settings), 1) == [0] * is_kept


def test_after_the_last_value_of_a_stay_nothing_is_asked_of_a_horizon(ward) -> None:
    """A patient who dies leaves the unit hours later: what is never charted is no gap. Half of two steps is one."""
    settings = {**SMALL, "horizon": 4, "minimum_horizon_observed": 2}
    fill_ward(ward)
    ward.add(1, [80.0] * 4 + [NAN, 81.0, NAN, NAN, NAN])
    windows = ward.windows(**{**settings, "horizon_may_be_cut": True})
    _, target = of_stay(windows, 1)
    np.testing.assert_array_equal(target, np.float32([[NAN, 81, NAN, NAN]]))
    assert steps_of(ward.windows(**settings), 1) == []


def test_what_each_rule_loses_is_counted_in_stays_patients_deaths_and_windows(ward) -> None:
    """Ten stays of 18 hours, none of which is lost, and six that are lost one by one."""
    fill_ward(ward)
    ward.add(1, [80.0] * 4, died=True)  # No step after the context.
    ward.add(2, [80.0] * 5, died=True)  # One step after the context.
    ward.add(3, [80.0] * 4 + [NAN, NAN])  # Nothing to forecast.
    ward.add(4, [NAN] * 3 + [80.0] * 3, patient=3, onset_hour=1)  # One charted step of the context.
    settings = {
        **SMALL, "train_stride": 6, "minimum_context_observed": 2, "validation_fraction": 0.2, "test_fraction": 0.3,
    }  # fmt: skip

    def counts(**changes):
        rows = ward.selection(**{**settings, **changes})
        return [(row.rule, row.stays, row.patients, row.deaths, row.windows, row.cut_windows) for row in rows]

    # All windows begin every 6 hours: 3 in each of the ten stays.
    assert counts(horizon_may_be_cut=True) == [
        ("included", 14, 13, 2, None, None),
        ("stay_length", 13, 12, 1, 33, 2),
        ("charted_horizon", 12, 12, 1, 32, 1),
        ("charted_context", 11, 11, 1, 31, 1),
    ]
    assert counts() == [
        ("included", 14, 13, 2, None, None),
        ("stay_length", 13, 12, 1, 33, 2),
        ("complete_horizon", 12, 11, 0, 32, 1),
        ("charted_horizon", 11, 11, 0, 31, 0),
        ("charted_context", 10, 10, 0, 30, 0),
    ]


def test_windows_that_are_placed_elsewhere_are_a_rule_of_their_own(ward) -> None:
    for stay in range(101, 121):
        ward.add(stay, [80.0] * 18, onset_hour=12 if stay % 2 else None)
    rows = ward.selection(**{**SMALL, "train_stride": 6}, placement="after_onset")
    assert [(row.rule, row.stays, row.windows) for row in rows] == [
        ("included", 20, None),
        ("stay_length", 20, 60),
        ("complete_horizon", 20, 60),
        ("charted_horizon", 20, 60),
        ("placement", 10, 10),
        ("charted_context", 10, 10),
    ]


def test_only_included_stays_and_the_asked_vital_sign_make_windows(ward) -> None:
    fill_ward(ward)
    ward.add(1, [80.0] * 12, included=False)
    ward.add(2, [NAN] * 12)
    for hour in range(12):
        ward.chart(2, hour * 60, 55, vital="respiratory_rate")
    windows = ward.windows(**SMALL)
    assert set(windows.icustay_id) == set(as_names(range(101, 111)))


def test_windows_are_numbered_in_the_order_of_patient_stay_and_start(ward) -> None:
    for stay, patient in ((9, 2), (5, 1), (7, 1), (3, 8), (4, 7), (6, 3), (2, 4), (8, 5)):
        ward.add(stay, [80.0] * 12, patient=patient)
    windows = ward.windows(**SMALL)
    names = windows.subject_id.astype(int), windows.icustay_id.astype(int)
    keys = list(zip(*names, windows.start, strict=True))
    assert keys == sorted(keys)
    np.testing.assert_array_equal(windows.window_id, np.arange(len(keys)))


def test_the_split_of_a_patient_is_the_same_for_every_vital_sign(ward) -> None:
    fill_ward(ward, count=20)
    hours = range(18)
    for stay in range(105, 121):
        for hour in hours:
            ward.chart(stay, hour * 60, 20, vital="respiratory_rate")
    heart = ward.windows(**SMALL)
    values, cohort = ward.write()
    breath, _ = make_windows(values, cohort, "respiratory_rate", WindowParameters(**SMALL), "/min", 0, 100)
    of_patient = dict(zip(heart.subject_id, heart.split, strict=True))
    assert len(set(breath.subject_id)) == 16
    assert all(of_patient[p] == split for p, split in zip(breath.subject_id, breath.split, strict=True))


def test_a_patient_is_in_the_same_split_in_every_cohort_of_a_data_set(ward) -> None:
    """Also where a cohort has another share of the stays, and none of some of the patients."""
    for stay in range(101, 161):
        ward.add(stay, [80.0] * 12, patient=stay // 2, died=stay % 10 == 1)
    of_patient = {}
    for name in ("all", "odd", "few"):
        for stay in ward.stays:
            number = stay["icustay_id"]
            stay["included"] = name == "all" or (number % 2 == 1 if name == "odd" else number % 3 == 0)
        windows = ward.windows(**SMALL)
        of_patient[name] = dict(zip(windows.subject_id.tolist(), windows.split.tolist(), strict=True))
    assert len(of_patient["all"]) == 31
    assert 15 < len(of_patient["few"]) < 31
    for name in ("odd", "few"):
        assert of_patient[name].items() <= of_patient["all"].items()


def test_every_window_of_a_stay_with_an_onset_is_before_around_or_after_it(ward) -> None:
    for stay in range(101, 121):
        ward.add(stay, [float(step) for step in range(36)], onset_hour=15.5)
    ward.add(1, [80.0] * 36)
    placed = {
        name: set(steps_of(ward.windows(**SMALL, placement=name), 101))
        for name in ("before_onset", "around_onset", "after_onset")
    }
    everywhere = steps_of(ward.windows(**SMALL), 101)
    # A window spans 4 + 2 hours: it ends by hour 15.5, holds it, or starts after it.
    assert placed["before_onset"] == {step for step in everywhere if step + 6 <= 15.5}
    assert placed["after_onset"] == {step for step in everywhere if step >= 15.5}
    assert placed["around_onset"] == set(everywhere) - placed["before_onset"] - placed["after_onset"]
    assert all(placed.values())


def test_a_window_that_ends_at_the_onset_is_before_it_and_one_that_starts_there_after_it(ward) -> None:
    for stay in range(101, 121):
        ward.add(stay, [80.0] * 36, onset_hour=12)
        ward.add(stay + 100, [80.0] * 36, onset_hour=15)
    stays = ward.windows(**SMALL).select("train").icustay_id.astype(int)
    train = stays[stays < 200][0]
    placed = {
        name: steps_of(ward.windows(**SMALL, placement=name), train)
        for name in ("before_onset", "around_onset", "after_onset")
    }
    # Starts of training windows are 3 hours apart, and each spans 6.
    assert placed["before_onset"] == [0, 3, 6]
    assert placed["around_onset"] == [9]
    assert placed["after_onset"][0] == 12


def test_a_stay_without_onset_has_windows_anywhere_only(ward) -> None:
    fill_ward(ward, count=20, length=36)
    for stay in range(201, 221):
        ward.add(stay, [80.0] * 36, onset_hour=10)
    assert set(ward.windows(**SMALL).icustay_id) == {*as_names(range(101, 121)), *as_names(range(201, 221))}
    assert set(ward.windows(**SMALL, placement="after_onset").icustay_id) == set(as_names(range(201, 221)))


def test_hours_from_onset_count_to_the_end_of_the_context(ward) -> None:
    fill_ward(ward)
    ward.add(1, [80.0] * 18, onset_hour=9.5)
    windows = ward.windows(**SMALL)
    hours = windows.hours_from_onset[windows.icustay_id == "1"]
    np.testing.assert_array_equal(hours, np.array(steps_of(windows, 1)) + 4 - 9.5)
    assert np.isnan(windows.hours_from_onset[windows.icustay_id != "1"]).all()


def test_a_cohort_without_onset_cannot_be_placed_by_it(ward, user_error) -> None:
    fill_ward(ward)
    error = user_error(lambda: ward.windows(**SMALL, placement="before_onset"))
    assert "no window before onset (0 of 10 included stays of 10 patients have an onset)" in error.found
    assert "placement: anywhere" in error.remedy


def test_the_leaky_split_has_non_overlapping_windows_and_stays_in_two_splits(ward) -> None:
    fill_ward(ward, count=10, length=60)
    windows = ward.windows(**{**SMALL, "split": "by_window_leaky"})
    assert windows.metadata.split_kind == "by_window_leaky"
    assert steps_of(windows, 101) == list(range(0, 60, 6))
    counts = {split: int((windows.split == split).sum()) for split in ("train", "validation", "test")}
    assert counts == {"train": 40, "validation": 30, "test": 30}
    shared = set(windows.select("train").icustay_id) & set(windows.select("test").icustay_id)
    assert len(shared) >= 5


def test_smoothing_is_done_before_windowing_and_lets_one_step_through(ward) -> None:
    fill_ward(ward)
    ward.add(1, [60, 60, 60, 60, 90, 90])
    plain, _ = of_stay(ward.windows(**SMALL), 1)
    smooth, _ = of_stay(ward.windows(**SMALL, smoothing="rolling_mean_3"), 1)
    np.testing.assert_array_equal(plain[0], [60, 60, 60, 60])
    np.testing.assert_array_equal(smooth[0], [60, 60, 60, 70])


def test_a_grid_of_five_minutes_carries_the_paper_s_geometry(ward) -> None:
    for stay in range(1, 11):
        ward.add(stay, [float(step) for step in range(216)], minutes=5)
    windows = ward.windows(interval_minutes=5, context=72, horizon=36, train_stride=108)
    assert windows.context.shape == (20, 72)
    assert windows.target.shape == (20, 36)
    np.testing.assert_array_equal(windows.target[1], np.arange(180, 216))
    assert set(np.diff(windows.start[windows.icustay_id == "4"])) == {108 * 5 * 60}


def test_where_there_is_no_window_contexts_and_targets_keep_their_lengths() -> None:
    grid, nothing = grid_of([[80.0] * 30]), np.empty(0, np.int64)
    parameters = WindowParameters()
    assert cut_contexts(grid, Slices(nothing, nothing), parameters).shape == (0, 24)
    assert cut_targets(grid, Slices(nothing, nothing), parameters).shape == (0, 12)


@pytest.mark.parametrize(
    ("length", "stride", "starts"),
    [
        (5, 3, []),
        (6, 3, [0]),
        (8, 3, [0]),
        (9, 3, [0, 3]),
        (12, 6, [0, 6]),
        (17, 6, [0, 6]),
        (18, 6, [0, 6, 12]),
    ],
)
def test_a_stay_has_as_many_windows_as_fit_from_its_start(
    length: int, stride: int, starts: list[int]
) -> None:
    grid = grid_of([[80.0] * length, [80.0] * 7])
    found = candidate_slices(grid, np.array([stride, 6]), WindowParameters(**SMALL))
    assert found.step[found.stay == 0].tolist() == starts
    assert found.step[found.stay == 1].tolist() == [0]


def test_an_end_in_the_year_9999_costs_no_memory_and_gives_the_windows_of_an_end_behind_the_last_value(
    new_ward: Callable,
) -> None:
    found, peaks = [], []
    for end in (pd.Timestamp("2130-05-21 22:47"), np.datetime64("9999-12-31", "us")):
        ward = new_ward()
        for stay in range(1, 11):
            ward.add(stay, [float(step) for step in range(90)], minutes=1)
            ward.stays[-1]["outtime"] = pd.Timestamp(end).to_datetime64().astype("datetime64[us]")
        tracemalloc.start()
        found.append(ward.windows(interval_minutes=1, minimum_context_observed=1, minimum_horizon_observed=1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A dense grid of one-minute steps would hold 4 x 10^10 of them.
    assert peaks[1] < 1.1 * peaks[0]
    assert len(found[1]) > 40
    for name in ("context", "target", "start", "icustay_id", "split"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


# Properties over made-up series.

SERIES = st.lists(st.one_of(st.just(NAN), st.integers(40, 160).map(float)), min_size=6, max_size=20)


def make(new_ward: Callable, series: list[list[float]], shuffle: int | None = None, **parameters) -> Windows:
    ward = new_ward()
    for stay, values in enumerate(series, 1):
        ward.add(stay, values, patient=(stay + 1) // 2)
    fill_ward(ward)
    return ward.windows(shuffle, **{**SMALL, **parameters})


@settings(max_examples=10)
@given(series=st.lists(SERIES, min_size=6, max_size=10), seed=st.integers(0, 9))
def test_no_patient_is_in_two_splits_and_row_order_changes_nothing(series, seed, new_ward) -> None:
    windows = make(new_ward, series)
    for patient in set(windows.subject_id):
        assert len(set(windows.split[windows.subject_id == patient])) == 1
    shuffled = make(new_ward, series, shuffle=seed)
    for name in ("context", "target", "start", "split", "window_id", "subject_id", "icustay_id"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(windows, name))


@settings(max_examples=15)
@given(
    series=SERIES,
    step=st.integers(0, 19),
    fill=st.sampled_from(["forward", "forward_backward", "none"]),
    split=st.sampled_from(["by_patient", "by_window_leaky"]),
)
def test_a_changed_value_changes_only_contexts_that_hold_it(series, step, fill, split, new_ward) -> None:
    step %= len(series)
    if np.isnan(series[step]):
        series = [*series[:step], 100.0, *series[step + 1 :]]
    before = make(new_ward, [series], fill=fill, split=split)
    after = make(new_ward, [[*series[:step], 999.0, *series[step + 1 :]]], fill=fill, split=split)
    np.testing.assert_array_equal(after.start, before.start)
    for place, start in enumerate(steps_of(before, 1)):
        row = int(np.flatnonzero(before.icustay_id == "1")[place])
        in_context = start <= step < start + SMALL["context"]
        assert np.array_equal(after.context[row], before.context[row], equal_nan=True) is not in_context
        in_target = start + 4 <= step < start + 6
        assert np.array_equal(after.target[row], before.target[row], equal_nan=True) is not in_target


# Other vital signs beside the own one.

BREATH = Covariate("respiratory_rate", "/min", 0, 100)


def with_breath(new_ward: Callable, breath: dict[float, float], hours: int = 18, **parameters) -> Windows:
    """Heart rate with respiratory rate as a covariate; `breath` is by hour of stay 101, every other stay has 20."""
    ward = new_ward()
    fill_ward(ward, length=hours)
    for hour, value in breath.items():
        ward.chart(101, 60 * hour, value, vital="respiratory_rate")
    for stay in range(102, 111):
        ward.chart(stay, 30, 20, vital="respiratory_rate")
    return make_windows(
        *ward.write(), "heart_rate", WindowParameters(**{**SMALL, **parameters}), "bpm", 0, 300, [BREATH]
    )[0]


@pytest.mark.parametrize("fill", ["forward", "forward_backward", "none"])
@pytest.mark.parametrize("smoothing", ["none", "rolling_mean_3"])
def test_covariates_are_the_contexts_of_their_own_windows(fill: str, smoothing: str, ward) -> None:
    """Expected: what the same step makes of the other vital sign where it is the one to forecast."""
    fill_ward(ward, length=24)
    generator = np.random.default_rng(0)
    for stay in range(101, 111):
        for hour in range(24):
            if hour % 6 != 1:
                ward.chart(stay, 60 * hour + 20, 15 + generator.integers(10), vital="respiratory_rate")
    settings = WindowParameters(**SMALL, fill=fill, smoothing=smoothing)
    paths = ward.write()
    windows, _ = make_windows(*paths, "heart_rate", settings, "bpm", 0, 300, [BREATH])
    own, _ = make_windows(*paths, "respiratory_rate", settings, "/min", 0, 100)
    np.testing.assert_array_equal(windows.start, own.start)
    np.testing.assert_array_equal(windows.covariates[:, 0], own.context)
    assert windows.metadata.covariates == (BREATH,)
    assert own.covariates.shape == (len(own), 0, 4)


def test_covariates_have_no_say_in_which_windows_there_are(new_ward) -> None:
    ward = new_ward()
    fill_ward(ward)
    plain, carrying = ward.windows(**SMALL), with_breath(new_ward, {})
    for name in ("context", "target", "start", "split", "window_id"):
        np.testing.assert_array_equal(getattr(carrying, name), getattr(plain, name))
    assert np.isnan(carrying.covariates[carrying.icustay_id == "101"]).all()


@settings(max_examples=12)
@given(
    breath=st.dictionaries(st.integers(0, 17), st.integers(5, 40), min_size=1),
    hour=st.integers(0, 17),
    fill=st.sampled_from(["forward", "forward_backward", "none"]),
    split=st.sampled_from(["by_patient", "by_window_leaky"]),
)
def test_what_a_covariate_does_after_the_context_changes_nothing(breath, hour, fill, split, new_ward) -> None:
    """No future of any vital sign is in the table but the targets: a value changes what its own hour lies in."""
    before = with_breath(new_ward, {**breath, hour: 12.0}, fill=fill, split=split)
    after = with_breath(new_ward, {**breath, hour: 99.0}, fill=fill, split=split)
    for name in ("context", "target", "start", "split"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    rows = np.flatnonzero(before.icustay_id == "101")
    for row, start in zip(rows, steps_of(before, 101), strict=True):
        same = np.array_equal(after.covariates[row], before.covariates[row], equal_nan=True)
        assert same is not (start <= hour < start + SMALL["context"])
    others = before.icustay_id != "101"
    np.testing.assert_array_equal(after.covariates[others], before.covariates[others])


def test_an_absent_covariate_is_refused_with_those_at_hand(ward, user_error: Callable) -> None:
    fill_ward(ward)
    error = user_error(
        lambda: make_windows(*ward.write(), "heart_rate", WindowParameters(**SMALL), "bpm", 0, 300, [BREATH])
    )
    assert "no value of respiratory_rate" in error.found
    assert "heart_rate" in error.expected


def test_a_covariate_is_named_once() -> None:
    with pytest.raises(ValueError, match="each vital sign once"):
        WindowParameters(covariates=["heart_rate", "heart_rate"])
    chosen = WindowParameters(covariates=["heart_rate", "temperature"])
    assert chosen.covariates_of("heart_rate") == ["temperature"]
    assert chosen.covariates_of("respiratory_rate") == ["heart_rate", "temperature"]


# What another hospital's table may look like.


def test_other_integer_float_text_and_timestamp_types_and_further_columns_are_welcome(ward) -> None:
    fill_ward(ward)
    expected = ward.windows(**SMALL)
    paths = ward.write()
    for path in paths:
        table = pd.read_parquet(path)
        for column in table.columns.intersection(["icustay_id", "subject_id"]):
            table[column] = table[column].astype("int32")
        for column in table.columns.intersection(["charttime", "intime", "outtime"]):
            table[column] = table[column].astype("datetime64[ns]")
        if "vital" in table:
            table = table.assign(
                vital=table["vital"].astype("category"), value=table["value"].astype("int16")
            )
        table.assign(ward="7 West").iloc[:, ::-1].to_parquet(path, index=False, version="2.6")
    other, _ = make_windows(*paths, "heart_rate", WindowParameters(**SMALL), "bpm", 0, 300)
    for name in ("context", "target", "start", "split", "subject_id", "icustay_id"):
        np.testing.assert_array_equal(getattr(other, name), getattr(expected, name))


def test_stays_whose_names_only_a_number_would_make_one_are_apart(ward) -> None:
    """Source: the windows of the same stays under names that are numbers."""
    fill_ward(ward)
    expected = ward.windows(**{**SMALL, "split": "by_window_leaky"})
    names = ["007", "7", "07", "7.0", "NA", "1e5", "100000", "True", "nan", "10"]
    renamed = dict(zip(range(101, 111), names, strict=True))
    paths = ward.write()
    for path in paths:
        table = pd.read_parquet(path)
        for column in table.columns.intersection(["icustay_id", "subject_id"]):
            table[column] = table[column].map(renamed)
        table.to_parquet(path, index=False, coerce_timestamps="us")
    found, _ = make_windows(*paths, "heart_rate", WindowParameters(**SMALL), "bpm", 0, 300)
    for number, name in renamed.items():
        np.testing.assert_array_equal(
            found.context[found.icustay_id == name][0], of_stay(expected, number)[0][0]
        )
    # Integers in their order, then the rest.
    assert list(dict.fromkeys(found.icustay_id)) == [
        "7",
        "10",
        "100000",
        *sorted(set(names) - {"7", "10", "100000"}),
    ]
    assert set(found.icustay_id) == set(names)


def test_rows_without_stay_time_or_finite_value_lie_on_no_grid(ward) -> None:
    fill_ward(ward)
    expected = ward.windows(**SMALL)
    ward.values += [
        {**ward.values[0], "icustay_id": None},
        {**ward.values[0], "charttime": pd.NaT},
        {**ward.values[0], "value": NAN},
        {**ward.values[0], "value": np.inf},
        {**ward.values[0], "vital": None},
        {**ward.values[0], "icustay_id": 4711},
    ]
    values, cohort = ward.write()
    table = pd.read_parquet(values)
    table.assign(icustay_id=table["icustay_id"].astype("Int64")).to_parquet(values)
    found, _ = make_windows(values, cohort, "heart_rate", WindowParameters(**SMALL), "bpm", 0, 300)
    np.testing.assert_array_equal(found.context, expected.context)
    np.testing.assert_array_equal(found.target, expected.target)


# Bad input.


def test_no_stay_long_enough_is_refused_with_counts(ward, user_error: Callable) -> None:
    ward.add(990099, [80.0] * 5).add(990098, [80.0] * 4, patient=990099)
    error = user_error(lambda: ward.windows(**SMALL))
    assert "2 included stays of 1 patients, longest series 5 steps" in error.found
    assert "= 6 steps" in error.expected
    assert "9900" not in str(error)


def test_stays_charted_too_thinly_are_refused_with_counts(ward, user_error: Callable) -> None:
    for stay in range(10):
        ward.add(stay, [80.0, NAN, NAN, NAN, 81.0, 82.0])
    error = user_error(lambda: ward.windows(**{**SMALL, "minimum_context_observed": 2}))
    assert "10 windows with a value to forecast, none with enough charted steps" in error.found


def test_a_split_without_windows_is_refused_with_counts(ward, user_error: Callable) -> None:
    fill_ward(ward, count=2)
    error = user_error(lambda: ward.windows(**SMALL))
    assert "validation 0" in error.found
    assert "2 patients with a window" in error.found


def test_an_absent_vital_sign_is_refused_with_those_at_hand(ward, user_error: Callable) -> None:
    ward.add(1, [80.0] * 6).chart(1, 0, 20, vital="respiratory_rate")
    values, cohort = ward.write()
    error = user_error(
        lambda: make_windows(values, cohort, "temperature", WindowParameters(**SMALL), "°C", 30, 45)
    )
    assert error.expected == "one of: heart_rate, respiratory_rate"


def test_missing_and_ill_typed_columns_are_named_in_one_message(ward, user_error: Callable) -> None:
    values, cohort = ward.add(1, [80.0] * 6).write()
    table = pd.read_parquet(values).drop(columns="vital").assign(charttime="noon", value="high")
    table.to_parquet(values)
    error = user_error(
        lambda: make_windows(values, cohort, "heart_rate", WindowParameters(**SMALL), "bpm", 0, 300)
    )
    for word in ("missing columns: vital", "charttime (", "value ("):
        assert word in error.found
    assert "icustay_id (text or integer)" in error.expected


# How the cohort table is broken, and what the message says.
BROKEN = [
    (lambda stays: stays.assign(included=False), "no included stay"),
    (
        lambda stays: stays.assign(intime=pd.Series([pd.NaT] * len(stays), dtype="datetime64[us]")),
        "in intime",
    ),
    (lambda stays: stays.assign(outtime=stays["intime"]), "3 with outtime not after intime"),
    (lambda stays: stays.assign(icustay_id=1), "2 repeated included stays"),
    (lambda stays: stays.assign(intime=stays["intime"].dt.tz_localize("UTC")), "intime (timestamp["),
    (lambda stays: stays.drop(columns="died_in_hospital"), "missing columns: died_in_hospital"),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN)
def test_a_broken_cohort_table_is_refused(damage, message, ward, user_error: Callable) -> None:
    fill_ward(ward, count=3)
    values, cohort = ward.write()
    damage(pd.read_parquet(cohort)).to_parquet(cohort)
    error = user_error(
        lambda: make_windows(values, cohort, "heart_rate", WindowParameters(**SMALL), "bpm", 0, 300)
    )
    assert error.where == str(cohort)
    assert message in error.found


# The open demo, computed a second time by pandas, stay by stay and window by window.

HEART_RATE = [211, 220045]


def demo_ward(folder: Path, demo: Path) -> tuple[Path, Path, pd.DataFrame, pd.DataFrame]:
    """Write the demo's heart rates and a cohort of its stays of at least 25 hours."""
    folder.mkdir(parents=True, exist_ok=True)
    admissions = pd.read_csv(demo / "ADMISSIONS.csv.gz", usecols=["hadm_id", "hospital_expire_flag"])
    stays = pd.read_csv(demo / "ICUSTAYS.csv.gz").merge(admissions, on="hadm_id")
    for column in ("intime", "outtime"):
        stays[column] = stays[column].astype("datetime64[us]")
    stays["died_in_hospital"] = stays["hospital_expire_flag"] == 1
    stays["onset"] = pd.Series(pd.NaT, index=stays.index, dtype="datetime64[us]")
    stays["included"] = stays["outtime"] - stays["intime"] >= pd.Timedelta(hours=25)
    columns = ["icustay_id", "itemid", "charttime", "valuenum"]
    charted = pd.read_csv(demo / "CHARTEVENTS.csv.gz", usecols=columns)
    charted = charted[charted["itemid"].isin(HEART_RATE)].dropna()
    charted = charted.assign(
        vital="heart_rate",
        value=charted["valuenum"].astype("float32"),
        charttime=charted["charttime"].astype("datetime64[us]"),
        icustay_id=charted["icustay_id"].astype("int64"),
    )
    stays.to_parquet(folder / "cohort.parquet", coerce_timestamps="us")
    charted.to_parquet(folder / "vitals.parquet", coerce_timestamps="us")
    return folder / "vitals.parquet", folder / "cohort.parquet", stays[stays["included"]], charted


def windows_in_pandas(stays: pd.DataFrame, charted: pd.DataFrame, split: dict[int, str]) -> pd.DataFrame:
    """The default windows (24 + 12 hours), with pandas' resample, rolling slices and ffill."""
    rows = []
    for stay in stays.sort_values(["subject_id", "icustay_id"]).itertuples():
        own = charted[charted["icustay_id"] == stay.icustay_id]
        own = own[(own["charttime"] >= stay.intime) & (own["charttime"] < stay.outtime)]
        hours = pd.date_range(stay.intime, stay.outtime, freq="h", inclusive="left")
        series = own.set_index("charttime")["value"].astype(float)
        series = series.resample("h", origin=stay.intime).median().reindex(hours).astype("float32")
        stride = 12 if split[stay.subject_id] == "train" else 36
        for start in range(0, len(series) - 24, stride):
            context, target = series.iloc[start : start + 24], series.iloc[start + 24 : start + 36]
            # After the stay's last value nothing is asked: half of the hours until then.
            left = target.loc[: series.last_valid_index()]
            if context.notna().sum() >= 12 and left.notna().any() and left.notna().sum() >= len(left) / 2:
                target = target.reset_index(drop=True).reindex(range(12))
                age = (context.index[-1] - context.last_valid_index()) // pd.Timedelta(hours=1)
                values = context.ffill().values, target.values
                rows.append((stay.subject_id, stay.icustay_id, hours[start], *values, age))
    return pd.DataFrame(rows, columns=["subject_id", "icustay_id", "start", "context", "target", "age"])


@pytest.mark.demo
@pytest.mark.skipif("MIMIC_DEMO_DIR" not in os.environ, reason="MIMIC_DEMO_DIR is not set")
def test_the_demo_s_windows_equal_a_computation_in_pandas(tmp_path: Path) -> None:
    values, cohort, stays, charted = demo_ward(tmp_path, Path(os.environ["MIMIC_DEMO_DIR"]))
    windows, _ = make_windows(values, cohort, "heart_rate", WindowParameters(), "bpm", 0, 300)
    patients = read_patients(cohort)
    splits = split_by_patient(patients, 0.15, 0.15, 42).tolist()
    split = dict(zip(map(int, patients.subject_id), splits, strict=True))
    expected = windows_in_pandas(stays, charted, split)
    assert len(expected) > 500
    np.testing.assert_array_equal(windows.subject_id, as_names(expected["subject_id"]))
    np.testing.assert_array_equal(windows.icustay_id, as_names(expected["icustay_id"]))
    np.testing.assert_array_equal(windows.start, expected["start"].astype("datetime64[s]").astype("int64"))
    np.testing.assert_array_equal(windows.context, np.stack(expected["context"]))
    np.testing.assert_array_equal(windows.steps_since_observed, expected["age"])
    assert windows.steps_since_observed.any()
    np.testing.assert_array_equal(windows.target, np.stack(expected["target"]))
    # Of the stays' own NaNs some must be left: heart rate is not charted in every hour.
    assert np.isnan(windows.target).any()
