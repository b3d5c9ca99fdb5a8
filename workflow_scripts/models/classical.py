"""Classical references of the statsforecast library: what a forecaster that learns must beat."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.runtime.errors import UserError

CLASSICAL_MODELS = ("seasonal-naive", "auto-ets")
"""The values of one season ago, and exponential smoothing with its form chosen by AICc (Hyndman et al. 2008)."""


def forecast_classical(
    name: str, context: NDArray[np.floating], horizon: int, levels: Sequence[float], season: int
) -> NDArray[np.float32]:
    """Forecast every series by a model fitted to that series alone: float32 [N, Q, H].

    context: [N, C], every value observed. levels: [Q], ends of the library's prediction intervals of whole per cent;
    the median is its point forecast. season: steps of one season.
    Raises UserError for an unknown name or a value that is missing.
    """
    if name not in CLASSICAL_MODELS:
        raise UserError(
            "classical reference", repr(name), f"one of {', '.join(CLASSICAL_MODELS)}", "correct the name"
        )
    if not np.isfinite(context).all():
        raise UserError(
            f"classical reference {name}",
            "a context with missing values",
            "every value observed",
            "fill the gaps, for example by carrying the last value forward",
        )
    from statsforecast.models import AutoETS, SeasonalNaive

    model = {"seasonal-naive": SeasonalNaive, "auto-ets": AutoETS}[name](season_length=season)
    intervals = sorted({_interval(level) for level in levels} - {0})
    columns = [_column(level) for level in levels]
    quantiles = np.empty((len(context), len(levels), horizon), dtype=np.float32)
    for row, values in enumerate(np.asarray(context, np.float64)):
        forecast = model.forecast(values, horizon, level=intervals)
        quantiles[row] = [forecast[column] for column in columns]
    return quantiles


def _interval(level: float) -> int:
    """The central interval, in per cent, of which a quantile is an end."""
    return round(abs(2 * level - 1) * 100)


def _column(level: float) -> str:
    """The library's name of a quantile."""
    if _interval(level) == 0:
        return "mean"
    return f"{'lo' if level < 0.5 else 'hi'}-{_interval(level)}"
