"""The table of forecasts: one row for each window and horizon step, natural units."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workflow_scripts.runtime.files import atomic_path


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
        pq.write_table(pa.table(columns), temporary)


def read_forecasts(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32], list[float]]:
    """Read what `write_forecasts` wrote: window_ids [windows], quantiles [windows, levels, horizon], levels."""
    table = pq.read_table(path)
    names = [name for name in table.column_names if name.startswith("q")]
    horizon = int(table["step"].to_numpy().max())
    window_ids = table["window_id"].to_numpy()[::horizon]
    quantiles = np.stack([table[name].to_numpy().reshape(-1, horizon) for name in names], axis=1)
    return window_ids, quantiles, [float(name[1:]) for name in names]
