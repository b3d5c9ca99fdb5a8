"""Checks of every metric against scikit-learn, GluonTS, and closed forms."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from workflow_scripts.evaluation.metrics import METRIC_NAMES, score, score_steps, shares_below
from workflow_scripts.runtime.errors import UserError

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
LOW, HIGH = 0.0, 190.0


def make_forecasts(windows=80, horizon=12, seed=0, missing=0.3):
    """Truths around 80 with gaps, and quantiles of a normal distribution around a noisy guess."""
    generator = np.random.default_rng(seed)
    truth = 80 + generator.normal(size=(windows, horizon)).cumsum(axis=1)
    guess = truth + generator.normal(scale=4, size=truth.shape)
    quantiles = guess[:, None, :] + 5 * norm.ppf(LEVELS)[None, :, None]
    truth[generator.random(truth.shape) < missing] = np.nan
    truth[:, 3] = 82.0
    return truth, quantiles


def over_windows(function, truth, median):
    """The plain mean over windows of a function of each window's observed points."""
    values = []
    for y, f in zip(truth, median, strict=True):
        observed = ~np.isnan(y)
        values.append(function(y[observed], f[observed]))
    return np.mean(values)


def test_window_metrics_equal_those_of_scikit_learn():
    from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error

    truth, quantiles = make_forecasts()
    median = quantiles[:, 4]
    metrics = score(truth, quantiles, LEVELS, LOW, HIGH).metrics
    scaled, scaled_median = truth / HIGH, median / HIGH
    assert metrics["mse"] == pytest.approx(over_windows(mean_squared_error, scaled, scaled_median), rel=1e-12)
    assert metrics["mae"] == pytest.approx(over_windows(mean_absolute_error, truth, median), rel=1e-12)
    percentage = over_windows(mean_absolute_percentage_error, scaled, scaled_median)
    assert metrics["mape"] == pytest.approx(100 * percentage, rel=1e-12)
    # scikit-learn divides by its first argument: the authors' call has the forecast there.
    swapped = over_windows(lambda y, f: mean_absolute_percentage_error(f, y), scaled, scaled_median)
    assert metrics["mape_paper"] == pytest.approx(100 * swapped, rel=1e-12)
    squared = over_windows(mean_squared_error, truth, median)
    assert metrics["rmse"] == pytest.approx(np.sqrt(squared), rel=1e-12)


def test_weighted_quantile_loss_and_coverage_equal_those_of_gluonts():
    from gluonts.evaluation.metrics import coverage, quantile_loss

    truth, quantiles = make_forecasts(seed=1)
    metrics = score(truth, quantiles, LEVELS, LOW, HIGH).metrics
    observed = ~np.isnan(truth)
    weight = np.abs(truth[observed]).sum()
    losses = [
        quantile_loss(truth[observed], quantiles[:, position][observed], level) / weight
        for position, level in enumerate(LEVELS)
    ]
    assert metrics["wql"] == pytest.approx(np.mean(losses), rel=1e-12)
    below = [coverage(truth[observed], quantiles[:, position][observed]) for position in (0, 8)]
    assert metrics["coverage_80"] == pytest.approx(below[1] - below[0], abs=1e-12)


def test_coverage_of_the_true_distribution_is_four_fifths():
    generator = np.random.default_rng(2)
    truth = generator.normal(80, 5, size=(4000, 12))
    quantiles = np.broadcast_to(80 + 5 * norm.ppf(LEVELS)[None, :, None], (4000, 9, 12))
    # 48,000 independent draws: five standard errors of a share of 0.8 are 0.009.
    assert score(truth, quantiles, LEVELS, LOW, HIGH).metrics["coverage_80"] == pytest.approx(0.8, abs=0.009)


def test_weighted_quantile_loss_of_a_normal_equals_its_closed_form():
    # The pinball loss of a normal's own quantile is sigma times its density there.
    generator = np.random.default_rng(3)
    truth = generator.normal(80, 5, size=(20000, 12))
    quantiles = np.broadcast_to(80 + 5 * norm.ppf(LEVELS)[None, :, None], (20000, 9, 12))
    expected = np.mean(2 * 5 * norm.pdf(norm.ppf(LEVELS))) / 80
    assert score(truth, quantiles, LEVELS, LOW, HIGH).metrics["wql"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("mse", "high", "rmse"), [(18.02e-4, 190, 8.07), (7.22e-4, 300, 8.06)])
