"""From forecast quantiles to probabilities of an event. NumPy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def probability_below(
    quantiles: NDArray[np.floating],
    levels: Sequence[float],
    threshold: float | np.floating | NDArray[np.floating],
    inclusive: bool = False,
) -> Array:
    """P(Y < threshold), or P(Y <= threshold) where inclusive: float64 [N, H].

    quantiles: [N, levels, H], sorted here at each step, as they may cross. threshold: a number, or [N, H]. Linear
    between the levels; beyond the outermost ones an exponential tail through the two outermost quantiles, as GluonTS's
    ExponentialTailApproximation. A tail between two equal quantiles has no width. NaN where a quantile is NaN.
    """
    sorted_ = np.sort(np.moveaxis(np.asarray(quantiles, np.float64), 1, -1), axis=-1)
    p = np.asarray(levels, np.float64)
    at = np.broadcast_to(np.asarray(threshold, np.float64), sorted_.shape[:-1])
    last = len(p) - 1
    under = sorted_ <= at[..., None] if inclusive else sorted_ < at[..., None]
    number = under.sum(axis=-1)
    low, high = np.clip(number - 1, 0, last - 1), np.clip(number, 1, last)
    q_low = np.take_along_axis(sorted_, low[..., None], -1)[..., 0]
    q_high = np.take_along_axis(sorted_, high[..., None], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        width = q_high - q_low
        inside = p[low] + (at - q_low) / width * (p[high] - p[low])
        left = p[0] * (p[1] / p[0]) ** (-(q_low - at) / width)
        right = 1 - (1 - p[-1]) * ((1 - p[-2]) / (1 - p[-1])) ** (-(at - q_high) / width)
    left, right = np.where(width > 0, left, 0.0), np.where(width > 0, right, 1.0)
    found = np.where(number == 0, left, np.where(number == len(p), right, inside))
    return np.where(np.isnan(sorted_).any(axis=-1) | np.isnan(at), np.nan, found)


def any_bounds(probabilities: Array) -> tuple[Array, Array]:
    """Bounds of the probability of an event at any of the steps, [N] each, from that at each step [N, H].

    They hold whatever the dependence of the steps is (Fréchet).
    """
    return probabilities.max(axis=1), np.minimum(1.0, probabilities.sum(axis=1))


def any_if_independent(probabilities: Array) -> Array:
    """The probability of an event at any of the steps if these were independent, [N]: too high where they are not."""
    return 1 - np.prod(1 - probabilities, axis=1)


def joint_probability(probabilities: Array, ranks: Array, low: bool, run: int = 1) -> Array:
    """The probability of an event at `run` successive steps within the horizon, [N].

    probabilities: [N, H], of the event at each step; ranks: [M, H], the truth's place F(y) in the forecasts of M fully
    observed windows. Each row of ranks is taken as one way in which steps vary together (Schaake shuffle: Clark 2004,
    J Hydrometeor 5:243): the event is at step t where ranks[m, t] < P_t, of a high event where ranks[m, t] > 1 - P_t.
    low: whether low values are the event.
    """
    places = ranks if low else 1 - ranks
    length = np.zeros((len(probabilities), len(places)), np.int16)
    seen = np.zeros(length.shape, np.bool_)
    for step in range(probabilities.shape[1]):
        length = np.where(places[:, step] < probabilities[:, step, None], length + 1, 0)
        seen |= length >= run
    found = seen.mean(axis=1)
    return np.where(np.isnan(probabilities).any(axis=1), np.nan, found)
