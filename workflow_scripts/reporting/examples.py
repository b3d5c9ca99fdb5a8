"""Chooses test windows to show: one from the best tenth, the middle and the worst tenth of a run's errors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.forecasts import read_test_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.windows.reading import Windows

PLACES = (("Best tenth", 0.05), ("Median", 0.5), ("Worst tenth", 0.95))
"""Name and place in the order of errors: the middle of the first tenth, of all, and of the last tenth."""

OPEN_DATASETS = ("simulated", "mimic-iii-demo")
"""Data sets whose rows may be shown; credentialed data stays out of the report."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """One window and its forecast. Hours count from the forecast's start; nothing here names a patient.

    context, truth, low, median, high: natural units, NaN = not observed.
    """

    name: str
    error: float
    observed: int
    covered: int
    context_hours: Values
    context: Values
    forecast_hours: Values
    truth: Values
    low: Values
    median: Values
    high: Values

    @property
    def start_hours(self) -> float:
        """Where the forecast starts."""
        return float(self.forecast_hours[0])


def choose_examples(windows: Windows, forecasts: Path) -> list[Example]:
    """Return example windows of a run, ordered from the best to the worst; fewer where windows are few.

    Windows with a forecast that is not finite come last in the order of errors. Raises UserError where the
    forecasts cannot be read or are not those of the windows' test split.
    """
    test = windows.select("test")
    quantiles, levels = read_test_forecasts(forecasts, test)
    metadata = windows.metadata
    errors = score(test.target, quantiles, levels, metadata.scale_low, metadata.scale_high).per_window["mse"]
    order = np.argsort(errors, kind="stable")
    chosen = dict.fromkeys(int(order[int(place * len(order))]) for _, place in PLACES)
    names = (
        [name for name, _ in PLACES]
        if len(chosen) == len(PLACES)
        else [f"Window {k + 1}" for k in range(len(chosen))]
    )
    return [_example(name, test, quantiles, levels, place) for name, place in zip(names, chosen, strict=True)]


def _example(
    name: str, test: Windows, quantiles: NDArray[np.float32], levels: list[float], place: int
) -> Example:
    hours = test.metadata.interval_minutes / 60
    low, median, high = (
        quantiles[place, levels.index(level)].astype(np.float64) for level in (0.1, 0.5, 0.9)
    )
    truth = test.target[place].astype(np.float64)
    return Example(
        name=name,
        error=float(np.nanmean(np.abs(truth - median))),
        observed=int((~np.isnan(truth)).sum()),
        covered=int(((truth >= low) & (truth <= high)).sum()),
        context_hours=np.arange(-test.context.shape[1], 0, dtype=np.float64) * hours,
        context=test.context[place].astype(np.float64),
        forecast_hours=np.arange(len(truth), dtype=np.float64) * hours,
        truth=truth,
        low=low,
        median=median,
        high=high,
    )
