"""Synthetic hourly series for the embedded models: many shapes, levels and gaps, from a seed, NumPy only.

The idea is that of KernelSynth (Ansari et al. 2024, arXiv 2403.07815, appendix B): random sums and products
of Gaussian-process kernels give endless plausible series. They are joined by ARMA processes with breaks, trend with
season, level shifts, drifting levels, saturating and intermittent series, and a slow process with a daily rhythm.
`DEVELOPMENT_FAMILIES` are not trained on either, but were looked at while the recipe was chosen;
`HELD_OUT_FAMILIES` were not. No patient data enter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.models.corpus import charting, held_out, shapes

STEP_SECONDS = 3600
CONTEXT, HORIZON = 72, 24


@dataclass(frozen=True)
class Corpus:
    """Windows of synthetic series, as a model sees them.

    context: float32 [series, context]; NaN before a series starts and, in some, where a value is missing.
    target:  float32 [series, horizon]; NaN where a value is missing, never throughout.
    start:   int64 [series], seconds since the epoch at the first context point.
    step:    seconds between two points.
    """

    context: NDArray[np.float32]
    target: NDArray[np.float32]
    start: NDArray[np.int64]
    step: int = STEP_SECONDS


_TRAINING = (
    shapes.gaussian_process,
    shapes.autoregressive,
    shapes.trend_and_season,
    shapes.level_shifts,
    shapes.slow_with_episodes,
    shapes.drifting_level,
    shapes.intermittent,
    shapes.saturating,
)
_DEVELOPMENT = (shapes.switching, shapes.threshold)
_HELD_OUT = (
    held_out.predator_prey,
    held_out.relaxation_oscillator,
    held_out.chaotic_map,
    held_out.ringing_shocks,
    held_out.wandering_drift,
    held_out.changing_volatility,
    held_out.daily_profile,
)

FAMILIES: dict[str, shapes.Shape] = {
    maker.__name__: maker for maker in (*_TRAINING, *_DEVELOPMENT, *_HELD_OUT)
}
"""Name -> generator of shapes [series, length]; start_hour (hours since the epoch) sets the time of day."""

TRAINING_FAMILIES = tuple(maker.__name__ for maker in _TRAINING)
DEVELOPMENT_FAMILIES = tuple(maker.__name__ for maker in _DEVELOPMENT)
HELD_OUT_FAMILIES = tuple(maker.__name__ for maker in _HELD_OUT)

_ZERO_BASED = ("intermittent",)
"""Families whose zero is a true zero in half of their series: no level is added, no noise charted."""


def synthesise(
    families: tuple[str, ...],
    series: int,
    seed: int,
    context: int = CONTEXT,
    horizon: int = HORIZON,
    complete: bool = False,
) -> Corpus:
    """Draw series in equal shares from the named families, in random order; the seed decides every value.

    complete: every series fills its context, and no value is missing.
    """
    generator = np.random.default_rng(seed)
    start_hour = generator.integers(0, 24 * 365 * 50, series)
    family = generator.permutation(np.arange(series) % len(families))
    values = np.empty((series, context + horizon))
    from_zero = np.zeros((series, 1), dtype=bool)
    for number, name in enumerate(families):
        rows = np.flatnonzero(family == number)
        values[rows] = FAMILIES[name](generator, start_hour[rows], context + horizon)
        from_zero[rows, 0] = (generator.random(len(rows)) < 0.5) & (name in _ZERO_BASED)
    with_level = charting.placed(generator, charting.standardised(values))
    values = np.where(from_zero, values, charting.charted(generator, with_level))
    past, future = values[:, :context], values[:, context:]
    if not complete:
        past = charting.with_gaps(generator, charting.shortened(generator, past))
        future = charting.sometimes_missing(generator, future)
    # A series starts at any minute, as a stay does: to a model that knows the calendar, it must not matter.
    start = start_hour.astype(np.int64) * STEP_SECONDS + generator.integers(0, STEP_SECONDS, series)
    return Corpus(past.astype(np.float32), future.astype(np.float32), start)
