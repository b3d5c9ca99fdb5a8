"""Dynamic time warping distance of many pairs of short series at once, in NumPy."""

import numpy as np
from numpy.typing import NDArray

PAIRS_AT_ONCE = 4096
"""Pairs in one block: small enough for the processor's cache; changes speed, never results."""


def mean_warping_distance(truth: NDArray[np.floating], forecast: NDArray[np.floating]) -> NDArray[np.float64]:
    """Smallest accumulated |x - y| along a warping path, divided by the length of that path, for each pair.

    truth, forecast: [pairs, time]; a point where `truth` is NaN is taken out of both. Returns float64
    [pairs], NaN where nothing is left. The path is unconstrained; of equally cheap steps the diagonal one is
    taken, then the one along `truth`. Source: `dtw_metric` of darts 0.23.1 with its default metric
    (`DTWAlignment.mean_distance`), which walks back by the same preference.
    """
    distance = np.empty(len(truth))
    for start in range(0, len(truth), PAIRS_AT_ONCE):
        block = slice(start, start + PAIRS_AT_ONCE)
        distance[block] = _block_distance(truth[block], forecast[block])
    return distance


def _block_distance(truth: NDArray[np.floating], forecast: NDArray[np.floating]) -> NDArray[np.float64]:
    observed = ~np.isnan(truth)
    # Observed points move to the front, in order: the table's corner at their count is then the answer.
    order = np.argsort(~observed, axis=1, kind="stable")
    rows = np.ascontiguousarray(np.take_along_axis(truth, order, axis=1).T, dtype=np.float64)
    columns = np.ascontiguousarray(np.take_along_axis(forecast, order, axis=1).T, dtype=np.float64)
    counts = observed.sum(axis=1)
    time, pairs = rows.shape
    result = np.full(pairs, np.nan)
    # Cell [column, pair] of one row of the table; column 0 stands before the first point.
    above = np.full((time + 1, pairs), np.inf)
    above[0] = 0.0
    cost = np.full_like(above, np.inf)
    # A path to cell (row, column) has row + column - (its diagonal steps) points.
    diagonals_above = np.zeros((time + 1, pairs), dtype=np.int16)
    diagonals = np.zeros_like(diagonals_above)
    for row in range(1, int(counts.max(initial=0)) + 1):
        local = np.abs(rows[row - 1] - columns)
        straight = above[1:] < above[:-1]
        np.minimum(above[1:], above[:-1], out=cost[1:])
        np.add(diagonals_above[:-1], 1, out=diagonals[1:])
        np.copyto(diagonals[1:], diagonals_above[1:], where=straight)
        for column in range(1, time + 1):
            sideways = cost[column - 1] < cost[column]
            np.minimum(cost[column], cost[column - 1], out=cost[column])
            np.add(cost[column], local[column - 1], out=cost[column])
            np.copyto(diagonals[column], diagonals[column - 1], where=sideways)
        ends_here = counts == row
        result[ends_here] = cost[row, ends_here] / (2 * row - diagonals[row, ends_here])
        above, cost = cost, above
        diagonals_above, diagonals = diagonals, diagonals_above
        cost[0] = np.inf
    return result
