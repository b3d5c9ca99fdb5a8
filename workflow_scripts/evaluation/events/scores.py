"""Metrics of event probabilities: over all windows, or over many draws of patients at once. NumPy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOWS_AT_ONCE = 4_000_000
"""Weights in one block of draws: bounds the memory."""


@dataclass(frozen=True)
class Discrimination:
    """Area under the ROC curve and average precision, of each draw [draws]; NaN where one class is missing."""

    auroc: Array
    auprc: Array


def discrimination(events: Array, scores: Array, weights: Array | None = None) -> Discrimination:
    """AUROC (ties count half) and AUPRC (average precision, without interpolation).

    events: [N], 1 or 0. scores: [N], higher is more likely. weights: [draws, N], how often each window counts; without
    them one draw in which each counts once.
    """
    if weights is None:
        weights = np.ones((1, len(events)))
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    parts = [
        _from_sorted(block[:, order], events[order], ends)
        for block in np.array_split(weights, max(1, -(-weights.size // WINDOWS_AT_ONCE)))
    ]
    return Discrimination(
        np.concatenate([part.auroc for part in parts]), np.concatenate([part.auprc for part in parts])
    )


def _from_sorted(weights: Array, events: Array, ends: NDArray[np.int64]) -> Discrimination:
    """weights [draws, N] and events [N] in falling order of the scores; ends: last place of each distinct score."""
    positives = np.cumsum(weights * events, axis=1)[:, ends]
    everyone = np.cumsum(weights, axis=1)[:, ends]
    negatives = everyone - positives
    new_positives = np.diff(positives, axis=1, prepend=0.0)
    new_negatives = np.diff(negatives, axis=1, prepend=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = (new_negatives * (positives - new_positives / 2)).sum(axis=1)
        auroc = above / (positives[:, -1] * negatives[:, -1])
        precision = np.where(everyone > 0, positives / everyone, 0.0)
        auprc = (new_positives * precision).sum(axis=1) / positives[:, -1]
    return Discrimination(auroc, auprc)


def brier_skill(brier: Array | float, prevalence: Array | float) -> Array:
    """1 - Brier score over that of the prevalence; below 0 the forecast is worse than the prevalence."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - np.asarray(brier) / (np.asarray(prevalence) * (1 - np.asarray(prevalence))))


def cut_off(scores: Array, share: float) -> float:
    """The smallest score at and above which at most `share` of the scores are; infinite where there is none."""
    values, counts = np.unique(scores[~np.isnan(scores)], return_counts=True)
    at_or_above = np.cumsum(counts[::-1])[::-1] / max(1, counts.sum())
    fitting = values[at_or_above <= share + 1e-12]
    return float(fitting[0]) if len(fitting) else float("inf")


@dataclass(frozen=True)
class AlarmScores:
    """What an alarm at and above a cut-off is worth. share: of the windows with an alarm; None where undefined."""

    share: float
    sensitivity: float | None
    ppv: float | None


def score_alarms(events: Array, scores: Array, at: float) -> AlarmScores:
    """Judge an alarm in every window whose score is at or above `at`."""
    alarm = scores >= at
    hits, alarms, happened = float((alarm * events).sum()), float(alarm.sum()), float(events.sum())
    return AlarmScores(
        share=alarms / len(events),
        sensitivity=hits / happened if happened else None,
        ppv=hits / alarms if alarms else None,
    )


def net_benefit(events: Array, probabilities: Array, threshold: float) -> float:
    """TP/n - FP/n t/(1-t) of acting where the probability is at least t (Vickers and Elkin 2006)."""
    act = probabilities >= threshold
    hits, false = (act * events).mean(), (act * (1 - events)).mean()
    return float(hits - false * threshold / (1 - threshold))


def expected_calibration_error(events: Array, probabilities: Array, bins: int = 10) -> float:
    """Mean distance of observed share and mean probability over equal bins [a, b), each weighted by its windows."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(place, probabilities - events, minlength=bins)
    return float(np.abs(gaps).sum() / len(events))
