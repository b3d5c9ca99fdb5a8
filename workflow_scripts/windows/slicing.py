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


def candidate_slices(grid: Grid, stride: np.ndarray, parameters: WindowParameters) -> Slices:
    """Return all windows that fit into each stay, one every `stride` steps from the stay's start.

    stride: int64 [S], steps, one for each stay. Ordered by stay and step. With a
    stride of context + horizon no two windows of a stay overlap.
    """
    room = grid.lengths - (parameters.context + parameters.horizon)
    counts = np.where(room >= 0, room // stride + 1, 0)
    stay = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(stay)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Slices(stay, number * stride[stay])


def keep_observed(grid: Grid, slices: Slices, parameters: WindowParameters) -> Slices:
    """Return the windows with enough charted steps, counted separately in the context and in the horizon."""
    charted = np.concatenate([[0], np.cumsum(np.isfinite(grid.values))])
    begin = grid.offsets[slices.stay] + slices.step
    middle = begin + parameters.context
    end = middle + parameters.horizon
    enough = (charted[middle] - charted[begin] >= parameters.minimum_context_observed) & (
        charted[end] - charted[middle] >= parameters.minimum_horizon_observed
    )
    return Slices(slices.stay[enough], slices.step[enough])


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
    return Slices(slices.stay[placed], slices.step[placed])


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
    """Return the targets, float32 [N, horizon], natural units, as charted, NaN where nothing was."""
    return _pieces(grid, slices, parameters.context, parameters.horizon)


def _pieces(grid: Grid, slices: Slices, after: int, length: int) -> np.ndarray:
    """Return `length` steps of each window from `after` steps behind its start, float32 [N, length]."""
    if not len(slices):
        return np.empty((0, length), dtype=np.float32)
    begin = grid.offsets[slices.stay] + slices.step + after
    return np.lib.stride_tricks.sliding_window_view(grid.values, length)[begin]


def _fill_forward(context: np.ndarray) -> np.ndarray:
    """Return each row with a gap holding the last value before it; a gap at the start stays."""
    columns = np.where(np.isfinite(context), np.arange(context.shape[1], dtype=np.int32), 0)
    last = np.maximum.accumulate(columns, axis=1)
    return np.take_along_axis(context, last, axis=1)
