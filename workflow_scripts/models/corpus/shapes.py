"""The shapes of the corpus: families that are trained on, and two that were looked at while the recipe was chosen.

Every generator gives paths [series, length] without level or unit; `start_hour` (hours since the epoch, [series])
sets the time of day.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Hours = NDArray[np.int64]
Shape = Callable[[Generator, Hours, int], Array]

DAY = 24
_WARM_UP = 50
_GAUSSIAN_PROCESS_CHUNK = 128


def gaussian_process(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Paths of one to three kernels, added or multiplied at random (KernelSynth)."""
    count = len(start_hour)
    parts = [
        _gaussian_process_chunk(generator, min(_GAUSSIAN_PROCESS_CHUNK, count - first), length)
        for first in range(0, count, _GAUSSIAN_PROCESS_CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty((0, length))


def autoregressive(generator: Generator, start_hour: Hours, length: int) -> Array:
    """ARMA(2, 1) with both roots inside the unit circle, from nearly white to nearly a random walk.

    In half of the series the roots, the level and the spread change once.
    """
    count, steps = len(start_hour), _WARM_UP + length
    breaks = generator.random(count) < 0.5
    moment = np.where(breaks, generator.integers(_WARM_UP, steps, count), steps)
    late = np.arange(steps) >= moment[:, None]
    slow = np.where(late, *(1 - log_uniform(generator, 0.005, 0.4, (count, 1)) for _ in range(2)))
    quick = np.where(late, *(generator.uniform(-0.3, 0.6, (count, 1)) for _ in range(2)))
    spread = np.where(late, log_uniform(generator, 0.4, 2.5, (count, 1)), 1.0)
    shift = late * generator.normal(0, 2, (count, 1))
    noise = generator.standard_normal((count, steps + 1))
    shocks = spread * (noise[:, 1:] + generator.uniform(-0.6, 0.6, (count, 1)) * noise[:, :-1])
    path = np.zeros((count, steps))
    for time in range(2, steps):
        memory = (slow + quick)[:, time] * path[:, time - 1] - (slow * quick)[:, time] * path[:, time - 2]
        path[:, time] = memory + shocks[:, time]
    return (path + shift * path.std(axis=1, keepdims=True))[:, _WARM_UP:]


def trend_and_season(generator: Generator, start_hour: Hours, length: int) -> Array:
    """A straight or bending trend, one or two seasons with harmonics, added or multiplied, and noise."""
    count, time = len(start_hour), np.linspace(-1, 1, length)
    bend = generator.normal(0, 0.5, (count, 1)) * generator.integers(0, 2, (count, 1))
    trend = generator.normal(0, 1, (count, 1)) * time + bend * time**2
    season = sum(
        _season(generator, count, length, generator.choice([6, 8, 12, 24, 24, 48], (count, 1)))
        for _ in range(2)
    )
    grows = (generator.random((count, 1)) < 0.3) * generator.uniform(-0.8, 0.8, (count, 1))
    return trend + season * (1 + grows * time) + _noise(generator, count, length, 0.05, 0.6)


def level_shifts(generator: Generator, start_hour: Hours, length: int) -> Array:
    """A level that jumps a few times, with slowly forgetting noise around it."""
    count = len(start_hour)
    jumps = generator.random((count, length)) < generator.uniform(0.005, 0.05, (count, 1))
    level = np.cumsum(jumps * generator.normal(0, 1.5, (count, length)), axis=1)
    return level + forgetting(generator, count, length, 2, 24) * generator.uniform(0.1, 0.7, (count, 1))


def slow_with_episodes(generator: Generator, start_hour: Hours, length: int) -> Array:
    """A slowly wandering value with a daily rhythm that peaks in the afternoon, and passing episodes."""
    count, time = len(start_hour), np.arange(length)
    hour = (start_hour[:, None] + time) % DAY
    peak = generator.normal(16, 2, (count, 1))
    rhythm = generator.uniform(0, 0.8, (count, 1)) * np.cos(2 * np.pi * (hour - peak) / DAY)
    begins = generator.uniform(-length / 2, length, (count, 1))
    rises, falls = log_uniform(generator, 1, 12, (count, 1)), log_uniform(generator, 4, 48, (count, 1))
    since = np.clip(time - begins, 0, None)
    episode = generator.normal(0, 2, (count, 1)) * (1 - np.exp(-since / rises)) * np.exp(-since / falls)
    wander = forgetting(generator, count, length, 6, 72) * generator.uniform(0.3, 1.2, (count, 1))
    return rhythm + episode + wander + _noise(generator, count, length, 0.1, 0.5)


def drifting_level(generator: Generator, start_hour: Hours, length: int) -> Array:
    """A random walk, or one that is drawn back slowly, seen through noise with heavy tails."""
    count = len(start_hour)
    walk = np.cumsum(generator.standard_normal((count, length)), axis=1) / np.sqrt(length / 4)
    drawn_back = forgetting(generator, count, length, 4, 96)
    hidden = np.where(generator.random((count, 1)) < 0.4, walk, drawn_back)
    tails = generator.choice([3.0, 5.0, 30.0], (count, 1))
    return hidden + generator.uniform(0, 1, (count, 1)) * generator.standard_t(tails, (count, length))


def intermittent(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Mostly zero, with rare demands of varying size (Croston 1972); some days repeat the same hours."""
    count = len(start_hour)
    rate = log_uniform(generator, 0.03, 0.5, (count, 1))
    hour = (start_hour[:, None] + np.arange(length)) % DAY
    busy = (hour - generator.integers(0, DAY, (count, 1))) % DAY < generator.integers(4, 20, (count, 1))
    daily = generator.random((count, 1)) < 0.5
    chance = np.where(daily, np.where(busy, 1.5 * rate, 0.2 * rate), rate)
    size = generator.gamma(log_uniform(generator, 0.5, 8, (count, 1)), 1.0, (count, length))
    return (generator.random((count, length)) < chance) * size


def saturating(generator: Generator, start_hour: Hours, length: int) -> Array:
    """A logistic or exponential approach to a plateau, with noise that forgets."""
    count, time = len(start_hour), np.arange(length)
    middle = generator.uniform(0, length, (count, 1))
    speed = log_uniform(generator, 3, 40, (count, 1))
    logistic = 1 / (1 + np.exp(-(time - middle) / speed))
    approach = 1 - np.exp(-time / speed)
    path = np.where(generator.random((count, 1)) < 0.5, logistic, approach)
    return path * generator.choice([-3.0, 3.0], (count, 1)) + forgetting(generator, count, length, 1, 12)


def switching(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Development: two regimes with their own level and spread, and a Markov chain between them."""
    count = len(start_hour)
    leaves = generator.uniform(0.01, 0.1, (count, 2))
    chance = generator.random((count, length))
    regime = np.zeros((count, length), dtype=np.int64)
    for time in range(1, length):
        before = regime[:, time - 1]
        regime[:, time] = np.where(chance[:, time] < leaves[np.arange(count), before], 1 - before, before)
    level = np.take_along_axis(generator.normal(0, 1.5, (count, 2)), regime, axis=1)
    spread = np.take_along_axis(generator.uniform(0.1, 1.0, (count, 2)), regime, axis=1)
    return level + spread * forgetting(generator, count, length, 1, 6)


def threshold(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Development: a threshold autoregression that returns fast from above and slowly from below."""
    count, steps = len(start_hour), _WARM_UP + length
    above, below = generator.uniform(0.1, 0.7, count), generator.uniform(0.8, 0.99, count)
    noise = generator.standard_normal((count, steps))
    path = np.zeros((count, steps))
    for time in range(1, steps):
        before = path[:, time - 1]
        path[:, time] = np.where(before > 0, above, below) * before + noise[:, time]
    return path[:, _WARM_UP:]


def forgetting(generator: Generator, count: int, length: int, shortest: float, longest: float) -> Array:
    """Stationary AR(1) paths of unit variance whose memory fades over so many steps."""
    memory = np.exp(-1 / log_uniform(generator, shortest, longest, count))
    noise = generator.standard_normal((count, length))
    path = np.empty((count, length))
    path[:, 0] = noise[:, 0]
    for time in range(1, length):
        path[:, time] = memory * path[:, time - 1] + np.sqrt(1 - memory**2) * noise[:, time]
    return path


def log_uniform(generator: Generator, least: float, most: float, shape: int | tuple[int, ...]) -> Array:
    """Draws whose logarithm is uniform between those of the two bounds."""
    return np.exp(generator.uniform(np.log(least), np.log(most), shape))


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
    reach = log_uniform(generator, 4, 100, shape)
    period = generator.choice([6.0, 8.0, 12.0, 24.0, 24.0, 48.0], shape)
    width = log_uniform(generator, 0.5, 2, shape)
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


def _noise(generator: Generator, count: int, length: int, least: float, most: float) -> Array:
    return generator.standard_normal((count, length)) * generator.uniform(least, most, (count, 1))
