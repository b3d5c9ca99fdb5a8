"""The baselines: forecasts that nothing is trained for, against which all others are measured."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.models.registry import DAY_MINUTES, FITTED_BASELINES, check_baseline

LONGEST_SEASON = 24
"""Steps; R's forecast::ets, which the library follows, fits no longer season either."""


def forecast_baseline(
    name: str, context: NDArray[np.floating], horizon: int, levels: Sequence[float], interval_minutes: int
) -> NDArray[np.float32]:
    """Forecast every window from its own context alone: float32 [N, Q, horizon], natural units.

    context: [N, C], natural units, NaN = not observed.
    levels: [Q]. interval_minutes: the grid step.

    - persistence: the last observed value. mean-of-context: the mean of the observed values. seasonal-naive: the
      value at the same time of the day before (Hyndman and Athanasopoulos, Forecasting, 3rd edition, section 5.2),
      gaps filled as below. These are point forecasts: every quantile is the same value, so that the interval covers
      only truths that equal it, and the weighted quantile loss is that of a point.
    - auto-ets, theta: models/classical.py on the context with its gaps filled; quantiles are the ends of the
      library's prediction intervals.

    A gap holds the last value before it, and at the start of a context the first value after it; nothing but the
    context is used. A context with nothing observed gives NaN, and so does one to which the library fits no model:
    scoring counts such windows as failures.
    Raises UserError as `check_baseline` does.
    """
    check_baseline(name, context.shape[1], interval_minutes)
    if name in FITTED_BASELINES:
        season = fitted_season(context.shape[1], interval_minutes)
        return _fit_each(name, _filled(context), horizon, levels, season)
    if name == "persistence":
        point = _filled(context)[:, -1:]
    elif name == "mean-of-context":
        point = _mean_observed(context)[:, None]
    else:
        day = DAY_MINUTES // interval_minutes
        point = _filled(context)[:, -day:][:, np.arange(horizon) % day]
    point = np.broadcast_to(point.astype(np.float32), (len(context), horizon))
    return np.repeat(point[:, None], len(levels), axis=1)


def fitted_season(context: int, interval_minutes: int) -> int:
    """The season that fitted baselines may have: a day where the context holds two, otherwise 1, none.

    One day alone cannot tell what repeats from what happened once.
    """
    day, rest = divmod(DAY_MINUTES, interval_minutes)
    return day if not rest and day <= LONGEST_SEASON and context >= 2 * day else 1


def _fit_each(
    name: str, context: NDArray[np.floating], horizon: int, levels: Sequence[float], season: int
) -> NDArray[np.float32]:
    from workflow_scripts.models.classical import forecast_classical

    quantiles = np.full((len(context), len(levels), horizon), np.nan, dtype=np.float32)
    observed = np.isfinite(context).all(axis=1)
    if observed.any():
        quantiles[observed] = forecast_classical(name, context[observed], horizon, levels, season)
    return quantiles


def _filled(context: NDArray[np.floating]) -> NDArray[np.floating]:
    """Gaps carried forward, then backward; a row with nothing observed stays NaN."""
    return _carried(_carried(context)[:, ::-1])[:, ::-1]


def _carried(values: NDArray[np.floating]) -> NDArray[np.floating]:
    places = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(places, axis=1), axis=1)


def _mean_observed(context: NDArray[np.floating]) -> NDArray[np.float64]:
    observed = ~np.isnan(context)
    total = np.where(observed, context, 0.0).sum(axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return total / observed.sum(axis=1)
