"""The standard error over a forecast's random numbers, and that comparisons call nothing that it explains."""

import numpy as np
import pytest
from scipy.stats import norm

from tests.helpers.some_windows import some_windows
from workflow_scripts.evaluation.comparison import compare
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.monte_carlo import MEASURED, monte_carlo_errors

LEVELS = [0.1, 0.5, 0.9]
WINDOWS = some_windows(400)


def drawn(seed: int) -> np.ndarray:
    """Forecasts around the truth, with noise of their own for every window and level: [windows, levels, horizon]."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 3, (len(WINDOWS), 3, 12)) * (1 + np.arange(len(WINDOWS)) % 4)[:, None, None]
    return (WINDOWS.target[:, None] + np.array([-8, 1, 9])[:, None] + noise).astype(np.float32)


def scores(quantiles: np.ndarray):
    return score(WINDOWS.target, quantiles, LEVELS, 0.0, 300.0)


@pytest.mark.parametrize("metric", MEASURED)
def test_it_is_the_spread_of_the_metric_over_many_forecasts_with_other_numbers(metric: str) -> None:
    """Source: the standard deviation over 400 forecasts of all windows. Tolerance: a tenth of it."""
    spread = np.std([scores(drawn(seed)).metrics[metric] for seed in range(400)])
    every_window = np.arange(len(WINDOWS))
    squares = [
        monte_carlo_errors(WINDOWS, scores(drawn(seed)), every_window, drawn(1000 + seed), LEVELS)[metric]
        ** 2
        for seed in range(10)
    ]
    assert np.sqrt(np.mean(squares)) == pytest.approx(spread, rel=0.1)


def test_some_windows_stand_for_all() -> None:
    """Of an eighth of the windows, over many forecasts, the same mean variance as of all."""
    rows = np.arange(0, len(WINDOWS), 8) + np.arange(50) % 4

    def mean_variance(chosen: np.ndarray) -> float:
        found = [
            monte_carlo_errors(WINDOWS, scores(drawn(s)), chosen, drawn(1000 + s)[chosen], LEVELS)["mse"]
            for s in range(40)
        ]
        return float(np.square(found).mean())

    assert mean_variance(rows) == pytest.approx(mean_variance(np.arange(len(WINDOWS))), rel=0.15)


def test_a_forecast_that_is_not_finite_leaves_no_error() -> None:
    again = drawn(1)
    again[5, 1, 3] = np.nan
    found = monte_carlo_errors(WINDOWS, scores(drawn(0)), np.arange(len(WINDOWS)), again, LEVELS)
    assert found == dict.fromkeys(MEASURED)


@pytest.mark.parametrize("difference", [-0.02, 0.01])
def test_a_difference_that_the_noise_explains_is_not_significant(difference: float) -> None:
    """Replicates all on one side of zero, by less than 1.96 standard errors of the noise."""
    other = np.random.default_rng(0).normal(5, 0.1, 1000)
    arm = other + difference + np.random.default_rng(1).normal(0, 0.001, 1000)
    quiet, noisy = (compare(5 + difference, 5.0, arm, other, 0.95, noise) for noise in (0.0, 0.015))
    assert quiet.p_value < 0.01
    assert quiet.low * quiet.high > 0
    assert noisy.p_value == pytest.approx(2 * norm.sf(abs(difference) / 0.015))
    assert noisy.low < 0 < noisy.high


def test_little_noise_changes_nothing() -> None:
    random = np.random.default_rng(2)
    other, arm = random.normal(5, 0.1, 1000), random.normal(5.1, 0.1, 1000)
    assert compare(5.1, 5.0, arm, other, 0.95, 1e-4) == compare(5.1, 5.0, arm, other, 0.95)
