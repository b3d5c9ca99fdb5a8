"""Chooses test windows to show: one from the best tenth, the middle and the worst tenth of a run's errors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.forecasts import read_forecasts_of
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.windows.reading import Windows

PLACES = (("Best tenth", 0.05), ("Median", 0.5), ("Worst tenth", 0.95))
"""Name and place in the order of errors: the middle of the first tenth, of all, and of the last tenth."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """One window and its forecast. Hours count from the forecast's start; nothing here names a patient.

    context, truth, and each quantile level's values: natural units, NaN = not observed.
    """

    name: str
    error: float
    observed: int
    covered: int
    context_hours: Values
    context: Values
    forecast_hours: Values
    truth: Values
    quantiles: dict[float, Values]

    @property
    def median(self) -> Values:
        """The quantile that is nearest to the middle."""
        return self.quantiles[min(self.quantiles, key=lambda level: abs(level - 0.5))]

    @property
    def outer(self) -> tuple[float, float]:
        """The lowest and the highest level."""
        return min(self.quantiles), max(self.quantiles)


def choose_examples(test: Windows, forecasts: Path) -> list[Example]:
    """Return example windows of a run, ordered from the best to the worst; fewer where windows are few.

    test: the windows of the test split. Windows with a forecast that is not finite come last in the order of errors.
    Raises UserError where the forecasts cannot be read or are not those of these windows.
    """
    if not len(test):
        return []
    quantiles, levels = read_forecasts_of(forecasts, test)
    metadata = test.metadata
    errors = score(test.target, quantiles, levels, metadata.scale_low, metadata.scale_high).per_window["mse"]
    order = np.argsort(errors, kind="stable")
    chosen = dict.fromkeys(int(order[int(place * len(order))]) for _, place in PLACES)
    names = [name for name, _ in PLACES]
    if len(chosen) < len(PLACES):
        names = [f"Window {number + 1}" for number in range(len(chosen))]
    return [_example(name, test, quantiles, levels, place) for name, place in zip(names, chosen, strict=True)]


def _example(
    name: str, test: Windows, quantiles: NDArray[np.float32], levels: list[float], place: int
) -> Example:
    hours = test.metadata.interval_minutes / 60
    truth = test.target[place].astype(np.float64)
    values = {level: quantiles[place, number].astype(np.float64) for number, level in enumerate(levels)}
    low, high = values[min(levels)], values[max(levels)]
    median = values[min(levels, key=lambda level: abs(level - 0.5))]
    return Example(
        name=name,
        error=float(np.nanmean(np.abs(truth - median))),
        observed=int((~np.isnan(truth)).sum()),
        covered=int(((truth >= low) & (truth <= high)).sum()),
        context_hours=np.arange(-test.context.shape[1], 0, dtype=np.float64) * hours,
        context=test.context[place].astype(np.float64),
        forecast_hours=np.arange(len(truth), dtype=np.float64) * hours,
        truth=truth,
        quantiles=values,
    )
