"""The classical baselines against closed forms and against the series that they should know."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from statsforecast.models import AutoETS, SeasonalNaive, Theta

from workflow_scripts.models.classical import forecast_each

LEVELS = [0.1, 0.3, 0.5, 0.8, 0.9]


def test_seasonal_naive_repeats_the_last_season_with_normal_intervals() -> None:
    """Hyndman and Athanasopoulos, Forecasting, 3rd edition, section 5.5: sigma of the seasonal differences."""
    values = np.random.default_rng(0).normal(10, 1, (2, 72))
    drawn = forecast_each(SeasonalNaive(24), values, 12, LEVELS)
    assert drawn.shape == (2, 5, 12)
    np.testing.assert_allclose(drawn[:, 2], values[:, 48:60], rtol=1e-6)
    differences = values[:, 24:] - values[:, :-24]
    sigma = np.sqrt((differences**2).mean(axis=1))
    width = (drawn[:, 4] - drawn[:, 2])[:, 0]
    np.testing.assert_allclose(width, norm.ppf(0.9) * sigma, rtol=0.02)


def test_auto_ets_finds_a_clean_season_and_orders_its_quantiles() -> None:
    time = np.arange(84)
    series = (10 + np.sin(2 * np.pi * time / 24))[None] + np.random.default_rng(1).normal(0, 0.02, (1, 84))
    drawn = forecast_each(AutoETS(24), series[:, :72], 12, LEVELS)
    np.testing.assert_allclose(drawn[0, 2], series[0, 72:], atol=0.15)
    assert (np.diff(drawn[0], axis=0) > 0).all()


def test_theta_equals_the_definition_by_hand() -> None:
    """Hyndman and Billah 2003: simple exponential smoothing with half the slope of the regression on time as its drift.

    forecast = smoothed + slope / 2 x (h - 1 + (1 - (1 - alpha)^n) / alpha); only alpha and the first smoothed value
    are taken from the library, which fits them.
    """
    values = 80 + np.random.default_rng(2).normal(0.4, 2, 24).cumsum()
    fitted = Theta(season_length=1).fit(values).model_["par"]
    alpha, smoothed = fitted["alpha"], fitted["initial_smoothed"]
    for value in values:
        smoothed += alpha * (value - smoothed)
    slope = np.polyfit(np.arange(1, 25), values, 1)[0]
    expected = smoothed + slope / 2 * (np.arange(12) + (1 - (1 - alpha) ** 24) / alpha)
    drawn = forecast_each(Theta(1), values[None], 12, LEVELS)
    np.testing.assert_allclose(drawn[0, 2], expected, rtol=1e-5)


def test_no_quantile_crosses_the_median() -> None:
    """The library simulates theta's intervals: alone, its inner ones cross its own point forecast."""
    values = 80 + np.random.default_rng(3).normal(0, 3, (20, 24)).cumsum(axis=1)
    levels = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    plain = [Theta(season_length=1).forecast(row, 12, level=[20]) for row in values]
    assert any(((row["lo-20"] > row["mean"]) | (row["hi-20"] < row["mean"])).any() for row in plain)
    drawn = forecast_each(Theta(1), values, 12, levels)
    assert (np.diff(drawn, axis=1) >= 0).all()
    np.testing.assert_allclose(drawn[:, 4], [row["mean"] for row in plain], rtol=1e-6)


def test_a_series_to_which_no_form_can_be_fitted_has_no_forecast() -> None:
    drawn = forecast_each(AutoETS(1), np.array([[1.0, 2.0, 3.0]]), 2, LEVELS)
    assert np.isnan(drawn).all()


@pytest.mark.parametrize("model", [SeasonalNaive(1), AutoETS(1), Theta(1)])
def test_a_series_with_a_missing_value_has_no_forecast_and_changes_no_other(model: Any) -> None:
    values = 80 + np.random.default_rng(5).normal(0, 3, (2, 24)).cumsum(axis=1)
    alone = forecast_each(model, values[1:], 2, LEVELS)
    values[0, 5] = np.nan
    drawn = forecast_each(model, values, 2, LEVELS)
    assert np.isnan(drawn[0]).all()
    np.testing.assert_array_equal(drawn[1:], alone)
