"""The smallest rank that is good enough, and how sure that is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.comparison import ROUNDING

NO_GAIN = "no rank is better than zero-shot on these patients"
"""Why there is no smallest good rank: where nothing was gained, every rank is as good as the next."""


def gains(errors: Sequence[float], zero_shot: float) -> bool:
    """Whether the best of the ranks is better than zero-shot; a difference in rounding is none."""
    return min(errors) < zero_shot * (1 - ROUNDING)


def smallest_good_rank(errors: NDArray[np.float64], margin: float) -> NDArray[np.int64]:
    """Place of the smallest rank whose error is at most (1 + margin) times the best rank's.

    errors: [..., ranks], ranks rising along the last axis, all finite; margin: 0.01 is one per cent.
    """
    good = errors <= (1 + margin) * errors.min(axis=-1, keepdims=True)
    return np.argmax(good, axis=-1)


def threshold_shares(replicates: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Share of the replicates [resamples, ranks] that choose each rank: [ranks]."""
    ranks = replicates.shape[-1]
    return np.bincount(smallest_good_rank(replicates, margin), minlength=ranks) / len(replicates)
