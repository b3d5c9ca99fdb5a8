"""How shapes become charted series: a level and a spread, measurement noise, rounding, late starts and gaps."""

import numpy as np
from numpy.random import Generator

from workflow_scripts.models.corpus.shapes import DAY, Array, log_uniform


def standardised(values: Array) -> Array:
    """Each series with mean 0 and standard deviation 1; a constant one becomes 0."""
    spread = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def placed(generator: Generator, values: Array) -> Array:
    """Give each shape a level and a spread: mostly positive and far from zero, as vital signs are.

    A heart rate of 90 that varies by 5 has a relative spread of 0.06: small ones are the rule here.
    """
    count = len(values)
    ratio = log_uniform(generator, 0.02, 0.35, (count, 1))
    kind = generator.random((count, 1))
    series = 1 + ratio * values
    series = np.where(kind < 0.1, values, series)
    series = np.where((kind >= 0.1) & (kind < 0.2), np.exp(3 * ratio * values), series)
    return series * log_uniform(generator, 0.05, 200, (count, 1))


def charted(generator: Generator, values: Array) -> Array:
    """Add measurement noise, and round half of the series to a grid, as a monitor's whole numbers are."""
    spread = values.std(axis=1, keepdims=True)
    noise = log_uniform(generator, 0.05, 0.7, (len(values), 1)) * generator.standard_normal(values.shape)
    values = values + spread * noise
    grid = np.where(spread > 0, spread, 1.0) * log_uniform(generator, 0.02, 0.3, (len(values), 1))
    rounded = generator.random((len(values), 1)) < 0.5
    return np.where(rounded, np.round(values / grid) * grid, values)


def shortened(generator: Generator, past: Array) -> Array:
    """Let most series start late: many one day before the forecast, others anywhere."""
    count, length = past.shape
    anywhere = generator.integers(min(6, length), length + 1, count)
    kind = generator.random(count)
    kept = np.select([kind < 0.4, kind < 0.7], [np.full(count, min(DAY, length)), anywhere], length)
    started = np.arange(length) >= length - kept[:, None]
    return np.where(started, past, np.nan)


def with_gaps(generator: Generator, past: Array) -> Array:
    """In half of the series single values are missing; in most of these the last value is carried on."""
    count, length = past.shape
    share = generator.uniform(0, 0.4, (count, 1)) * (generator.random((count, 1)) < 0.5)
    # The last point stays, so that no context is empty.
    missing = generator.random((count, length)) < share
    missing[:, -1] = False
    gaps = np.where(missing, np.nan, past)
    carried = generator.random((count, 1)) < 0.8
    return np.where(carried, _carried_forward(gaps), gaps)


def sometimes_missing(generator: Generator, future: Array) -> Array:
    """In a third of the series single values of the horizon are missing, never the first."""
    count, horizon = future.shape
    share = generator.uniform(0, 0.4, (count, 1)) * (generator.random((count, 1)) < 0.3)
    missing = generator.random((count, horizon)) < share
    missing[:, 0] = False
    return np.where(missing, np.nan, future)


def _carried_forward(values: Array) -> Array:
    last_seen = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(values, last_seen, axis=1)
