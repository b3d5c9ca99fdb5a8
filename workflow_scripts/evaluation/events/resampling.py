"""Event metrics over draws of patients: what intervals and paired differences are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.judging import PATIENTS_TO_RANK, Question
from workflow_scripts.evaluation.events.scores import WINDOWS_AT_ONCE, discrimination

Array = NDArray[np.float64]

RANKED_DRAWS = 1000
"""Draws of AUROC and AUPRC: the first of all draws. Each costs a pass over the windows; p-values need none of them."""


@dataclass(frozen=True)
class Replicates:
    """Metrics of one run, or their means over seeds, in every draw; None where the metric has no interval.

    auroc, auprc: [RANKED_DRAWS or fewer]; brier: [draws].
    """

    auroc: Array | None
    auprc: Array | None
    brier: Array | None


def resample(question: Question, values: Array, is_probability: bool, draws: Array) -> Replicates:
    """Replicate one run's metrics. values: [n] of the question's windows; draws: [draws, all test patients].

    AUROC and AUPRC, which cost the most, are replicated for onsets of the main condition alone.
    """
    brier = brier_draws(question, values, draws) if is_probability else None
    task = question.task
    if question.patients_with_event < PATIENTS_TO_RANK or not task.is_main or task.population != "onset":
        return Replicates(None, None, brier)
    few = draws[:RANKED_DRAWS]
    blocks = np.array_split(few, max(1, -(-len(few) * len(values) // WINDOWS_AT_ONCE)))
    parts = [discrimination(question.events, values, block[:, question.patient]) for block in blocks]
    auroc = np.concatenate([part.auroc for part in parts])
    auprc = np.concatenate([part.auprc for part in parts])
    # A draw without events has no area; with 20 patients with one such draws are 2 in a thousand million.
    finite = bool(np.isfinite(auroc).all())
    return Replicates(auroc if finite else None, auprc if finite else None, brier)


def brier_draws(question: Question, values: Array, draws: Array) -> Array:
    """The Brier score in every draw: sums by patient, weighted. A draw without any of the windows is NaN."""
    patients = draws.shape[1]
    errors = np.bincount(question.patient, (values - question.events) ** 2, minlength=patients)
    windows = np.bincount(question.patient, minlength=patients)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((draws @ errors) / (draws @ windows))


def mean_over_seeds(runs: list[Replicates], drawn: NDArray[np.int64] | None) -> Replicates:
    """Means over the seeds drawn for each draw. drawn: [draws, seeds drawn], None where there is one seed."""

    def mean(parts: list[Array | None]) -> Array | None:
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        stacked = np.stack(known, axis=1)
        if drawn is None:
            return np.asarray(stacked[:, 0])
        return np.asarray(np.take_along_axis(stacked, drawn[: len(stacked)], axis=1).mean(axis=1))

    return Replicates(
        mean([run.auroc for run in runs]),
        mean([run.auprc for run in runs]),
        mean([run.brier for run in runs]),
    )
