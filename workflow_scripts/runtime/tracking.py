"""Runs in MLflow: the mirror of run.json, for browsing. The only module that imports mlflow.

What is logged describes runs, never patients: parameters, metrics over all test windows, loss curves,
adapters and figures. Tables (forecasts, windows, events) hold a row for each window or value: as artifacts
they are refused.

A run is not lost with its tracking: whatever fails in MLflow after `initialise` is logged as a warning and
kept in `TrackedRun.problems`, and the work goes on.
"""

import fcntl
import json
import logging
import os
import re
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.process import Terminated, process_identity, process_is_gone, terminable

LOG = logging.getLogger(__name__)

KEY = "vitalora.key"
PROCESS = "vitalora.process"
REASON = "vitalora.reason"
SUPERSEDED_BY = "vitalora.superseded_by"
DESCRIPTION = "mlflow.note.content"

ITEMS_PER_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
"""MLflow's limits for one call of log_batch."""

ROW_LEVEL_SUFFIXES = {".parquet", ".csv", ".gz", ".arrow", ".feather", ".npy", ".npz", ".db", ".pkl"}

Curve = Sequence[Sequence[float]]
"""Points of a curve: [[step, value], ...]."""


def initialise(uri: str, experiment: str, description: str) -> str:
    """Make the store ready for parallel jobs and return the experiment's id; safe to call again.

    Creates or upgrades the schema of a database (what `mlflow db upgrade` does: several processes that do so
    at once fail), creates the experiment, and closes runs whose process is gone. Artifacts lie in
    `mlartifacts/<experiment>` beside a SQLite file; with another store its own setting counts.

    Args:
        uri: MLflow tracking URI; a relative SQLite path counts from the working directory.
        experiment: the experiment's name.
        description: Markdown shown above the experiment's runs.

    Raises:
        UserError: the store cannot be reached or used.
    """
    database = _sqlite_file(uri)
    try:
        if database is not None:
            _prepare_sqlite(uri, database)
        elif _is_database(uri):
            _upgrade_schema(uri)
        client = _client(uri)
        location = database.parent / "mlartifacts" / experiment if database is not None else None
        identifier = _find_or_create_experiment(client, experiment, location)
        if database is not None and location is not None:
            _follow_moved_folder(database, identifier, location)
        client.set_experiment_tag(identifier, DESCRIPTION, description)
    except Exception as error:
        raise UserError(
            f"tracking store {_without_password(uri)}",
            _short(error),
            "an MLflow tracking URI that can be written, such as sqlite:///mlflow.db or https://server",
            "correct tracking.uri in params.yaml, start the server, or move a damaged database aside",
        ) from error
    close_lost_runs(uri, experiment)
    return identifier


def close_lost_runs(uri: str, experiment: str) -> int:
    """Mark runs as KILLED that say RUNNING although their process on this machine has ended; return how many.

    Runs of other machines are left alone. A failing store is logged, not raised.
    """
    closed = 0
    try:
        client = _client(uri)
        found = client.get_experiment_by_name(experiment)
        running = _search(client, found.experiment_id, "attributes.status = 'RUNNING'") if found else []
        for run in running:
            if process_is_gone(json.loads(run.data.tags.get(PROCESS, "{}"))):
                _close(client, run.info.run_id, "KILLED", "the process ended without a word")
                closed += 1
    except Exception as error:
        LOG.warning("tracking: closing lost runs failed: %s", _short(error))
    return closed


@contextmanager
def track_run(
    uri: str,
    key: Mapping[str, object],
    tags: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
    experiment: str | None = None,
) -> Iterator["TrackedRun"]:
    """Record the block as one MLflow run, which supersedes earlier runs of the same key.

    The run ends as FINISHED, as FAILED after an exception (with its kind and place, never its text, unless it
    is a UserError), or as KILLED after SIGTERM or Ctrl-C. A run that was killed at once is closed by the next
    `initialise`, `close_lost_runs` or run of the same key. Earlier runs of the key get MLflow's lifecycle
    stage "deleted": the default view shows one run for each key, and a filter shows the others.

    Args:
        uri: MLflow tracking URI, made ready by `initialise`; empty: nothing is tracked.
        key: what makes the run unique in its experiment; also its tags and, joined, its name.
        tags: further tags (git commit, hashes, family); None values are left out.
        parameters: settings, nested as they may be; None values are left out.
        experiment: the experiment's name; by default the key's `dataset`.
    """
    run = TrackedRun(uri)
    with terminable():
        try:
            run._start(dict(key), dict(tags or {}), dict(parameters or {}), experiment or str(key["dataset"]))
            yield run
        except BaseException as error:
            run._end("KILLED" if isinstance(error, KeyboardInterrupt | Terminated) else "FAILED", error)
            raise
        run._end("FINISHED")