def test_scaled_and_natural_errors_agree_as_the_published_ones_do(mse, high, rmse):
    # docs of the study: an MSE of 18.02e-4 is 8.07 mmHg, 7.22e-4 is 8.06 bpm.
    truth = np.full((5, 12), 80.0)
    quantiles = np.full((5, 9, 12), 80.0 + np.sqrt(mse) * high)
    metrics = score(truth, quantiles, LEVELS, 0, high).metrics
    assert metrics["mse"] == pytest.approx(mse)
    assert metrics["rmse"] == pytest.approx(rmse, abs=0.005)


def test_a_scale_that_does_not_start_at_zero_is_subtracted_before_percentages():
    truth, quantiles = np.full((1, 12), 38.0), np.full((1, 9, 12), 37.0)
    metrics = score(truth, quantiles, LEVELS, 34.0, 44.0).metrics
    assert metrics["mape"] == pytest.approx(100 * 0.1 / 0.4)
    assert metrics["mape_paper"] == pytest.approx(100 * 0.1 / 0.3)


def test_a_window_with_few_observed_points_weighs_as_much_as_a_full_one():
    truth = np.full((2, 12), 100.0)
    truth[0, 1:] = np.nan
    quantiles = np.full((2, 9, 12), 100.0)
    quantiles[0] += 19.0
    assert score(truth, quantiles, LEVELS, LOW, HIGH).metrics["mae"] == pytest.approx(19 / 2)


def test_order_and_batches_of_windows_change_no_digit():
    truth, quantiles = make_forecasts(windows=300, seed=4)
    whole = score(truth, quantiles, LEVELS, LOW, HIGH)
    order = np.random.default_rng(5).permutation(len(truth))
    shuffled = score(truth[order], quantiles[order], LEVELS, LOW, HIGH)
    assert shuffled.metrics == whole.metrics
    for name, values in whole.per_window.items():
        np.testing.assert_array_equal(shuffled.per_window[name], values[order])
        parts = [score(truth[[k]], quantiles[[k]], LEVELS, LOW, HIGH).per_window[name] for k in range(20)]
        np.testing.assert_array_equal(np.concatenate(parts), values[:20])


def test_forecasts_at_points_without_a_truth_do_not_count():
    truth, quantiles = make_forecasts(seed=6)
    expected = score(truth, quantiles, LEVELS, LOW, HIGH).metrics
    hidden = np.broadcast_to(np.isnan(truth)[:, None, :], quantiles.shape)
    assert score(truth, np.where(hidden, 1e4, quantiles), LEVELS, LOW, HIGH).metrics == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_forecast_that_is_not_finite_makes_every_metric_undefined_and_is_counted(bad):
    truth, quantiles = make_forecasts(seed=7)
    quantiles[3, 0, 0] = bad
    quantiles[9, 4] = bad
    scores = score(truth, quantiles, LEVELS, LOW, HIGH)
    assert scores.non_finite_windows == 2
    assert scores.metrics == dict.fromkeys(METRIC_NAMES)
    assert np.isnan(scores.per_window["mse"]).nonzero()[0].tolist() == [3, 9]


def test_a_zero_denominator_makes_only_its_own_metric_undefined():
    truth, quantiles = make_forecasts(seed=8)
    truth[0, 0] = 0.0
    metrics = score(truth, quantiles, LEVELS, LOW, HIGH).metrics
    assert [name for name, value in metrics.items() if value is None] == ["mape"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, f: (y[:0], f[:0], LEVELS), "no window"),
        (lambda y, f: (y[:, :5], f, LEVELS), "quantiles"),
        (lambda y, f: (y, f[:, :8], LEVELS[:8]), "no quantile level 0.9"),
        (lambda y, f: (np.where(np.arange(len(y))[:, None] == 1, np.nan, y), f, LEVELS), "1 windows without"),
        (lambda y, f: (np.where(np.isnan(y), np.inf, y), f, LEVELS), "infinite"),
        (lambda y, f: (y[0], f, LEVELS), "truths"),
        (lambda y, f: (y[:-1], f, LEVELS), "truths"),
        (lambda y, f: (y, f, LEVELS[:-1]), "8 levels"),
        (lambda y, f: (y, f, [*LEVELS[:4], 0.55, *LEVELS[5:]]), "no quantile level 0.5"),
    ],
)
def test_arrays_that_cannot_be_scored_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        score(*change(*make_forecasts()), LOW, HIGH)


