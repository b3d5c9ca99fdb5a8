"""Cuts regular series into windows of context and horizon."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.sources.contract import Stays
from workflow_scripts.windows.grid import Grid
from workflow_scripts.windows.parameters import WindowParameters


@dataclass(frozen=True)
class Slices:
    """Where N windows begin: stay (index into the grid's stays) and step within the stay, int64 [N] each."""

    stay: np.ndarray
    step: np.ndarray

    def __len__(self) -> int:
        return len(self.stay)


def count_fitting(lengths: np.ndarray, stride: np.ndarray, needed: int) -> np.ndarray:
    """Return how many windows of `needed` steps fit into each of S series, one every `stride` steps [S], int64 [S]."""
    room = lengths - needed
    return np.where(room >= 0, room // stride + 1, 0)


def candidate_slices(grid: Grid, stride: np.ndarray, parameters: WindowParameters) -> Slices:
    """Return the windows that fit into each stay and have a value in their horizon, which may be cut where asked for.

    stride: int64 [S], steps, one for each stay: a window begins every `stride` steps from the stay's start. Ordered by
    stay and step. With a stride of context + horizon no two windows of a stay overlap. Windows without any value to
    forecast are never listed, so that their number follows the values, not the length of a stay.
    """
    length = parameters.context + parameters.horizon
    longest_start = grid.lengths - parameters.shortest_series
    stay = grid.stays
    step, every = grid.cells - grid.offsets[stay], stride[stay]
    # The first and the last window whose horizon holds the value, counted from the stay's start.
    first = np.maximum(-(-(step - length + 1) // every), 0)
    last = np.minimum(step - parameters.context, longest_start[stay]) // every
    # A window that an earlier value of the stay gave already is not listed again.
    repeated = np.concatenate([[False], np.diff(stay) == 0])[: len(stay)]
    first = np.where(repeated, np.maximum(first, np.roll(last, 1) + 1), first)
    counts = np.maximum(last - first + 1, 0)
    number = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    stay = np.repeat(stay, counts)
    return Slices(stay, number * stride[stay])


def horizon_steps(grid: Grid, slices: Slices, parameters: WindowParameters) -> np.ndarray:
    """Return the steps of each window's horizon, int64 [N]: fewer where a horizon may be cut, and charting ends in it.

    Charting ends with discharge or death, or some hours before the patient leaves the unit.
    """
    if not parameters.horizon_may_be_cut:
        return np.full(len(slices), parameters.horizon)
    left = grid.charted_lengths[slices.stay] - slices.step - parameters.context
    return np.minimum(left, parameters.horizon)


def keep_charted_contexts(grid: Grid, slices: Slices, parameters: WindowParameters) -> Slices:
    """Return the windows with enough charted steps in their context."""
    charted = grid.charted(grid.offsets[slices.stay] + slices.step, parameters.context)
    return _chosen(slices, charted >= parameters.minimum_context_observed)


def keep_charted_horizons(grid: Grid, slices: Slices, parameters: WindowParameters) -> Slices:
    """Return the windows with enough charted steps in their horizon.

    Of a cut horizon the same share of the steps that are left must be charted, rounded up.
    """
    begin = grid.offsets[slices.stay] + slices.step + parameters.context
    left = horizon_steps(grid, slices, parameters)
    enough = -(-parameters.minimum_horizon_observed * left // parameters.horizon)
    return _chosen(slices, grid.charted(begin, left) >= enough)


def window_starts(stays: Stays, slices: Slices, parameters: WindowParameters) -> np.ndarray:
    """Return the start of each window, int64 microseconds since 1970."""
    return stays.intime[slices.stay] + slices.step * parameters.interval_minutes * 60_000_000


def keep_placed(slices: Slices, start: np.ndarray, stays: Stays, parameters: WindowParameters) -> Slices:
    """Return the windows that are where `placement` wants them, relative to their stay's onset.

    start: int64 [N], microseconds since 1970. Every window of a stay with an onset is exactly one of before,
    around and after; a stay without an onset has none of them.
    """
    if parameters.placement == "anywhere":
        return slices
    onset = stays.onset[slices.stay]
    begin = start.astype("datetime64[us]")
    minutes = (parameters.context + parameters.horizon) * parameters.interval_minutes
    end = begin + np.timedelta64(minutes, "m")
    placed = {
        "before_onset": end <= onset,
        "around_onset": (begin < onset) & (onset < end),
        "after_onset": begin >= onset,
    }[parameters.placement]
    return _chosen(slices, placed)


def cut_contexts(grid: Grid, slices: Slices, parameters: WindowParameters) -> np.ndarray:
    """Return the contexts, float32 [N, context], natural units; gaps are filled from the same context only."""
    context = _pieces(grid, slices, 0, parameters.context)
    if parameters.fill != "none":
        context = _fill_forward(context)
    if parameters.fill == "forward_backward":
        context = _fill_forward(context[:, ::-1])[:, ::-1]
    return np.ascontiguousarray(context)


def steps_since_observed(grid: Grid, slices: Slices, parameters: WindowParameters) -> np.ndarray:
    """Return the grid steps from the last charted one of each context to the context's last, int64 [N].

    A context holds its last value until its end; this says how old that value is. Every context has a charted step.
    """
    charted = np.isfinite(_pieces(grid, slices, 0, parameters.context))
    return np.argmax(charted[:, ::-1], axis=1)


def cut_targets(grid: Grid, slices: Slices, parameters: WindowParameters) -> np.ndarray:
    """Return the targets, float32 [N, horizon], natural units, as charted, NaN where nothing was.

    Nothing is charted after the end of the stay.
    """
    targets = _pieces(grid, slices, parameters.context, parameters.horizon)
    left = horizon_steps(grid, slices, parameters)
    targets[np.arange(parameters.horizon) >= left[:, None]] = np.nan  # The next stay's values.
    return targets


def _chosen(slices: Slices, rows: np.ndarray) -> Slices:
    return Slices(slices.stay[rows], slices.step[rows])


def _pieces(grid: Grid, slices: Slices, after: int, length: int) -> np.ndarray:
    """Return `length` steps of each window from `after` steps behind its start, float32 [N, length]."""
    return grid.cut(grid.offsets[slices.stay] + slices.step + after, length)


def _fill_forward(context: np.ndarray) -> np.ndarray:
    """Return each row with a gap holding the last value before it; a gap at the start stays."""
    columns = np.where(np.isfinite(context), np.arange(context.shape[1], dtype=np.int32), 0)
    last = np.maximum.accumulate(columns, axis=1)
    return np.take_along_axis(context, last, axis=1)
