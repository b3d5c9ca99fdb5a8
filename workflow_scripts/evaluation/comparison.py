"""What bootstrap replicates say: intervals, paired differences, p-values, Holm's correction, win rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

ROUNDING = 1e-12
"""Relative difference below which two errors are the same: sums in another order differ by less."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """An arm's metric minus that of another arm on the same windows: below zero, the arm is better.

    low, high: percentile interval. p_value: two-sided, before any correction.
    """

    value: float
    low: float
    high: float
    p_value: float


def interval(replicates: Array, confidence: float) -> tuple[float, float]:
    """The percentile interval of replicates [resamples]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def compare(
    value: float, other_value: float, arm: Array, other: Array, confidence: float, noise: float = 0.0
) -> Difference:
    """Compare two arms by their metrics and their replicates [resamples] of the same resamples.

    noise: standard error of the difference over the random numbers of the forecasts. The interval holds that of the
    noise too, and the p-value is at least the noise's, so that nothing is significant that the noise explains.
    """
    differences = arm - other
    differences[np.abs(differences) <= ROUNDING * np.abs(other)] = 0.0
    difference = value - other_value
    difference = 0.0 if abs(difference) <= ROUNDING * abs(other_value) else difference
    low, high = interval(differences, confidence)
    p_value = bootstrap_p_value(differences)
    if noise > 0:
        reach = float(ndtri((1 + confidence) / 2)) * noise
        low, high = min(low, difference - reach), max(high, difference + reach)
        p_value = max(p_value, 2 * float(ndtr(-abs(difference) / noise)))
    return Difference(difference, low, high, p_value)


def bootstrap_p_value(differences: Array) -> float:
    """Two-sided p-value of "no difference" from replicated differences [resamples].

    Twice the share of replicates on the rarer side of zero, so that it is below 1 - confidence where the
    percentile interval leaves zero out (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 15.4).
    One is added to the count and to the resamples, so that it is never 0 (Phipson and Smyth, Stat. Appl.
    Genet. Mol. Biol. 9 (2010), 39). Replicates of exactly zero count on both sides.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (1 + rarer) / (1 + len(differences)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values of a family (Holm, Scand. J. Stat. 6 (1979), 65-70), in the given order.

    None marks a comparison that could not be made: it still counts in the size of the family, so that a
    failed arm makes no other arm look better.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for step, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(p_values) - step) * p))
        adjusted[place] = largest
    return adjusted


def win_rate(arm: Array, other: Array) -> tuple[float, float]:
    """Share of patients whose error is lower under `arm`, and share of those with the same error.

    arm, other: [patients], errors of the same windows.
    """
    same = np.abs(arm - other) <= ROUNDING * np.abs(other)
    return float(((arm < other) & ~same).mean()), float(same.mean())
