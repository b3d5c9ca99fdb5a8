"""Classical baselines of the statsforecast library: what a forecaster that learns must beat."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.runtime.errors import UserError

CLASSICAL_MODELS = ("seasonal-naive", "auto-ets", "theta")
"""The values of one season ago; exponential smoothing with its form chosen by AICc (Hyndman et al. 2008); the standard
theta method (Assimakopoulos and Nikolopoulos 2000), in the form of Fiorucci et al. 2016 ("STM")."""


def forecast_classical(
    name: str, context: NDArray[np.floating], horizon: int, levels: Sequence[float], season: int
) -> NDArray[np.float32]:
    """Forecast every series by a model fitted to that series alone: float32 [N, Q, H].

    context: [N, C], every value observed. levels: [Q], ends of the library's prediction intervals of whole per cent;
    the median is its point forecast, which no quantile crosses (theta's intervals are simulated, 200 paths, and its
    inner ones can). season: steps of one season, 1 for none. A series to which the library fits no model gets NaN.
    Raises UserError for an unknown name or a value that is missing.
    """
    if name not in CLASSICAL_MODELS:
        raise UserError(
            "classical baseline", repr(name), f"one of {', '.join(CLASSICAL_MODELS)}", "correct the name"
        )
    if not np.isfinite(context).all():
        raise UserError(
            f"classical baseline {name}",
            "a context with missing values",
            "every value observed",
            "fill the gaps, for example by carrying the last value forward",
        )
    from statsforecast.models import AutoETS, SeasonalNaive, Theta

    model = {"seasonal-naive": SeasonalNaive, "auto-ets": AutoETS, "theta": Theta}[name](season_length=season)
    quantiles = np.empty((len(context), len(levels), horizon), dtype=np.float32)
    for row, values in enumerate(np.asarray(context, np.float64)):
        quantiles[row] = _quantiles(model, values, horizon, levels)
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
