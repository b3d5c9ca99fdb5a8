"""From irregular values to one regular series per stay."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.sources.contract import Measurements, Stays


@dataclass(frozen=True)
class Grid:
    """The regular series of S stays, of which only the C steps that hold a value are kept.

    The steps of all stays are numbered one after another: those of stay i are offsets[i] to offsets[i + 1] - 1, and its
    step k, offsets[i] + k, covers the half-open span from intime + k * interval to intime + (k + 1) * interval.
    cells: int64 [C], rising, the numbers of the steps with a value; values: float32 [C], natural units; offsets:
    int64 [S + 1]. So memory follows the values, however long a stay is said to be.
    """

    cells: np.ndarray
    values: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each stay's series, int64 [S]."""
        return np.diff(self.offsets)

    @property
    def charted_lengths(self) -> np.ndarray:
        """Steps of each stay's series until its last value, int64 [S], 0 without any."""
        last = np.searchsorted(self.cells, self.offsets[1:]) - 1
        has_value = np.diff(np.searchsorted(self.cells, self.offsets)) > 0
        return (
            np.where(has_value, self.cells[last] - self.offsets[:-1] + 1, 0) if len(self.cells) else 0 * last
        )

    @property
    def stays(self) -> np.ndarray:
        """The stay of each value, int64 [C]."""
        return np.searchsorted(self.offsets, self.cells, side="right") - 1

    def cut(self, begin: np.ndarray, length: int) -> np.ndarray:
        """Return the `length` steps from each of N steps on, float32 [N, length], NaN where nothing was charted.

        begin: int64 [N], numbers of steps.
        """
        pieces = np.full((len(begin), length), np.nan, dtype=np.float32)
        first = np.searchsorted(self.cells, begin)
        counts = np.searchsorted(self.cells, begin + length) - first
        row = np.repeat(np.arange(len(begin)), counts)
        cell = np.arange(len(row)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        pieces[row, self.cells[cell] - begin[row]] = self.values[cell]
        return pieces

    def charted(self, begin: np.ndarray, length: int | np.ndarray) -> np.ndarray:
        """Return how many of the `length` steps (one number or int64 [N]) from each of N steps on hold a value."""
        return np.searchsorted(self.cells, begin + length) - np.searchsorted(self.cells, begin)


def make_grid(stays: Stays, measurements: Measurements, interval_minutes: int) -> Grid:
    """Return the median of the values within each step, from ICU admission to ICU discharge.

    A stay's last step may be cut short by its discharge. Values from before intime, from outtime on, and of
    other stays belong to no step. The median of an even number of values is the mean of the middle two, so
    neither the order of the rows nor copies of every row change it.
    """
    interval = interval_minutes * 60_000_000
    lengths = -(-(stays.outtime - stays.intime) // interval)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    stay, inside = find_stays(stays, measurements)
    stay = stay[inside]
    step = (measurements.time[inside] - stays.intime[stay]) // interval
    cells, medians = _median_by_cell(offsets[stay] + step, measurements.value[inside])
    return Grid(cells, medians.astype(np.float32), offsets)


def find_stays(stays: Stays, measurements: Measurements) -> tuple[np.ndarray, np.ndarray]:
    """Return the stay of each value, -1 where it is not among these, and whether the value is within its time."""
    place = {name: number for number, name in enumerate(stays.icustay_id)}
    known = np.array([place.get(name, -1) for name in measurements.icustay_ids], dtype=np.int64)
    stay = known[measurements.stay]
    inside = (
        (stay >= 0) & (measurements.time >= stays.intime[stay]) & (measurements.time < stays.outtime[stay])
    )
    return stay, inside


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
    values = grid.values.astype(np.float64)
    follows = (np.diff(grid.cells) == 1) & (np.diff(grid.stays) == 0)
    before, after = np.zeros_like(values), np.zeros_like(values)
    before[1:][follows] = values[:-1][follows]
    after[:-1][follows] = values[1:][follows]
    count = 1 + np.concatenate([[False], follows]) + np.concatenate([follows, [False]])
    return Grid(
        grid.cells, ((before + values + after) / count[: len(values)]).astype(np.float32), grid.offsets
    )
