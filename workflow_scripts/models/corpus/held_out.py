"""Shapes that no model is trained on: oscillators, chaos and shocks from other equations than the corpus's.

They were written before the recipe was final and first scored after it was: their errors chose nothing. Half of
the paths carry a daily rhythm on top, so that a forecast of yesterday's values is a fair opponent.
"""

import numpy as np
from numpy.random import Generator

from workflow_scripts.models.corpus.shapes import DAY, Array, Hours, forgetting, log_uniform


def predator_prey(generator: Generator, start_hour: Hours, length: int) -> Array:
    """The logarithm of one of two populations (Lotka 1925, Volterra 1926), with noise in both growth rates."""
    count, parts, warm_up = len(start_hour), 20, DAY
    speed = 2 * np.pi / log_uniform(generator, 10, 60, count) / parts
    prey, predator = generator.normal(0, 0.7, (2, count))
    path = np.empty((count, warm_up + length))
    for step in range((warm_up + length) * parts):
        shock = 0.03 * np.sqrt(speed) * generator.standard_normal((2, count))
        prey = prey + speed * (1 - np.exp(predator)) + shock[0]
        predator = predator + speed * (np.exp(prey) - 1) + shock[1]
        prey, predator = np.clip(prey, -6, 2), np.clip(predator, -6, 2)
        path[:, step // parts] = prey
    return _sometimes_daily(generator, start_hour, path[:, warm_up:])


def relaxation_oscillator(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Van der Pol's oscillator (1926), from a sine to sudden reversals, with noise in its force."""
    count, parts, warm_up = len(start_hour), 40, DAY
    speed = 2 * np.pi / log_uniform(generator, 8, 60, count) / parts
    stiffness = log_uniform(generator, 0.1, 4, count)
    place, velocity = generator.normal(0, 1, (2, count))
    path = np.empty((count, warm_up + length))
    for step in range((warm_up + length) * parts):
        force = stiffness * (1 - place**2) * velocity - place
        velocity = velocity + speed * force + 0.3 * np.sqrt(speed) * generator.standard_normal(count)
        place = place + speed * velocity
        path[:, step // parts] = place
    return _sometimes_daily(generator, start_hour, path[:, warm_up:])


def chaotic_map(generator: Generator, start_hour: Hours, length: int) -> Array:
    """The logistic map (May 1976) in its chaotic range, on a level that wanders."""
    count, warm_up = len(start_hour), 50
    growth = generator.uniform(3.6, 3.99, count)
    value = generator.uniform(0.2, 0.8, count)
    path = np.empty((count, warm_up + length))
    for step in range(warm_up + length):
        value = growth * value * (1 - value)
        path[:, step] = value
    wander = generator.uniform(0, 0.5, (count, 1)) * forgetting(generator, count, length, 12, 72)
    return _sometimes_daily(generator, start_hour, path[:, warm_up:] + wander)


def ringing_shocks(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Rare shocks to a damped oscillator, which rings and comes to rest."""
    count, warm_up = len(start_hour), 2 * DAY
    keeps = np.exp(-1 / log_uniform(generator, 4, 40, count))
    turns = 2 * np.cos(2 * np.pi / log_uniform(generator, 5, 48, count))
    hit = generator.random((count, warm_up + length)) < log_uniform(generator, 0.02, 0.2, (count, 1))
    shocks = hit * generator.standard_normal((count, warm_up + length))
    path = np.zeros((count, warm_up + length))
    for time in range(2, warm_up + length):
        path[:, time] = keeps * turns * path[:, time - 1] - keeps**2 * path[:, time - 2] + shocks[:, time]
    path += 0.05 * generator.standard_normal(path.shape)
    return _sometimes_daily(generator, start_hour, path[:, warm_up:])


def wandering_drift(generator: Generator, start_hour: Hours, length: int) -> Array:
    """A random walk whose drift itself is drawn back to zero."""
    count = len(start_hour)
    drift = forgetting(generator, count, length, 4, 24)
    rough = log_uniform(generator, 0.3, 3, (count, 1)) * generator.standard_normal((count, length))
    return _sometimes_daily(generator, start_hour, np.cumsum(drift + rough, axis=1))


def changing_volatility(generator: Generator, start_hour: Hours, length: int) -> Array:
    """An AR(1) whose noise swells and fades: stochastic volatility (Taylor 1982)."""
    count = len(start_hour)
    keeps = np.exp(-1 / log_uniform(generator, 1, 48, count))
    loudness = np.exp(generator.uniform(0.5, 1.2, (count, 1)) * forgetting(generator, count, length, 6, 48))
    shocks = loudness * generator.standard_normal((count, length))
    path = np.zeros((count, length))
    for time in range(1, length):
        path[:, time] = keeps * path[:, time - 1] + shocks[:, time]
    return _sometimes_daily(generator, start_hour, path)


def daily_profile(generator: Generator, start_hour: Hours, length: int) -> Array:
    """Every day the same jagged course over 24 hours, of a size that differs from day to day."""
    count = len(start_hour)
    hours = start_hour[:, None] + np.arange(length)
    course = np.cumsum(generator.standard_normal((count, DAY)), axis=1)
    course -= np.linspace(0, 1, DAY) * course[:, -1:]
    days = hours // DAY - start_hour[:, None] // DAY
    size = 1 + 0.3 * generator.standard_normal((count, length // DAY + 2))
    return np.take_along_axis(course, hours % DAY, axis=1) * np.take_along_axis(size, days, axis=1)


def _sometimes_daily(generator: Generator, start_hour: Hours, path: Array) -> Array:
    count, length = path.shape
    angle = 2 * np.pi * ((start_hour[:, None] + np.arange(length)) % DAY) / DAY
    size = generator.uniform(0.2, 1, (count, 1)) * (generator.random((count, 1)) < 0.5)
    rhythm = np.sin(angle + generator.uniform(0, 2 * np.pi, (count, 1)))
    return path + size * path.std(axis=1, keepdims=True) * rhythm
