"""Synthetic hourly series for the embedded models: many shapes, levels and gaps, from a seed, NumPy only.

The idea is that of KernelSynth (Ansari et al. 2024, arXiv 2403.07815, appendix B): random sums and products
of Gaussian-process kernels give endless plausible series. Beside them stand autoregressive processes, trend
with season, level shifts, and a slow process with a daily rhythm and passing episodes. The families of
`HELD_OUT_FAMILIES` are never trained on; they measure what a model does with shapes that it has not seen. They were
looked at while the recipe was chosen, so their errors are development figures.
No patient data enter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

STEP_SECONDS = 3600
CONTEXT, HORIZON = 72, 24
_DAY = 24
_GAUSSIAN_PROCESS_CHUNK = 128

Array = NDArray[np.float64]


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


def synthesise(
    families: tuple[str, ...], series: int, seed: int, context: int = CONTEXT, horizon: int = HORIZON
) -> Corpus:
    """Draw series in equal shares from the named families, in random order; the seed decides every value."""
    generator = np.random.default_rng(seed)
    start_hour = generator.integers(0, 24 * 365 * 50, series)
    family = generator.permutation(np.arange(series) % len(families))
    values = np.empty((series, context + horizon))
    for number, name in enumerate(families):
        rows = np.flatnonzero(family == number)
        shape = FAMILIES[name](generator, start_hour[rows], context + horizon)
        values[rows] = _standardised(shape)
    values = _charted(generator, _placed(generator, values))
    past, future = values[:, :context], values[:, context:]
    past = _with_gaps(generator, _shortened(generator, past))
    future = _sometimes_missing(generator, future)
    # A series starts at any minute, as a stay does: to a model that knows the calendar, it must not matter.
    start = start_hour.astype(np.int64) * STEP_SECONDS + generator.integers(0, STEP_SECONDS, series)
    return Corpus(past.astype(np.float32), future.astype(np.float32), start)


def gaussian_process(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """Paths of one to three kernels, added or multiplied at random."""
    count = len(start_hour)
    parts = [
        _gaussian_process_chunk(generator, min(_GAUSSIAN_PROCESS_CHUNK, count - first), length)
        for first in range(0, count, _GAUSSIAN_PROCESS_CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty((0, length))


def autoregressive(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """AR(2) with both roots inside the unit circle: from nearly white to nearly a random walk."""
    count, warm_up = len(start_hour), 50
    first = 1 - _log_uniform(generator, 0.01, 0.4, count)
    second = generator.uniform(-0.3, 0.6, count)
    noise = generator.standard_normal((count, warm_up + length))
    path = np.zeros((count, warm_up + length))
    for time in range(2, warm_up + length):
        memory = (first + second) * path[:, time - 1] - first * second * path[:, time - 2]
        path[:, time] = memory + noise[:, time]
    return path[:, warm_up:]


def trend_and_season(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """A straight or bending trend, one or two seasons with harmonics, and noise."""
    count, time = len(start_hour), np.linspace(-1, 1, length)
    bend = generator.normal(0, 0.5, (count, 1)) * generator.integers(0, 2, (count, 1))
    path = generator.normal(0, 1, (count, 1)) * time + bend * time**2
    for _ in range(2):
        path = path + _season(generator, count, length, generator.choice([6, 8, 12, 24, 24, 48], (count, 1)))
    return path + _noise(generator, count, length, 0.05, 0.4)


def level_shifts(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """A level that jumps a few times, with slowly forgetting noise around it."""
    count = len(start_hour)
    jumps = generator.random((count, length)) < generator.uniform(0.005, 0.05, (count, 1))
    level = np.cumsum(jumps * generator.normal(0, 1.5, (count, length)), axis=1)
    return level + _forgetting(generator, count, length, 2, 24) * generator.uniform(0.1, 0.7, (count, 1))


def slow_with_episodes(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """A slowly wandering value with a daily rhythm that peaks in the afternoon, and passing episodes."""
    count, time = len(start_hour), np.arange(length)
    hour = (start_hour[:, None] + time) % _DAY
    peak = generator.normal(16, 2, (count, 1))
    rhythm = generator.uniform(0, 0.8, (count, 1)) * np.cos(2 * np.pi * (hour - peak) / _DAY)
    begins = generator.uniform(-length / 2, length, (count, 1))
    rises, falls = _log_uniform(generator, 1, 12, (count, 1)), _log_uniform(generator, 4, 48, (count, 1))
    since = np.clip(time - begins, 0, None)
    episode = generator.normal(0, 2, (count, 1)) * (1 - np.exp(-since / rises)) * np.exp(-since / falls)
    wander = _forgetting(generator, count, length, 6, 72) * generator.uniform(0.3, 1.2, (count, 1))
    return rhythm + episode + wander + _noise(generator, count, length, 0.1, 0.5)


def saturating(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """Held out: a logistic or exponential approach to a plateau, with noise that forgets."""
    count, time = len(start_hour), np.arange(length)
    middle = generator.uniform(0, length, (count, 1))
    speed = _log_uniform(generator, 3, 40, (count, 1))
    logistic = 1 / (1 + np.exp(-(time - middle) / speed))
    approach = 1 - np.exp(-time / speed)
    path = np.where(generator.random((count, 1)) < 0.5, logistic, approach)
    return path * generator.choice([-3.0, 3.0], (count, 1)) + _forgetting(generator, count, length, 1, 12)


def switching(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """Held out: two regimes with their own level and spread, and a Markov chain between them."""
    count = len(start_hour)
    leaves = generator.uniform(0.01, 0.1, (count, 2))
    chance = generator.random((count, length))
    regime = np.zeros((count, length), dtype=np.int64)
    for time in range(1, length):
        before = regime[:, time - 1]
        regime[:, time] = np.where(chance[:, time] < leaves[np.arange(count), before], 1 - before, before)
    level = np.take_along_axis(generator.normal(0, 1.5, (count, 2)), regime, axis=1)
    spread = np.take_along_axis(generator.uniform(0.1, 1.0, (count, 2)), regime, axis=1)
    return level + spread * _forgetting(generator, count, length, 1, 6)


def threshold(generator: Generator, start_hour: NDArray[np.int64], length: int) -> Array:
    """Held out: a threshold autoregression that returns fast from above and slowly from below."""
    count, warm_up = len(start_hour), 50
    above, below = generator.uniform(0.1, 0.7, count), generator.uniform(0.8, 0.99, count)
    noise = generator.standard_normal((count, warm_up + length))
    path = np.zeros((count, warm_up + length))
    for time in range(1, warm_up + length):
        before = path[:, time - 1]
        path[:, time] = np.where(before > 0, above, below) * before + noise[:, time]
    return path[:, warm_up:]


FAMILIES: dict[str, Callable[[Generator, NDArray[np.int64], int], Array]] = {
    maker.__name__: maker
    for maker in (
        gaussian_process,
        autoregressive,
        trend_and_season,
        level_shifts,
        slow_with_episodes,
        saturating,
        switching,
        threshold,
    )
}
"""Name -> generator of shapes [series, length]; start_hour (hours since the epoch) sets the time of day."""

HELD_OUT_FAMILIES = ("saturating", "switching", "threshold")
TRAINING_FAMILIES = tuple(name for name in FAMILIES if name not in HELD_OUT_FAMILIES)


def _gaussian_process_chunk(generator: Generator, count: int, length: int) -> Array:
    covariance = _random_kernel(generator, count, length)
    for _ in range(2):
        other = _random_kernel(generator, count, length)
        action = generator.integers(0, 3, (count, 1, 1))
        covariance = np.select(
            [action == 0, action == 1], [covariance + other, covariance * other], covariance
        )
    covariance += 1e-6 * np.eye(length)
    root = np.linalg.cholesky(covariance)
    return np.einsum("nij,nj->ni", root, generator.standard_normal((count, length)))


def _random_kernel(generator: Generator, count: int, length: int) -> Array:
    """One covariance [length, length] for each series: smooth, rough, periodic, linear or white."""
    time = np.arange(length, dtype=np.float64)
    distance = np.abs(time[:, None] - time)
    shape = (count, 1, 1)
    reach = _log_uniform(generator, 4, 100, shape)
    period = generator.choice([6.0, 8.0, 12.0, 24.0, 24.0, 48.0], shape)
    width = _log_uniform(generator, 0.5, 2, shape)
    centred = (time - length / 2) / length
    kind = generator.integers(0, 5, count)
    covariance = np.empty((count, length, length))
    covariance[kind == 0] = np.exp(-0.5 * (distance / reach[kind == 0]) ** 2)
    covariance[kind == 1] = np.exp(-distance / reach[kind == 1])
    wave = np.sin(np.pi * distance / period[kind == 2]) / width[kind == 2]
    covariance[kind == 2] = np.exp(-2 * wave**2)
    covariance[kind == 3] = 0.1 + 4 * np.outer(centred, centred)
    covariance[kind == 4] = 0.1 * np.eye(length)
    return covariance


def _season(generator: Generator, count: int, length: int, period: NDArray[np.int64]) -> Array:
    phase = generator.uniform(0, 2 * np.pi, (count, 2))
    size = generator.uniform(0, 1, (count, 1))
    angle = 2 * np.pi * np.arange(length) / period
    harmonic = generator.uniform(0, 0.5, (count, 1)) * np.sin(2 * angle + phase[:, 1:])
    return size * (np.sin(angle + phase[:, :1]) + harmonic)


def _forgetting(generator: Generator, count: int, length: int, shortest: float, longest: float) -> Array:
    """Stationary AR(1) paths of unit variance whose memory fades over so many steps."""
    memory = np.exp(-1 / _log_uniform(generator, shortest, longest, count))
    noise = generator.standard_normal((count, length))
    path = np.empty((count, length))
    path[:, 0] = noise[:, 0]
    for time in range(1, length):
        path[:, time] = memory * path[:, time - 1] + np.sqrt(1 - memory**2) * noise[:, time]
    return path


def _noise(generator: Generator, count: int, length: int, least: float, most: float) -> Array:
    return generator.standard_normal((count, length)) * generator.uniform(least, most, (count, 1))


def _log_uniform(generator: Generator, least: float, most: float, shape: int | tuple[int, ...]) -> Array:
    return np.exp(generator.uniform(np.log(least), np.log(most), shape))


def _standardised(values: Array) -> Array:
    spread = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def _placed(generator: Generator, values: Array) -> Array:
    """Give each shape a level and a spread: mostly positive and far from zero, as vital signs are."""
    count = len(values)
    ratio = _log_uniform(generator, 0.03, 0.3, (count, 1))
    placed = 1 + ratio * values
    kind = generator.random((count, 1))
    placed = np.where(kind < 0.1, values, placed)
    placed = np.where((kind >= 0.1) & (kind < 0.2), np.exp(3 * ratio * values), placed)
    return placed * _log_uniform(generator, 0.05, 200, (count, 1))


def _charted(generator: Generator, values: Array) -> Array:
    """Add measurement noise, and round half of the series to a grid, as a monitor's whole numbers are."""
    spread = values.std(axis=1, keepdims=True)
    values = values + spread * _noise(generator, len(values), values.shape[1], 0.1, 0.5)
    grid = np.where(spread > 0, spread, 1.0) * generator.uniform(0.02, 0.3, (len(values), 1))
    rounded = generator.random((len(values), 1)) < 0.5
    return np.where(rounded, np.round(values / grid) * grid, values)


