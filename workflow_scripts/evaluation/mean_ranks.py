"""Mean ranks of arms over patients, and by how much two must differ (Demšar, JMLR 7 (2006), 1-30)."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_ranks(errors: Array) -> Array:
    """Mean over patients of each arm's place among the arms, 1 for the smallest error: [arms].

    errors: [patients, arms], each patient's own. Equal errors share the mean of their places.
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(errors, axis=1).mean(axis=0))


def critical_difference(arms: int, patients: int, confidence: float) -> float:
    """Nemenyi's critical difference: mean ranks of any two of `arms` that are closer are not distinguishable.

    Patients are the blocks, as they are independent of each other. Source: Demšar 2006, section 3.2.2.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(confidence, arms, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(arms * (arms + 1) / (6 * patients))
