"""How far sampling alone moves a run's metrics: the standard error over other random numbers. NumPy only."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.metrics import Scores, score
from workflow_scripts.windows.reading import Windows

MEASURED = ("mse", "mae", "wql")
"""The metrics whose Monte-Carlo error is recorded."""


def monte_carlo_errors(
    test: Windows,
    scores: Scores,
    rows: NDArray[np.int64],
    again: NDArray[np.float32],
    levels: Sequence[float],
) -> dict[str, float | None]:
    """Standard errors of MEASURED over the random numbers of the forecasts; None where a forecast is not finite.

    scores: of all test windows. rows: the test windows that were forecast a second time, with other random numbers;
    again: those forecasts, float32 [rows, levels, horizon].
    Windows have random numbers of their own, so the variances of their errors add up. Half the squared difference of
    a window's two errors estimates its variance without bias; the mean over `rows` stands for all windows.
    """
    metadata = test.metadata
    other = score(test.target[rows], again, levels, metadata.scale_low, metadata.scale_high).per_window
    first = {name: values[rows] for name, values in scores.per_window.items()}
    windows = len(test)

    def standard_error(name: str) -> float | None:
        """Of the mean over all windows."""
        variance = np.square(other[name] - first[name]).mean() / 2
        return math.sqrt(variance / windows) if np.isfinite(variance) else None

    loss = standard_error("quantile_loss")
    truth = float(scores.per_window["absolute_truth"].mean())
    return {
        "mse": standard_error("mse"),
        "mae": standard_error("mae"),
        "wql": loss / truth if loss is not None and truth else None,
    }
