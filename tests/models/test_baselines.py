"""The baselines against pandas, statsforecast called directly, and by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from statsforecast.models import AutoETS, SeasonalNaive, Theta

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.baselines import BASELINES, check_baseline, fitted_season, forecast_baseline
from workflow_scripts.models.registry import MODELS, is_point_forecast, kind_of, label_of
from workflow_scripts.runtime.errors import UserError

LEVELS = [0.1, 0.5, 0.9]
POINT_BASELINES = ("persistence", "mean-of-context", "seasonal-naive")
FITTED_BASELINES = ("auto-ets", "theta")


@pytest.fixture
def context():
    generator = np.random.default_rng(0)
    values = generator.normal(80, 5, size=(40, 24)).astype(np.float32)
    values[generator.random(values.shape) < 0.5] = np.nan
    values[0] = np.nan
    values[0, 7] = 61.5
    return values


def test_persistence_repeats_the_last_observed_value(context):
    expected = pd.DataFrame(context).ffill(axis=1).iloc[:, -1].to_numpy()
    quantiles = forecast_baseline("persistence", context, 12, LEVELS, 60)
    assert quantiles.shape == (40, 3, 12)
    np.testing.assert_array_equal(quantiles, np.broadcast_to(expected[:, None, None], quantiles.shape))


def test_mean_of_context_repeats_the_mean_of_what_was_observed(context):
    expected = pd.DataFrame(context.astype(float)).mean(axis=1).to_numpy()
    quantiles = forecast_baseline("mean-of-context", context, 12, LEVELS, 60)
    np.testing.assert_allclose(quantiles[:, 1, 11], expected, rtol=1e-7)
    assert (quantiles == quantiles[:, :1, :1]).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_context_with_nothing_observed_is_a_counted_failure(name, context):
    context[5] = np.nan
    quantiles = forecast_baseline(name, context, 12, LEVELS, 60)
    scores = score(np.full((40, 12), 80.0), quantiles, LEVELS, 0, 300)
    assert scores.non_finite_windows == 1
    assert scores.metrics["mse"] is None


def filled(context):
    return pd.DataFrame(context.astype(float)).ffill(axis=1).bfill(axis=1).to_numpy()


def test_seasonal_naive_repeats_the_day_before_as_statsforecast_does(context):
    """Also beyond one day, and of several days in the context the last."""
    two_days = np.concatenate((context[::-1], context), axis=1)
    quantiles = forecast_baseline("seasonal-naive", two_days, 30, LEVELS, 60)
    expected = [SeasonalNaive(24).forecast(row, 30)["mean"] for row in filled(two_days)]
    np.testing.assert_allclose(quantiles[:, 1], expected, rtol=1e-6)
    assert (quantiles == quantiles[:, :1]).all()
    np.testing.assert_allclose(quantiles[:, 0, :24], filled(two_days)[:, 24:], rtol=1e-6)


@pytest.mark.parametrize(("name", "model"), [("auto-ets", AutoETS), ("theta", Theta)])
def test_fitted_baselines_equal_statsforecast_on_the_filled_context(name, model, context):
    quantiles = forecast_baseline(name, context[:8], 12, LEVELS, 60)
    expected = [model(season_length=1).forecast(row, 12, level=[80]) for row in filled(context[:8])]
    for place, column in enumerate(("lo-80", "mean", "hi-80")):
        np.testing.assert_allclose(quantiles[:, place], [row[column] for row in expected], rtol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_a_forecast_depends_on_no_other_window(name, context):
    together = forecast_baseline(name, context[:6], 12, LEVELS, 60)
    alone = [forecast_baseline(name, context[[row]], 12, LEVELS, 60)[0] for row in range(6)]
    np.testing.assert_array_equal(together, np.stack(alone))


@pytest.mark.parametrize("name", BASELINES)
def test_a_constant_context_is_forecast_by_its_value(name):
    quantiles = forecast_baseline(name, np.full((1, 24), 80.0), 12, LEVELS, 60)
    np.testing.assert_allclose(quantiles, 80, rtol=1e-6)


@pytest.mark.parametrize("name", FITTED_BASELINES)
@pytest.mark.filterwarnings("error")
def test_the_shortest_context_and_awkward_series_have_finite_forecasts(name):
    """Rounded random walks, steps, straight lines, spikes and values about zero, and every length from the shortest."""
    generator = np.random.default_rng(4)
    shortest = BASELINES[name].fewest_steps
    for length in (shortest, shortest + 1, 12, 24):
        time = np.arange(length)
        series = [
            *(80 + generator.normal(0, 4, (12, length)).cumsum(axis=1)).round(),
            time + 60.0,
            70 - time * 0.5,
            np.where(time < length // 2, 80.0, 90.0),
            np.where(time == length // 2, 200.0, 80.0),
            np.where(time % 2, 1.0, -1.0),
            generator.normal(0, 1, length),
            np.where(time == length - 1, 0.0, 1e-3),
        ]
        quantiles = forecast_baseline(name, np.array(series), 6, LEVELS, 60)
        assert np.isfinite(quantiles).all(), length
        assert (np.diff(quantiles, axis=1) >= 0).all()


def test_fitted_baselines_have_a_season_only_where_a_context_holds_two_days():
    assert [fitted_season(steps, 60) for steps in (24, 47, 48, 72)] == [1, 1, 24, 24]
    # Five minutes: a day of 288 steps is longer than R's forecast::ets takes; 50 minutes divide no day.
    assert [fitted_season(600, minutes) for minutes in (5, 50)] == [1, 1]


def test_intervals_mean_nothing_where_every_quantile_is_the_same(context):
    for name in BASELINES:
        quantiles = forecast_baseline(name, context[:4], 12, LEVELS, 60)
        assert is_point_forecast(name) == bool((quantiles == quantiles[:, :1]).all()), name
    assert not any(is_point_forecast(name) for name in ("chronos-t5-nano", "moirai", "naive", "no such name"))


def test_every_baseline_is_one_in_the_report_under_a_name_of_its_own():
    assert tuple(BASELINES) == (*POINT_BASELINES, *FITTED_BASELINES)
    assert {kind_of(name) for name in BASELINES} == {"baseline"}
    assert not any(kind_of(name) == "baseline" for name in MODELS)
    labels = [label_of(name) for name in (*BASELINES, *MODELS)]
    assert len(set(labels)) == len(labels)
    assert (label_of("theta"), label_of("no such name")) == ("Theta", "no such name")


# Baseline, context, minutes, and what the message says.
TOO_SHORT = [
    ("seasonal-naive", 23, 60, "at least 24 steps, one day"),
    ("seasonal-naive", 72, 5, "at least 288 steps, one day"),
    ("seasonal-naive", 100, 50, "a divisor of the day's 1440 min"),
    ("auto-ets", 7, 60, "at least 8 steps"),
    ("theta", 4, 60, "at least 5 steps"),
    ("seasonal", 24, 60, "persistence, mean-of-context, seasonal-naive, auto-ets, theta"),
]


@pytest.mark.parametrize(("name", "steps", "minutes", "message"), TOO_SHORT)
def test_a_context_too_short_for_a_baseline_is_refused(name, steps, minutes, message):
    with pytest.raises(UserError, match=message):
        check_baseline(name, steps, minutes)
    with pytest.raises(UserError, match=message):
        forecast_baseline(name, np.ones((1, steps)), 2, LEVELS, minutes)


@pytest.mark.parametrize("name", BASELINES)
def test_the_study_s_contexts_are_long_enough(name):
    check_baseline(name, 24, 60)
    if name != "seasonal-naive":
        check_baseline(name, 72, 5)


def test_point_baselines_load_no_fitting_library():
    program = (
        "import sys, numpy; from workflow_scripts.models.baselines import forecast_baseline as f;"
        f"[f(name, numpy.ones((2, 24)), 3, [0.5], 60) for name in {POINT_BASELINES}];"
        "assert not {'torch', 'statsforecast', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
