"""The classical baselines against closed forms and against the series that they should know."""

import numpy as np
import pytest
from scipy.stats import norm
from statsforecast.models import Theta

from workflow_scripts.models.classical import CLASSICAL_MODELS, forecast_classical
from workflow_scripts.runtime.errors import UserError

LEVELS = [0.1, 0.3, 0.5, 0.8, 0.9]


def test_seasonal_naive_repeats_the_last_season_with_normal_intervals() -> None:
    """Hyndman and Athanasopoulos, Forecasting, 3rd edition, section 5.5: sigma of the seasonal differences."""
    values = np.random.default_rng(0).normal(10, 1, (2, 72))
    drawn = forecast_classical("seasonal-naive", values, 12, LEVELS, season=24)
    assert drawn.shape == (2, 5, 12)
    np.testing.assert_allclose(drawn[:, 2], values[:, 48:60], rtol=1e-6)
    differences = values[:, 24:] - values[:, :-24]
    sigma = np.sqrt((differences**2).mean(axis=1))
    width = (drawn[:, 4] - drawn[:, 2])[:, 0]
    np.testing.assert_allclose(width, norm.ppf(0.9) * sigma, rtol=0.02)


def test_auto_ets_finds_a_clean_season_and_orders_its_quantiles() -> None:
    time = np.arange(84)
    series = (10 + np.sin(2 * np.pi * time / 24))[None] + np.random.default_rng(1).normal(0, 0.02, (1, 84))
    drawn = forecast_classical("auto-ets", series[:, :72], 12, LEVELS, season=24)
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
    drawn = forecast_classical("theta", values[None], 12, LEVELS, season=1)
    np.testing.assert_allclose(drawn[0, 2], expected, rtol=1e-5)


def test_no_quantile_crosses_the_median() -> None:
    """The library simulates theta's intervals: alone, its inner ones cross its own point forecast."""
    values = 80 + np.random.default_rng(3).normal(0, 3, (20, 24)).cumsum(axis=1)
    levels = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    plain = [Theta(season_length=1).forecast(row, 12, level=[20]) for row in values]
    assert any(((row["lo-20"] > row["mean"]) | (row["hi-20"] < row["mean"])).any() for row in plain)
    drawn = forecast_classical("theta", values, 12, levels, season=1)
    assert (np.diff(drawn, axis=1) >= 0).all()
    np.testing.assert_allclose(drawn[:, 4], [row["mean"] for row in plain], rtol=1e-6)


def test_a_series_to_which_no_form_can_be_fitted_has_no_forecast() -> None:
    drawn = forecast_classical("auto-ets", np.array([[1.0, 2.0, 3.0]]), 2, LEVELS, season=1)
    assert np.isnan(drawn).all()


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_a_missing_value_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="missing values"):
        forecast_classical(name, np.array([[1.0, np.nan, 2.0]]), 2, LEVELS, season=1)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="seasonal-naive, auto-ets, theta"):
        forecast_classical("arima", np.ones((1, 5)), 2, LEVELS, season=1)
