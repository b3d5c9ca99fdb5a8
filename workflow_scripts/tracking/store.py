"""MLflow's store: its schema, the experiment of a data set, and one writer at a time."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from filelock import FileLock

from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Of clients and servers: no telemetry, no unpickling, no jobs inside the server."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""How long a client waits for a server, unless the user says otherwise; MLflow's own limits are minutes."""


@dataclass(frozen=True)
class Experiment:
    """An experiment that can be written to."""

    client: "MlflowClient"
    id: str


@contextmanager
def open_experiment(uri: str, name: str) -> Iterator[Experiment]:
    """Give an experiment, made where it is missing; a SQLite file is locked against a second writer meanwhile.

    The schema of a database is created or upgraded. Artifacts go to `mlartifacts/<name>` beside a SQLite file; with
    another store its own setting counts.

    Args:
        uri: MLflow tracking URI; a relative SQLite path counts from the working directory.
        name: the experiment's name.

    Raises:
        UserError: the store cannot be reached, read or written, also within the block.
    """
    _configure()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    database = sqlite_file(uri)
    try:
        if database:
            database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{database}.lock") if database else nullcontext():
            if is_database(uri):
                _upgrade_schema(uri)
            client = connect(uri)
            yield Experiment(client, _find_or_create(client, name, database))
    except ModuleNotFoundError as error:
        raise UserError(
            where=f"tracking store {without_password(uri)}",
            found=f"the Python package {error.name} is not installed",
            expected="the package with which Python speaks to this kind of store",
            remedy=f"install it (pip install {error.name}); for PostgreSQL write postgresql+psycopg://, whose package "
            "comes with this project",
        ) from None
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(
            where=f"tracking store {without_password(uri)}",
            found=short(error),
            expected="an MLflow tracking URI that can be written, such as sqlite:///mlflow.db or https://server",
            remedy="correct tracking.uri in params.yaml, start the server, or move a damaged database aside; the "
            "results are complete without MLflow, and the next start brings it up to date",
        ) from error


def connect(uri: str) -> "MlflowClient":
    """Return MLflow's client for a store and its registry."""
    _configure()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite URI, None for another store."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def is_database(uri: str) -> bool:
    """Whether MLflow writes to a database itself, not through a server."""
    return uri.partition(":")[0].partition("+")[0] in {"sqlite", "postgresql", "mysql", "mssql"}


def active_runs(experiment: Experiment) -> "list[Run]":
    """All runs of an experiment that are not deleted."""
    found: list[Run] = []
    token = None
    while True:
        page = experiment.client.search_runs([experiment.id], max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def delete_run(client: "MlflowClient", run: "Run") -> None:
    """Give a run MLflow's lifecycle stage "deleted", and remove its artifacts where they are on this machine."""
    client.delete_run(run.info.run_id)
    folder = Path(unquote(str(run.info.artifact_uri).removeprefix("file://"))).parent
    if folder.is_absolute() and folder.name == run.info.run_id:
        shutil.rmtree(folder, ignore_errors=True)


def short(error: Exception) -> str:
    """The first line of an error, without passwords."""
    lines = str(error).strip().splitlines()
    return without_password(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)[:300]


def without_password(text: str) -> str:
    """The text with names and passwords in addresses left out."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


def _configure() -> None:
    """Import MLflow, which reads these variables as it is imported and sets its own level of logging."""
    os.environ.update(ENVIRONMENT)
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401

    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _upgrade_schema(uri: str) -> None:
    """What `mlflow db upgrade` does; it changes nothing in a store that is up to date."""
    from mlflow.db import upgrade

    assert upgrade.callback
    upgrade.callback(uri)


def _find_or_create(client: "MlflowClient", name: str, database: Path | None) -> str:
    """The experiment's id. One whose folder of artifacts was moved or copied is replaced: the records fill the new."""
    folder = database.parent / "mlartifacts" / name if database else None
    # MLflow reads a path as an address: %20 in it would be a space, in a folder beside this one.
    location = str(folder).replace("%", "%25") if folder else None
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.create_experiment(name, artifact_location=location)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    if location in (None, found.artifact_location):
        return found.experiment_id
    client.rename_experiment(found.experiment_id, f"{name} before it was moved ({found.experiment_id})")
    client.delete_experiment(found.experiment_id)
    shutil.rmtree(str(folder), ignore_errors=True)
    return client.create_experiment(name, artifact_location=location)
