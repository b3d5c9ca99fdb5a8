"""Calibration of event probabilities: CORP's decomposition, intercept and slope, recalibration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


@dataclass(frozen=True)
class Decomposition:
    """Brier score = miscalibration - discrimination + uncertainty. curve: recalibrated probability of each window."""

    miscalibration: float
    discrimination: float
    uncertainty: float
    curve: Array


def decompose(events: Array, probabilities: Array) -> Decomposition:
    """Decompose the Brier score by isotonic regression (CORP: Dimitriadis, Gneiting and Jordan 2021, PNAS 118).

    The curve is CORP's reliability diagram: of each window the share of events at its probability.
    """
    from sklearn.isotonic import IsotonicRegression

    curve = np.asarray(IsotonicRegression().fit_transform(probabilities, events), np.float64)
    prevalence = events.mean()
    uncertainty = float(prevalence * (1 - prevalence))
    recalibrated = float(((curve - events) ** 2).mean())
    brier = float(((probabilities - events) ** 2).mean())
    return Decomposition(brier - recalibrated, uncertainty - recalibrated, uncertainty, curve)


def logit(probabilities: Array) -> Array:
    """ln(p / (1 - p)), of probabilities kept away from 0 and 1."""
    clipped = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(clipped / (1 - clipped)))


@dataclass(frozen=True)
class CalibrationLine:
    """Logistic recalibration. in_the_large: intercept where the slope is 1; None where no fit exists.

    0 and 1 are ideal; a slope below 1 means too extreme probabilities (Van Calster 2016, J Clin Epidemiol 74:167).
    """

    in_the_large: float | None
    intercept: float | None
    slope: float | None

    def recalibrate(self, probabilities: Array) -> Array:
        """The probabilities on this line; NaN where there is none."""
        if self.intercept is None or self.slope is None:
            return np.full(len(probabilities), np.nan)
        return np.asarray(1 / (1 + np.exp(-(self.intercept + self.slope * logit(probabilities)))))


def calibration_line(events: Array, probabilities: Array) -> CalibrationLine:
    """Fit the line without a penalty; empty where the probabilities separate the events, or there is one class."""
    from scipy.optimize import brentq
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    given, happened = logit(probabilities), events == 1
    with_event, without = given[happened], given[~happened]
    separable = not len(with_event) or not len(without)
    if separable or with_event.min() >= without.max() or with_event.max() <= without.min():
        return CalibrationLine(None, None, None)
    large = brentq(lambda shift: float((expit(shift + given) - events).sum()), -60, 60)
    line = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(given[:, None], events)
    return CalibrationLine(float(large), float(line.intercept_[0]), float(line.coef_[0, 0]))
