"""The study's metrics over arrays of truths and forecast quantiles. NumPy only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.warping import mean_warping_distance
from workflow_scripts.runtime.errors import UserError

METRIC_NAMES = ("mse", "mape", "mape_paper", "dtw", "mae", "rmse", "wql", "coverage_80")
"""In the order of every table. Smaller is better, except coverage_80, which should be 0.8."""

SCORED_LEVELS = (0.1, 0.5, 0.9)
"""Quantile levels that the metrics need."""

POOLED = {"wql": ("quantile_loss", "absolute_truth"), "coverage_80": ("covered", "observed")}
"""Metrics over all observed points of all windows: the two parts of `Scores.per_window` whose sums' ratio they are."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a run's forecasts are worth.

    metrics: the names of METRIC_NAMES; None where the metric is undefined, which one forecast that is not
        finite, or one zero in a denominator, is enough for: a failure is never averaged away.
    per_window: float64 [N] for mse, mape, mape_paper, dtw (scaled series) and mae, squared_error (natural
        units), in the order of the input; and the sums over a window's observed points whose ratio over all
        windows is wql (quantile_loss over absolute_truth, natural units) and coverage_80 (covered over
        observed, counts). Errors are NaN for windows whose forecast is not finite.
    non_finite_windows: windows with a forecast value that is not finite, at whatever step or level.
    """

    metrics: dict[str, float | None]
    per_window: dict[str, Array]
    non_finite_windows: int


def score(
    truth: NDArray[np.floating],
    quantiles: NDArray[np.floating],
    levels: Sequence[float],
    scale_low: float,
    scale_high: float,
) -> Scores:
    """Score forecasts against the truth; order and batches of windows change no digit of the metrics.

    truth: [N, H] natural units, NaN = not observed. quantiles: [N, Q, H] natural units. levels: [Q], with
    0.1, 0.5 and 0.9 among them. scale_low, scale_high: what becomes 0 and 1 on the scaled series.

    Only observed points count. The point forecast f is the median; y is the truth. Each window's own mean
    over its observed points is taken first, then the plain mean over windows (arXiv 2405.10216 and the
    authors' public code):

    - mse: mean (y - f)^2, scaled series; printed x 1e-4 in the paper, here plain.
    - mape: 100 mean |y - f| / |y|, scaled series, per cent. mape_paper: the same with |f| as the denominator,
      which is how the authors' code calls it.
    - dtw: accumulated |y - f| along the best warping path over its length, scaled series (see warping.py).
    - mae: mean |y - f|, natural units.
    - rmse: root of the mean over windows of mean (y - f)^2, natural units.

    Pooled over all observed points of all windows:

    - wql: weighted quantile loss, mean over levels q of sum 2 (y - f_q) (q - [y < f_q]) / sum |y|, natural
      units (GluonTS's mean_weighted_sum_quantile_loss, which Chronos's evaluation uses).
    - coverage_80: share of truths within [f_0.1, f_0.9], bounds included.

    Raises UserError for arrays that do not belong together, windows without any observed point, infinite
    truths, and missing levels.
    """
    observed, forecast = np.asarray(truth, np.float64), np.asarray(quantiles, np.float64)
    _check(observed, forecast, levels, scale_low, scale_high)
    finite = np.isfinite(forecast).all(axis=(1, 2))
    median = forecast[:, _position(levels, 0.5)]
    low, high = (forecast[:, _position(levels, level)] for level in (0.1, 0.9))
    per_window = _window_errors(observed, median, scale_low, scale_high - scale_low)
    per_window["quantile_loss"] = _quantile_loss(observed, forecast, levels)
    # Comparisons with NaN are false, so that only observed points are counted.
    per_window["covered"] = ((observed >= low) & (observed <= high)).sum(axis=1).astype(np.float64)
    for values in per_window.values():
        values[~finite] = np.nan
    per_window["absolute_truth"] = np.nansum(np.abs(observed), axis=1)
    per_window["observed"] = (~np.isnan(observed)).sum(axis=1).astype(np.float64)
    means = ("mse", "mape", "mape_paper", "dtw", "mae")
    metrics = {name: _mean(per_window[name]) for name in means}
    mean_square = _mean(per_window["squared_error"])
    metrics["rmse"] = None if mean_square is None else math.sqrt(mean_square)
    metrics |= {name: _ratio(per_window[above], per_window[below]) for name, (above, below) in POOLED.items()}
    return Scores(metrics, per_window, int((~finite).sum()))


def score_steps(
    truth: NDArray[np.floating],
    quantiles: NDArray[np.floating],
    levels: Sequence[float],
    scale_low: float,
    scale_high: float,
) -> Array:
    """Errors at every step of every window: float64 [N, H, 3], 0 where the truth was not observed.

    In order: the squared error of the median on the scaled series, its absolute error in natural units, and whether
    the truth is within the 80 % interval (1 or 0). Arguments as for `score`; a window whose forecast is not finite
    is NaN at every observed step.
    """
    low, median, high = (quantiles[:, _position(levels, level)] for level in SCORED_LEVELS)
    error = np.abs(truth.astype(np.float64) - median)
    covered = (truth >= low) & (truth <= high)
    steps = np.stack([(error / (scale_high - scale_low)) ** 2, error, covered], axis=-1)
    steps[~np.isfinite(quantiles).all(axis=(1, 2))] = np.nan
    steps[np.isnan(truth)] = 0.0
    return steps


def shares_below(truth: NDArray[np.floating], quantiles: NDArray[np.floating]) -> Array:
    """Share of the observed truths [N, H] at or below each quantile [N, Q, H]: float64 [Q]; not observed is NaN."""
    observed = ~np.isnan(truth)
    below = (truth[:, None] <= quantiles) & observed[:, None]
    return below.sum(axis=(0, 2)) / observed.sum()


def _check(
    truth: Array, quantiles: Array, levels: Sequence[float], scale_low: float, scale_high: float
) -> None:
    def refuse(found: str, expected: str) -> UserError:
        return UserError("scoring of forecasts", found, expected, "make the forecasts and windows anew")

    if truth.ndim != 2 or quantiles.shape != (len(truth), len(levels), truth.shape[-1]):
        raise refuse(
            f"truths {truth.shape}, quantiles {quantiles.shape}, {len(levels)} levels",
            "[windows, horizon], [windows, levels, horizon]",
        )
    if not len(truth):
        raise refuse("no window", "at least one window")
    missing = [level for level in SCORED_LEVELS if not np.isclose(levels, level).any()]
    if missing:
        raise refuse(f"no quantile level {missing[0]}", "the levels 0.1, 0.5 and 0.9 among the forecasts")
    if not scale_high > scale_low:
        raise refuse(f"scale from {scale_low} to {scale_high}", "a scale that rises")
    empty = int(np.isnan(truth).all(axis=1).sum())
    if empty:
        raise refuse(f"{empty} windows without any observed target", "an observed target in every window")
    if np.isinf(truth).any():
        raise refuse("infinite targets", "finite targets, or NaN where nothing was observed")


def _position(levels: Sequence[float], level: float) -> int:
    return int(np.argmin(np.abs(np.asarray(levels) - level)))


def _window_errors(truth: Array, median: Array, scale_low: float, span: float) -> dict[str, Array]:
    """Each window's errors, NaN points of the truth left out."""
    observed = ~np.isnan(truth)
    error = np.abs(truth - median)
    scaled_truth, scaled_median = (truth - scale_low) / span, (median - scale_low) / span
    with np.errstate(divide="ignore", invalid="ignore"):
        relative_to_truth = error / span / np.abs(scaled_truth)
        relative_to_forecast = error / span / np.abs(scaled_median)
    return {
        "mse": _row_means((error / span) ** 2, observed),
        "mape": 100 * _row_means(relative_to_truth, observed),
        "mape_paper": 100 * _row_means(relative_to_forecast, observed),
        "dtw": mean_warping_distance(scaled_truth, scaled_median),
        "mae": _row_means(error, observed),
        "squared_error": _row_means(error**2, observed),
    }


def _row_means(values: Array, observed: NDArray[np.bool_]) -> Array:
    return np.where(observed, values, 0.0).sum(axis=1) / observed.sum(axis=1)


def _mean(values: Array) -> float | None:
    """The exactly rounded mean, so that the order of windows cannot matter; None where it is not finite."""
    if not np.isfinite(values).all():
        return None
    return math.fsum(values.tolist()) / len(values)


def _quantile_loss(truth: Array, quantiles: Array, levels: Sequence[float]) -> Array:
    """Each window's sum over observed points of the mean over levels of 2 (y - f_q) (q - [y < f_q])."""
    total = np.zeros(len(truth))
    for position, level in enumerate(levels):
        forecast = quantiles[:, position]
        loss = 2 * (truth - forecast) * (level - (truth < forecast))
        total += np.where(np.isnan(truth), 0.0, loss).sum(axis=1)
    return total / len(levels)


def _ratio(above: Array, below: Array) -> float | None:
    """The ratio of two exactly rounded sums; None where it is not finite."""
    total = math.fsum(below.tolist())
    return math.fsum(above.tolist()) / total if total and np.isfinite(above).all() else None
