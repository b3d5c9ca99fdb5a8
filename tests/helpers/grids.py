"""Grids of handmade series, and the series of a grid."""

import numpy as np

from workflow_scripts.windows.grid import Grid


def grid_of(series: list[list[float]]) -> Grid:
    """The grid of these series, one for each stay; NaN is a step without a value."""
    values = np.float32([value for stay in series for value in stay])
    cells = np.flatnonzero(~np.isnan(values))
    return Grid(cells, values[cells], np.cumsum([0, *map(len, series)]))


def series_of(grid: Grid, stay: int) -> np.ndarray:
    """The series of a stay, float32, NaN where nothing was charted."""
    begin, end = grid.offsets[stay : stay + 2]
    return grid.cut(np.array([begin]), end - begin)[0]