def _shortened(generator: Generator, past: Array) -> Array:
    """Let most series start late: many one day before the forecast, others anywhere."""
    count, length = past.shape
    anywhere = generator.integers(min(6, length), length + 1, count)
    kind = generator.random(count)
    kept = np.select([kind < 0.4, kind < 0.7], [np.full(count, min(_DAY, length)), anywhere], length)
    started = np.arange(length) >= length - kept[:, None]
    return np.where(started, past, np.nan)


def _with_gaps(generator: Generator, past: Array) -> Array:
    """In half of the series single values are missing; in most of these the last value is carried on."""
    count, length = past.shape
    share = generator.uniform(0, 0.4, (count, 1)) * (generator.random((count, 1)) < 0.5)
    # The last point stays, so that no context is empty.
    missing = generator.random((count, length)) < share
    missing[:, -1] = False
    gaps = np.where(missing, np.nan, past)
    carried = generator.random((count, 1)) < 0.8
    return np.where(carried, _carried_forward(gaps), gaps)


def _carried_forward(values: Array) -> Array:
    last_seen = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(values, last_seen, axis=1)


def _sometimes_missing(generator: Generator, future: Array) -> Array:
    count, horizon = future.shape
    share = generator.uniform(0, 0.4, (count, 1)) * (generator.random((count, 1)) < 0.3)
    missing = generator.random((count, horizon)) < share
    missing[:, 0] = False
    return np.where(missing, np.nan, future)
