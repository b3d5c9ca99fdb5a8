"""The baselines: forecasts that learn from no patient, against which all others are measured.

A baseline is one function under `@baseline`. Settings, workflow, tables and report know it from there. Light to
import: settings read the names, so NumPy and statsforecast are imported where they are used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating]

DAY_MINUTES = 24 * 60

LONGEST_SEASON = 24
"""Steps; R's forecast::ets, which the library follows, fits no longer season either."""


@dataclass(frozen=True)
class Contexts:
    """The contexts of all windows, and what to forecast from them.

    values: [windows, context], natural units, NaN = not observed. horizon: steps. levels: the quantiles.
    interval_minutes: the grid step.
    """

    values: "Array"
    horizon: int
    levels: Sequence[float]
    interval_minutes: int

    @cached_property
    def filled(self) -> "Array":
        """`values` with each gap holding the last value before it, and at the start the first value after it.

        A row with nothing observed stays NaN.
        """
        return _carried_forward(_carried_forward(self.values)[:, ::-1])[:, ::-1]

    @property
    def season(self) -> int:
        """The season that a fitted baseline may have, see `fitted_season`."""
        return fitted_season(self.values.shape[1], self.interval_minutes)


@dataclass(frozen=True)
class Baseline:
    """A baseline, and what the workflow and the report must know of it."""

    name: str
    label: str
    """Its name in the report."""
    forecast: Callable[[Contexts], "Array"]
    """Points, [windows, horizon] or [windows, 1] for all steps; without `point_forecast` quantiles,
    [windows, levels, horizon]. A window that it cannot forecast is NaN."""
    point_forecast: bool
    """Whether every quantile is the same value, so that intervals mean nothing."""
    fewest_steps: int
    """Of a context."""
    needs_a_day: bool
    """Whether a context must hold a whole day."""


BASELINES: dict[str, Baseline] = {}
"""Name, as `baselines` in params.yaml uses it -> baseline. The functions below fill it."""


def baseline(
    name: str, label: str, *, point_forecast: bool = False, fewest_steps: int = 1, needs_a_day: bool = False
) -> Callable[[Callable[[Contexts], "Array"]], Callable[[Contexts], "Array"]]:
    """Register a function as a baseline; see `Baseline` for the arguments."""

    def register(forecast: Callable[[Contexts], "Array"]) -> Callable[[Contexts], "Array"]:
        BASELINES[name] = Baseline(name, label, forecast, point_forecast, fewest_steps, needs_a_day)
        return forecast

    return register


@baseline("persistence", "last value carried forward", point_forecast=True)
def persistence(contexts: Contexts) -> "Array":
    """The last observed value."""
    return contexts.filled[:, -1:]


@baseline("mean-of-context", "mean of the context", point_forecast=True)
def mean_of_context(contexts: Contexts) -> "Array":
    """The mean of the observed values."""
    import numpy as np

    observed = ~np.isnan(contexts.values)
    total = np.where(observed, contexts.values, 0.0).sum(axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return (total / observed.sum(axis=1))[:, None]


@baseline("seasonal-naive", "same hour yesterday", point_forecast=True, needs_a_day=True)
def seasonal_naive(contexts: Contexts) -> "Array":
    """The last day again (Hyndman and Athanasopoulos, Forecasting, 3rd edition, section 5.2), its gaps filled."""
    import numpy as np

    day = DAY_MINUTES // contexts.interval_minutes
    return contexts.filled[:, -day:][:, np.arange(contexts.horizon) % day]


# The largest form of exponential smoothing has six parameters, and AICc divides by what is left.
@baseline("auto-ets", "AutoETS", fewest_steps=8)
def auto_ets(contexts: Contexts) -> "Array":
    """Exponential smoothing, its form chosen by AICc (Hyndman et al. 2008)."""
    from statsforecast.models import AutoETS

    from workflow_scripts.models.classical import forecast_each

    return forecast_each(
        AutoETS(season_length=contexts.season), contexts.filled, contexts.horizon, contexts.levels
    )


# The error variance of theta needs two residuals after the library's first three.
@baseline("theta", "Theta", fewest_steps=5)
def theta(contexts: Contexts) -> "Array":
    """The standard theta method (Assimakopoulos and Nikolopoulos 2000) as Fiorucci et al. 2016 write it ("STM")."""
    from statsforecast.models import Theta

    from workflow_scripts.models.classical import forecast_each

    return forecast_each(
        Theta(season_length=contexts.season), contexts.filled, contexts.horizon, contexts.levels
    )


def forecast_baseline(
    name: str, context: "Array", horizon: int, levels: Sequence[float], interval_minutes: int
) -> "NDArray[np.float32]":
    """Forecast every window from its own context alone: float32 [windows, levels, horizon], natural units.

    context: [windows, context], natural units, NaN = not observed. interval_minutes: the grid step. Every quantile of
    a point forecast is the same value, so that its interval covers only truths that equal it, and its weighted
    quantile loss is that of a point. A window without an observed value gives NaN, and so does one to which a library
    fits no model: scoring counts such windows as failures. Raises UserError as `check_baseline` does.
    """
    import numpy as np

    check_baseline(name, context.shape[1], interval_minutes)
    forecast = BASELINES[name].forecast(Contexts(context, horizon, levels, interval_minutes))
    if forecast.ndim == 2:
        forecast = np.broadcast_to(forecast[:, None], (len(context), len(levels), horizon))
    return forecast.astype(np.float32)


def check_baseline(name: str, context: int, interval_minutes: int) -> None:
    """Raise UserError for an unknown baseline, and where a context (grid steps of `interval_minutes`) is too short."""
    if name not in BASELINES:
        raise UserError(
            "baselines", f"unknown name {name!r}", ", ".join(BASELINES), "choose one of these names"
        )
    fewest, needs_a_day = BASELINES[name].fewest_steps, BASELINES[name].needs_a_day
    if needs_a_day:
        fewest, rest = divmod(DAY_MINUTES, interval_minutes)
        if rest:
            raise UserError(
                f"windows.interval_minutes, with baseline {name}",
                f"{interval_minutes} min",
                f"a divisor of the day's {DAY_MINUTES} min",
                f"choose such an interval, or leave {name} out of baselines",
            )
    if context < fewest:
        raise UserError(
            f"windows.context, with baseline {name}",
            f"{context} steps of {interval_minutes} min",
            f"at least {fewest} steps{', one day' if needs_a_day else ''}",
            f"lengthen windows.context, or leave {name} out of baselines",
        )


def fitted_season(context: int, interval_minutes: int) -> int:
    """The season, in steps, that is fitted to a context: a day where it holds two, otherwise 1, none.

    One day alone cannot tell what repeats from what happened once.
    """
    day, rest = divmod(DAY_MINUTES, interval_minutes)
    return day if not rest and day <= LONGEST_SEASON and context >= 2 * day else 1


def _carried_forward(values: "Array") -> "Array":
    import numpy as np

    index = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(index, axis=1), axis=1)
