"""The classical references against closed forms and against the series that they should know."""

import numpy as np
import pytest
from scipy.stats import norm

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


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_a_missing_value_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="missing values"):
        forecast_classical(name, np.array([[1.0, np.nan, 2.0]]), 2, LEVELS, season=1)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="seasonal-naive, auto-ets"):
        forecast_classical("arima", np.ones((1, 5)), 2, LEVELS, season=1)
