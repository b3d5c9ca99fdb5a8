"""Forecasts by models of the statsforecast library, each fitted to one series alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def forecast_each(
    model: Any, context: NDArray[np.floating], horizon: int, levels: Sequence[float]
) -> NDArray[np.float32]:
    """Fit a model to every series by itself and forecast it: float32 [series, levels, horizon].

    model: of statsforecast.models. context: [series, context]; a series with a missing value, or to which the library
    fits no model, gets NaN. levels: quantiles, ends of the library's prediction intervals of whole per cent; the
    median is its point forecast, which no quantile crosses (theta's intervals are simulated, 200 paths, and its inner
    ones can).
    """
    quantiles = np.full((len(context), len(levels), horizon), np.nan, dtype=np.float32)
    for row in np.flatnonzero(np.isfinite(context).all(axis=1)):
        quantiles[row] = _quantiles(model, context[row].astype(np.float64), horizon, levels)
    return quantiles


def _quantiles(
    model: Any, values: NDArray[np.float64], horizon: int, levels: Sequence[float]
) -> NDArray[np.float64]:
    intervals = sorted({_interval(level) for level in levels} - {0})
    try:
        forecast = model.forecast(values, horizon, level=intervals)
    except Exception:
        # What the library raises where no form can be fitted is no narrower.
        return np.full((len(levels), horizon), np.nan)
    quantiles, median = np.stack([forecast[_column(level)] for level in levels]), forecast["mean"]
    below = np.asarray(levels)[:, None] < 0.5
    return np.where(below, np.minimum(quantiles, median), np.maximum(quantiles, median))


def _interval(level: float) -> int:
    """The central interval, in per cent, of which a quantile is an end."""
    return round(abs(2 * level - 1) * 100)


def _column(level: float) -> str:
    """The library's name of a quantile."""
    if _interval(level) == 0:
        return "mean"
    return f"{'lo' if level < 0.5 else 'hi'}-{_interval(level)}"
