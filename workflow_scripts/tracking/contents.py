"""What MLflow shows of a finished run, and how it is written there, in few calls."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from workflow_scripts.tracking.names import DESCRIPTION, texts

ITEMS_PER_BATCH = {"metrics": 800, "params": 100, "tags": 100}
"""MLflow takes 1000 metrics, 100 parameters and 100 tags in one call, and 1000 items altogether."""

ROW_LEVEL_SUFFIXES = {".parquet", ".csv", ".gz", ".arrow", ".feather", ".npy", ".npz", ".db", ".pkl"}

LARGEST_DIGEST = 36

Curve = Sequence[Sequence[float | None]]
"""Points of a curve: [[step, value], ...]."""


@dataclass(frozen=True)
class DataSet:
    """The data that a run saw, as MLflow's data set entity: no rows, no column, no value.

    digest: hexadecimal; counts: how much there is, by name.
    """

    name: str
    digest: str
    source: str
    counts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What MLflow shows of a finished run.

    Attributes:
        metrics: final values by name; None (not finite) is left out.
        curves: points by name, such as losses over training steps; None is left out.
        artifacts: files or folders by the folder that they get in MLflow; missing ones are left out.
        tags: values to filter by; None is left out.
        parameters: settings, nested as they may be; None is left out.
        description: Markdown.
        dataset: the data that the run saw.
        failure: why there is no result; empty where there is one.
        record: hash of run.json, which tells whether MLflow shows what is there.
    """

    metrics: Mapping[str, float | None] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    tags: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    description: str = ""
    dataset: DataSet | None = None
    failure: str = ""
    record: str = ""


def log_values(client: Any, run_id: str, contents: Contents) -> None:
    """Write metrics, curves, parameters, tags, description and data set."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    curves: dict[str, Curve] = {name: [(0, value)] for name, value in contents.metrics.items()}
    points = [
        Metric(name, float(value), now, int(step or 0))
        for name, curve in (curves | dict(contents.curves)).items()
        for step, value in curve
        if value is not None
    ]
    tags = texts(contents.tags)
    if contents.description:
        tags[DESCRIPTION] = contents.description
    log_batches(
        client,
        run_id,
        metrics=points,
        params=[Param(name, value) for name, value in texts(contents.parameters).items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    if contents.dataset is not None:
        _log_dataset(client, run_id, contents.dataset)


def log_batches(client: Any, run_id: str, **items: list[Any]) -> None:
    """Write metrics, params and tags in as few calls as MLflow's limits allow."""
    for number in count():
        batch = {
            kind: values[number * ITEMS_PER_BATCH[kind] : (number + 1) * ITEMS_PER_BATCH[kind]]
            for kind, values in items.items()
        }
        if not any(batch.values()):
            return
        client.log_batch(run_id, **batch)


def _log_dataset(client: Any, run_id: str, data: DataSet) -> None:
    """Two first runs on a data set may both find it missing in MLflow; the later one's second try finds it."""
    from mlflow.exceptions import MlflowException

    inputs = [_dataset_input(data)]
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        client.log_inputs(run_id, inputs)


def store_artifact(client: Any, run_id: str, folder: Path, path: Path) -> None:
    """Copy a file or a folder into MLflow. Raises ValueError for tables: they may hold rows of patients."""
    if not path.exists():
        return
    files = [path] if path.is_file() else [found for found in path.rglob("*") if _is_meant(found)]
    if any(ROW_LEVEL_SUFFIXES & set(file.suffixes) for file in files):
        raise ValueError("a table may hold rows of patients and is never stored in MLflow")
    for file in files:
        inner = file.parent.relative_to(path if path.is_dir() else path.parent)
        client.log_artifact(run_id, str(file), (folder / inner).as_posix())


def _is_meant(path: Path) -> bool:
    """Hidden files are the workflow's own."""
    return path.is_file() and not path.name.startswith(".")


def _dataset_input(data: DataSet) -> Any:
    """MLflow's own class for data sets reads rows with pandas; the plain entity needs neither."""
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    entity = Dataset(
        name=data.name,
        digest=data.digest[:LARGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": data.source}),
        profile=json.dumps(dict(data.counts)),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training and test")])
