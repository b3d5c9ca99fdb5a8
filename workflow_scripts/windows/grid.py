"""From irregular values to one regular series per stay."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.sources.contract import Measurements, Stays


@dataclass(frozen=True)
class Grid:
    """The regular series of S stays, one after another in one array.

    values: float32 [cells], natural units, NaN = nothing charted; offsets: int64 [S + 1]; the series of stay
    i is values[offsets[i]:offsets[i + 1]] and its step k covers the half-open span from
    intime + k * interval to intime + (k + 1) * interval.
    """

    values: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each stay's series, int64 [S]."""
        return np.diff(self.offsets)


def make_grid(stays: Stays, measurements: Measurements, interval_minutes: int) -> Grid:
    """Return the median of the values within each step, from ICU admission to ICU discharge.

    A stay's last step may be cut short by its discharge. Values from before intime, from outtime on, and of
    other stays belong to no step. The median of an even number of values is the mean of the middle two, so
    neither the order of the rows nor copies of every row change it.
    """
    interval = interval_minutes * 60_000_000
    lengths = -(-(stays.outtime - stays.intime) // interval)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    stay, inside = _find_stay(stays, measurements)
    time = measurements.time[inside]
    step = (time - stays.intime[stay]) // interval
    values = np.full(offsets[-1], np.nan, dtype=np.float32)
    cells, medians = _median_by_cell(offsets[stay] + step, measurements.value[inside])
    values[cells] = medians
    return Grid(values, offsets)


def _find_stay(stays: Stays, measurements: Measurements) -> tuple[np.ndarray, np.ndarray]:
    """Return the stay index of each value within a stay's time, and the mask of these values."""
    order = np.argsort(stays.icustay_id)
    ordered = stays.icustay_id[order]
    place = np.minimum(np.searchsorted(ordered, measurements.icustay_id), len(ordered) - 1)
    stay = order[place]
    inside = (
        (ordered[place] == measurements.icustay_id)
        & (measurements.time >= stays.intime[stay])
        & (measurements.time < stays.outtime[stay])
    )
    return stay[inside], inside


def _median_by_cell(cell: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct cells and the median of the values in each."""
    order = np.lexsort((value, cell))
    cell, value = cell[order], value[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    count = np.diff(first, append=len(cell))
    low, high = value[first + (count - 1) // 2], value[first + count // 2]
    return cell[first], (low + high) / 2


def smooth(grid: Grid) -> Grid:
    """Return the grid with each observed value replaced by the mean of itself and its observed neighbours.

    The centred rolling mean of 3 steps within a stay, as a low-pass filter before windowing. Missing steps
    stay missing. It leaks by one step in both directions between a context and its horizon: the context's
    last value then knows the horizon's first one. Results with it are not comparable with results without.
    """
    observed = np.isfinite(grid.values)
    total = np.where(observed, grid.values, 0).astype(np.float64)
    count = observed.astype(np.float64)
    starts = grid.offsets[:-1][grid.lengths > 0]
    neighbours = np.maximum(_with_neighbours(count, starts), 1)
    means = np.where(observed, _with_neighbours(total, starts) / neighbours, np.nan)
    return Grid(means.astype(np.float32), grid.offsets)


def _with_neighbours(part: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return each step's sum with the previous and the next step of the same stay."""
    before = np.roll(part, 1)
    before[starts] = 0
    after = np.roll(part, -1)
    after[starts - 1] = 0
    return before + part + after