@pytest.mark.parametrize("high", [LOW, LOW - 1, np.nan])
def test_a_scale_that_does_not_rise_is_refused(high):
    with pytest.raises(UserError, match="scale"):
        score(*make_forecasts(), LEVELS, LOW, high)


def test_where_every_truth_is_zero_the_weighted_quantile_loss_has_no_denominator():
    metrics = score(np.zeros((2, 3)), np.ones((2, 9, 3)), LEVELS, -1.0, 1.0).metrics
    assert metrics["wql"] is None
    assert metrics["mae"] == 1.0
    assert metrics["coverage_80"] == 0.0


BY_HAND = np.array([[[8.0, 10, 10], [10, 12, 11], [12, 14, 12]], [[0.0, 0, 0], [1, 1, 1], [2, 2, 2]]])
"""Levels 0.1, 0.5, 0.9 at three steps of two windows."""


def test_coverage_holds_both_bounds_and_the_quantile_loss_is_the_one_by_hand():
    truth = np.array([[8.0, 14.0, np.nan], [3.0, np.nan, -1.0]])
    found = score(truth, BY_HAND, [0.1, 0.5, 0.9], 0.0, 10.0)
    assert found.metrics["coverage_80"] == 2 / 4
    assert found.per_window["covered"].tolist() == [2, 0]
    assert found.per_window["observed"].tolist() == [2, 2]
    assert found.per_window["absolute_truth"].tolist() == [22, 4]
    # 2 (y - f) (q - [y < f]) at 0.1, 0.5 and 0.9, of the observed points:
    first = (0 + 2 * 2 * 0.5 + 2 * 4 * 0.1) + (2 * 4 * 0.1 + 2 * 2 * 0.5 + 0)
    second = (2 * 3 * 0.1 + 2 * 2 * 0.5 + 2 * 1 * 0.9) + (2 * 1 * 0.9 + 2 * 2 * 0.5 + 2 * 3 * 0.1)
    assert found.per_window["quantile_loss"] == pytest.approx(np.array([first, second]) / 3)
    assert found.metrics["wql"] == pytest.approx((first + second) / 3 / 26)


def test_errors_at_every_step_are_the_ones_by_hand():
    truth = np.array([[8.0, 14.0, np.nan], [3.0, np.nan, -1.0]], np.float32)
    steps = score_steps(truth, BY_HAND.astype(np.float32), [0.1, 0.5, 0.9], -5.0, 5.0)
    np.testing.assert_allclose(steps[0], [[0.04, 2, 1], [0.04, 2, 1], [0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(steps[1], [[0.04, 2, 0], [0, 0, 0], [0.04, 2, 0]], rtol=1e-6)
    broken = BY_HAND.copy()
    broken[1, 0, 1] = np.inf
    steps = score_steps(truth, broken, [0.1, 0.5, 0.9], -5.0, 5.0)
    assert np.isnan(steps[1, [0, 2]]).all()
    assert (steps[1, 1] == 0).all(), "nothing was observed there"
    assert np.isfinite(steps[0]).all()


def test_the_share_below_a_quantile_counts_equal_truths_and_observed_points_only():
    truth = np.array([[8.0, 14.0, np.nan], [3.0, np.nan, -1.0]])
    assert shares_below(truth, BY_HAND).tolist() == [2 / 4, 2 / 4, 3 / 4]


def test_float32_forecasts_are_scored_in_double_precision():
    truth, quantiles = make_forecasts(seed=9)
    single = score(truth.astype(np.float32), quantiles.astype(np.float32), LEVELS, LOW, HIGH)
    double = score(
        truth.astype(np.float32).astype(float), quantiles.astype(np.float32).astype(float), LEVELS, LOW, HIGH
    )
    assert single.metrics == double.metrics


def test_scoring_imports_neither_torch_nor_pandas():
    code = (
        "import sys, workflow_scripts.evaluation.metrics as m; print({'torch', 'pandas'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "set()"