class TrackedRun:
    """A run that `track_run` has begun.

    Attributes:
        run_id: MLflow's id, None where tracking is off or the run could not be begun.
        problems: what went wrong with tracking, in short words.
    """

    def __init__(self, uri: str) -> None:
        self.run_id: str | None = None
        self.problems: list[str] = []
        self._uri = uri
        self._client: Any = None

    def finish(
        self,
        metrics: Mapping[str, float | None] | None = None,
        curves: Mapping[str, Curve] | None = None,
        artifacts: Mapping[str, Path] | None = None,
        tags: Mapping[str, object] | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        """Log the results, in a few batches.

        Args:
            metrics: final values by name; None (not finite) is left out.
            curves: points [[step, value], ...] by name, such as losses over training steps.
            artifacts: files or folders by the folder that they get in MLflow; missing ones are left out.
            tags: tags that are known only now.
            parameters: parameters that are known only now.
        """
        self._attempt("logging results", lambda: self._log(metrics or {}, curves or {}, tags, parameters))
        for folder, path in (artifacts or {}).items():
            self._attempt(f"storing {folder}", partial(self._store, folder, path))

    def _start(
        self, key: dict[str, object], tags: dict[str, object], parameters: dict[str, object], experiment: str
    ) -> None:
        if self._uri:
            self._attempt(
                "starting the run", lambda: self._create(key, tags, parameters, experiment), begun=False
            )

    def _create(
        self, key: dict[str, object], tags: dict[str, object], parameters: dict[str, object], experiment: str
    ) -> None:
        self._client = _client(self._uri)
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            raise LookupError(f"no experiment {experiment}: run `python -m workflow_scripts.init_tracking`")
        key_text = _key_text(key)
        identity = {KEY: key_text, PROCESS: json.dumps(process_identity())}
        texts = {**_texts(key), **_texts(tags), **identity}
        run = self._client.create_run(found.experiment_id, tags=texts, run_name=_run_name(key))
        self.run_id = run.info.run_id
        _supersede(self._client, found.experiment_id, key_text)
        self._log({}, {}, None, parameters)

    def _log(
        self,
        metrics: Mapping[str, float | None],
        curves: Mapping[str, Curve],
        tags: Mapping[str, object] | None,
        parameters: Mapping[str, object] | None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [Metric(name, float(value), now, 0) for name, value in metrics.items() if value is not None]
        points += [
            Metric(name, float(value), now, int(step))
            for name, curve in curves.items()
            for step, value in curve
        ]
        items = {
            "metrics": points,
            "params": [Param(name, value) for name, value in _texts(parameters or {}).items()],
            "tags": [RunTag(name, value) for name, value in _texts(tags or {}).items()],
        }
        for kind, values in items.items():
            size = ITEMS_PER_BATCH[kind]
            for first in range(0, len(values), size):
                self._client.log_batch(self.run_id, **{kind: values[first : first + size]})

    def _store(self, folder: str, path: Path) -> None:
        if not path.exists():
            return
        files = [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
        if any(ROW_LEVEL_SUFFIXES & set(file.suffixes) for file in files):
            raise ValueError("a table may hold rows of patients and is never stored in MLflow")
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), folder)
        else:
            self._client.log_artifact(self.run_id, str(path), folder)

    def _end(self, status: str, error: BaseException | None = None) -> None:
        reason = None if error is None else _reason(error)
        self._attempt("ending the run", lambda: _close(self._client, str(self.run_id), status, reason))

    def _attempt(self, action: str, work: Callable[[], None], begun: bool = True) -> None:
        """Do the work, unless the run could not be begun; a failure is a warning and nothing more."""
        if begun and self.run_id is None:
            return
        try:
            work()
        except Exception as error:
            self.problems.append(f"{action}: {_short(error)}")
            LOG.warning("tracking: %s; run.json is complete nonetheless", self.problems[-1])


def _supersede(client: Any, experiment_id: str, key_text: str) -> None:
    """Leave the newest run of the key alone in the default view, also where several begin at one moment.

    Whoever writes last sees all of them; what another process has done already is no failure.
    """
    from mlflow.exceptions import MlflowException

    runs = _search(client, experiment_id, f"tags.`{KEY}` = '{key_text}'")
    runs.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    for run in runs[:-1]:
        with suppress(MlflowException):
            client.set_tag(run.info.run_id, SUPERSEDED_BY, runs[-1].info.run_id)
        with suppress(MlflowException):
            if run.info.status == "RUNNING":
                _close(client, run.info.run_id, "KILLED", "superseded while running")
        with suppress(MlflowException):
            client.delete_run(run.info.run_id)


def _search(client: Any, experiment_id: str, query: str) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_runs([experiment_id], query, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _close(client: Any, run_id: str, status: str, reason: str | None) -> None:
    if reason:
        client.set_tag(run_id, REASON, reason)
    client.set_terminated(run_id, status)


def _reason(error: BaseException) -> str:
    """Say what ended a run without the error's own text, which may quote data; a UserError never does."""
    if isinstance(error, UserError):
        return f"{error.where}: {error.found}"[:500]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"


def _short(error: Exception) -> str:
    """The first line of an error, without passwords."""
    text = str(error).strip().splitlines()
    return _without_password(f"{type(error).__name__}: {text[0]}" if text else type(error).__name__)[:300]


def _without_password(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://***@", text)


def _key_text(key: Mapping[str, object]) -> str:
    text = "/".join(f"{name}={value}" for name, value in sorted(key.items()))
    if "'" in text:
        raise ValueError("a run's key must not hold quotes")
    return text


def _run_name(key: Mapping[str, object]) -> str:
    """The key's values, without the data set, which the experiment is named after: `explicit/…/seed0`."""
    parts = [f"{name}{value}" if str(value).isdigit() else str(value) for name, value in key.items()]
    return "/".join(part for name, part in zip(key, parts, strict=True) if name != "dataset")


def _texts(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Flatten nested values into dotted names and texts."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts.update(_texts(value, f"{prefix}{name}."))
        elif value is not None:
            texts[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return texts


def _client(uri: str) -> Any:
    _import_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _import_mlflow() -> None:
    """Import MLflow: no telemetry, no unpickling, and a server that is down is soon given up on."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    with _unimportable("pandas", "polars"):
        import mlflow.tracking  # noqa: F401
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def _unimportable(*names: str) -> Iterator[None]:
    """Let imports of optional libraries fail within the block.

    MLflow imports them, where installed, only for data set entities that no run of ours has: a fifth of the
    time that tracking costs a job.
    """
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            sys.modules.pop(name, None)


def _find_or_create_experiment(client: Any, name: str, location: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location and str(location)))
        except MlflowException:
            # Another process may have created it in the meantime.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _is_database(uri: str) -> bool:
    return uri.partition(":")[0].partition("+")[0] in {"postgresql", "mysql", "mssql"}


def _sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite URI, None for another store."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def _prepare_sqlite(uri: str, database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _upgrade_schema(uri)


def _upgrade_schema(uri: str) -> None:
    _import_mlflow()
    from mlflow.db import upgrade

    upgrade.callback(uri)


def _follow_moved_folder(database: Path, experiment_id: str, location: Path) -> None:
    """Correct MLflow's absolute artifact paths after the project's folder was moved as a whole."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        query = "SELECT artifact_location FROM experiments WHERE experiment_id = ?"
        (before,) = connection.execute(query, (experiment_id,)).fetchone()
        if before == str(location) or Path(before).is_dir():
            return
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (str(location), experiment_id),
        )
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?)"
            " WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
            (str(location), len(before) + 1, experiment_id, len(before), before),
        )
