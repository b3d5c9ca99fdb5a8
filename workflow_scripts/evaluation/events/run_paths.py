"""Event probabilities from sample paths, where a model draws whole trajectories: computed, stored and read back."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.tasks import EventTask, event_tasks
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_path
from workflow_scripts.windows.reading import Windows

EVENT_PATHS = "event_paths.parquet"
"""The file of a run: a row for each test and validation window, a column for each event over several steps."""

Joint = Mapping[str, NDArray[np.float64]]


def column_of(task: EventTask) -> str:
    """The name of a task's column: `hypotension < 65 any 180`."""
    return f"{task.event.name} {task.condition} {task.form} {task.lead_minutes}"


def path_probabilities(windows: Windows, paths: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """The share of the paths in which each event over several steps happens, [N]. paths: [N, samples, horizon]."""
    found = {}
    for task in event_tasks(windows.metadata):
        if task.form != "at":
            inside = task.condition.holds(paths[:, :, : task.steps])
            runs = np.asarray(np.lib.stride_tricks.sliding_window_view(inside, task.run, axis=2))
            share = runs.all(axis=-1).any(axis=-1).mean(axis=1)
            broken = np.isnan(paths).any(axis=(1, 2))
            found[column_of(task)] = np.where(broken, np.nan, share)
    return found


def write_path_probabilities(path: Path, parts: list[tuple[Windows, Joint]]) -> None:
    """Write the probabilities of several splits."""
    columns = {"window_id": np.concatenate([windows.window_id for windows, _ in parts])}
    columns |= {name: np.concatenate([joint[name] for _, joint in parts]) for name in parts[0][1]}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_path_probabilities(path: Path, windows: Windows) -> Joint | None:
    """Read those of some windows, in their order; None where the run has no such file.

    Raises UserError where the file is of other windows.
    """
    if not path.is_file():
        return None
    table = pq.read_table(path)
    ids = table["window_id"].to_numpy()
    order = np.argsort(ids)
    places = order[np.searchsorted(ids[order], windows.window_id).clip(max=len(ids) - 1)]
    if not np.array_equal(ids[places], windows.window_id):
        raise UserError(
            str(path),
            "probabilities of other windows",
            "those of the run's test and validation windows",
            "start the workflow again: it repeats runs whose windows have changed",
        )
    return {name: table[name].to_numpy()[places] for name in table.column_names if name != "window_id"}
