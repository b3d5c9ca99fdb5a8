"""A run's errors, window by window and step by step, from its stored forecasts; and their sums by patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.forecasts import read_forecasts_of
from workflow_scripts.evaluation.metrics import POOLED, score, score_steps, shares_below
from workflow_scripts.runtime.identifiers import number_names
from workflow_scripts.windows.reading import Windows

ERRORS = ("mse", "mape", "mape_paper", "dtw", "mae", "wql")
"""Metrics of which less is better. RMSE is left out: over one seed, MSE orders the arms as it does."""

RESAMPLED = (*ERRORS, "coverage_80")
"""Metrics that have intervals, in the order of the arrays' last axis."""

GROUPED = ("mse", "mae", "coverage_80")
"""Metrics that are broken down by groups of the test windows, and by step."""

GROUPED_INDICES = [RESAMPLED.index(metric) for metric in GROUPED]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WindowScores:
    """What each test window adds to a run's metrics.

    A metric over any set of windows is the sum of its `errors` over the sum of its `weights`. errors,
    weights: float64 [windows, metrics], metrics as in RESAMPLED; errors are NaN or infinite where a forecast
    is not finite or a denominator is zero. patient: int64 [windows], the place of its subject_id in the order of
    runtime/identifiers.py.
    steps: float64 [windows, horizon, metrics], metrics as in GROUPED: the same for each step, 0 where the truth
    was not observed. below: float64 [levels], share of all truths at or below the quantile of each of `levels`.
    """

    errors: Array
    weights: Array
    patient: NDArray[np.int64]
    steps: Array
    below: Array
    levels: list[float]


@dataclass(frozen=True)
class PatientSums:
    """The same for several runs on the same windows, summed by patient.

    errors: float64 [patients, runs, metrics]; weights: float64 [patients, metrics], the truth's alone.
    """

    errors: Array
    weights: Array
    windows: int

    @property
    def patients(self) -> int:
        """Patients with at least one test window."""
        return len(self.weights)

    def metrics(self) -> Array:
        """Each run's metrics over all patients, [runs, metrics]; not finite where one is undefined."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.errors.sum(axis=0) / self.weights.sum(axis=0)


def score_windows(forecasts: Path, test: Windows) -> WindowScores:
    """Score a run's stored forecasts, window by window.

    test: the test split of the run's windows. Raises UserError where the forecasts are not those of `test`.
    """
    return _score(*read_forecasts_of(forecasts, test), test)


def unknown_scores(levels: Sequence[float], test: Windows) -> WindowScores:
    """Scores of a run that has no forecasts: every error is not a number."""
    return _score(
        np.full((len(test), len(levels), test.target.shape[1]), np.nan, np.float32), [*levels], test
    )


def _score(quantiles: NDArray[np.float32], levels: list[float], test: Windows) -> WindowScores:
    scale = test.metadata.scale_low, test.metadata.scale_high
    parts = score(test.target, quantiles, levels, *scale).per_window
    parts["window"] = np.ones(len(test))
    pairs = [POOLED.get(metric, (metric, "window")) for metric in RESAMPLED]
    return WindowScores(
        errors=np.stack([parts[error] for error, _ in pairs], axis=1),
        weights=np.stack([parts[weight] for _, weight in pairs], axis=1),
        patient=number_names(test.subject_id)[1],
        steps=score_steps(test.target, quantiles, levels, *scale),
        below=shares_below(test.target, quantiles),
        levels=levels,
    )


def sum_by_patient(runs: Sequence[WindowScores]) -> PatientSums:
    """Sum the scores of runs on the same windows by patient."""
    first = runs[0]
    return sum_rows(first.patient, [run.errors for run in runs], first.weights)


def sum_rows(patient: NDArray[np.int64], errors: Sequence[Array], weights: Array) -> PatientSums:
    """Sum rows by patient: `patient` [rows], `weights` [rows, metrics] and of each run `errors` [rows, metrics]."""
    order = np.argsort(patient, kind="stable")
    starts = np.flatnonzero(np.diff(patient[order], prepend=-1))
    return PatientSums(
        errors=np.stack([np.add.reduceat(run[order], starts) for run in errors], axis=1),
        weights=np.add.reduceat(weights[order], starts),
        windows=len(patient),
    )
