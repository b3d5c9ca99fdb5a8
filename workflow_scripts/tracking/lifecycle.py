"""The life of runs in MLflow: closed, superseded, and what is left of them."""

import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.tracking.names import REASON, SUPERSEDED_BY

LOG = logging.getLogger(__name__)


def close(client: Any, run_id: str, status: str, reason: str | None = None, ended: int | None = None) -> None:
    """Say how a run ended, and when (milliseconds; now where it is not given)."""
    if reason:
        client.set_tag(run_id, REASON, reason)
    client.set_terminated(run_id, status, ended)


def put_away(client: Any, runs: list[Any], successor: str) -> None:
    """Give runs MLflow's lifecycle stage "deleted", in favour of their successor, and remove their artifacts."""
    from mlflow.exceptions import MlflowException

    for run in runs:
        with suppress(MlflowException):
            client.set_tag(run.info.run_id, SUPERSEDED_BY, successor)
        with suppress(MlflowException):
            if run.info.status == "RUNNING":
                close(client, run.info.run_id, "KILLED", "superseded while running")
        with suppress(MlflowException):
            client.delete_run(run.info.run_id)
        remove_artifacts(run)


def remove_artifacts(run: Any) -> None:
    """Remove a run's folder from an artifact store on this machine: superseded runs would fill the disk."""
    location = str(run.info.artifact_uri).removeprefix("file://")
    folder = Path(location).parent
    if (
        location.startswith("/")
        and folder.name == run.info.run_id
        and re.fullmatch("[0-9a-f]{32}", folder.name)
    ):
        shutil.rmtree(folder, ignore_errors=True)
