"""Makes the store ready: schema, experiment, folder of artifacts."""

import fcntl
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.tracking.client import (
    connect,
    is_database,
    patient,
    preload,
    short,
    sqlite_file,
    without_password,
)

EXPERIMENT_KIND = "mlflow.experimentKind"
"""MLflow's tag that says which of its pages an experiment opens with."""


def initialise(uri: str, experiment: str) -> str:
    """Make the store ready and return the experiment's id; safe to call again.

    Creates or upgrades the schema of a database (what `mlflow db upgrade` does: several processes that do so
    at once fail) and creates the experiment. Artifacts lie in
    `mlartifacts/<experiment>` beside a SQLite file; with another store its own setting counts.

    Args:
        uri: MLflow tracking URI; a relative SQLite path counts from the working directory.
        experiment: the experiment's name.

    Raises:
        UserError: the store cannot be reached or used.
    """
    database = sqlite_file(uri)
    try:
        if database is not None:
            _prepare_sqlite(uri, database)
        elif is_database(uri):
            _upgrade_schema(uri)
        client = connect(uri)
        location = database.parent / "mlartifacts" / experiment if database is not None else None
        identifier = _find_or_create_experiment(client, experiment, location)
        if database is not None and location is not None:
            _follow_moved_folder(database, identifier, location)
    except Exception as error:
        raise unusable(uri, error) from error
    return identifier


def unusable(uri: str, error: Exception) -> UserError:
    """The error of a store that cannot be read or written."""
    return UserError(
        f"tracking store {without_password(uri)}",
        short(error),
        "an MLflow tracking URI that can be written, such as sqlite:///mlflow.db or https://server",
        "correct tracking.uri in params.yaml, start the server, or move a damaged database aside; results are "
        "complete without MLflow, and the next start brings it up to date",
    )


def is_known(uri: str) -> bool:
    """Whether MLflow knows this kind of address at all."""
    return is_database(uri) or uri.partition(":")[0] in {"http", "https", "databricks", "uc"}


def _find_or_create_experiment(client: Any, name: str, location: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(
                client.create_experiment(
                    name,
                    artifact_location=location and str(location),
                    tags={EXPERIMENT_KIND: "custom_model_development"},
                )
            )
        except MlflowException:
            # Another process may have created it in the meantime.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _prepare_sqlite(uri: str, database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _upgrade_schema(uri)


def _upgrade_schema(uri: str) -> None:
    preload(uri)
    from mlflow.db import upgrade

    upgrade.callback(patient(uri))


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
