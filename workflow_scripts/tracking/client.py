"""MLflow's client: no telemetry, no unpickling, no library that is not needed, and no endless waiting."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS_FOR_A_LOCK = 20
"""How long a write waits for another process that holds the SQLite file; the driver's own limit is 5 s."""


def connect(uri: str) -> Any:
    """Return MLflow's client for a store and its registry. Nothing is opened before it is used."""
    preload(uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=patient(uri), registry_uri=patient(uri))


def patient(uri: str) -> str:
    """The address of a store; a SQLite file is waited for where another process holds it."""
    return f"{uri}?timeout={SECONDS_FOR_A_LOCK}" if sqlite_file(uri) and "?" not in uri else uri


def preload(uri: str) -> None:
    """Import what a store needs, and open nothing: a process may fork afterwards."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    with _unimportable("pandas", "polars", "pygments"):
        import mlflow.tracking

        if is_database(uri):
            import mlflow.store.model_registry.sqlalchemy_store
            import mlflow.store.tracking.sqlalchemy_workspace_store  # noqa: F401
            from sqlalchemy import make_url

            make_url(uri).get_dialect()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite URI, None for another store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()


def is_database(uri: str) -> bool:
    """Whether MLflow writes to a database itself, not through a server."""
    return uri.partition(":")[0].partition("+")[0] in {"sqlite", "postgresql", "mysql", "mssql"}


def search(client: Any, experiment_id: str, query: str = "", deleted: bool = False) -> list[Any]:
    """All runs that match MLflow's filter."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    found, token = [], None
    while True:
        page = client.search_runs([experiment_id], query, view, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def short(error: Exception) -> str:
    """The first line of an error, without passwords."""
    text = str(error).strip().splitlines()
    return without_password(f"{type(error).__name__}: {text[0]}" if text else type(error).__name__)[:300]


def without_password(text: str) -> str:
    """The text with names and passwords in addresses left out."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


@contextmanager
def _unimportable(*names: str) -> Iterator[None]:
    """Let imports of optional libraries fail within the block.

    MLflow imports them, where installed, for data set entities and coloured tracebacks that no run of ours
    has: a fifth of the time that tracking costs a job.
    """
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            sys.modules.pop(name, None)
