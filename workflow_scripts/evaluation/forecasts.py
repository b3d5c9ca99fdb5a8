"""The table of forecasts: one row for each window and horizon step, natural units."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_path
from workflow_scripts.windows.reading import Windows

FORECASTS, VALIDATION_FORECASTS = "forecasts.parquet", "validation_forecasts.parquet"
"""Files of a run: of the test windows, and of the validation windows."""


def write_forecasts(
    path: Path, window_ids: NDArray[np.int64], quantiles: NDArray[np.float32], levels: Sequence[float]
) -> None:
    """Write quantiles [windows, levels, horizon] as columns window_id, step (1 ... horizon), q0.1 ... q0.9."""
    windows, _, horizon = quantiles.shape
    columns = {
        "window_id": np.repeat(window_ids, horizon),
        "step": np.tile(np.arange(1, horizon + 1, dtype=np.int32), windows),
    }
    columns |= {f"q{level:g}": quantiles[:, position].reshape(-1) for position, level in enumerate(levels)}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary, write_page_checksum=True)


def read_forecasts(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32], list[float]]:
    """Read what `write_forecasts` wrote: window_ids [windows], quantiles [windows, levels, horizon], levels."""
    # The plain reader: a study has a thousand of these small files, and `read_table` plans each as a data set.
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        table = file.read(use_threads=False)
    names = [name for name in table.column_names if name.startswith("q")]
    horizon = int(table["step"].to_numpy().max(initial=1))
    window_ids = table["window_id"].to_numpy()[::horizon]
    quantiles = np.stack([table[name].to_numpy().reshape(-1, horizon) for name in names], axis=1)
    return window_ids, quantiles, [float(name[1:]) for name in names]


def read_forecasts_of(path: Path, windows: Windows) -> tuple[NDArray[np.float32], list[float]]:
    """Read a run's quantiles [windows, levels, horizon] and levels, in the order of the windows of a split.

    Raises UserError where the forecasts cannot be read or are not those of these windows.
    """
    try:
        window_ids, quantiles, levels = read_forecasts(path)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            where=str(path),
            found=f"no readable table of forecasts ({type(error).__name__})",
            expected="Parquet as run_arm writes it",
            remedy="delete the run's folder and start the workflow again: it repeats this run",
        ) from None
    if not np.array_equal(window_ids, windows.window_id):
        raise UserError(
            where=str(path),
            found="forecasts of other windows",
            expected="one forecast for each window of the split, in its order",
            remedy="start the workflow again: it repeats runs whose windows have changed",
        )
    return quantiles, levels
