"""The life of runs in MLflow: closed, superseded, and what is left of them."""

import json
import logging
import re
import shutil
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.process import process_is_gone
from workflow_scripts.tracking.client import connect, search, short
from workflow_scripts.tracking.names import KEY, PROCESS, REASON, SUPERSEDED_BY

LOG = logging.getLogger(__name__)


def close_lost_runs(uri: str, experiment: str) -> int:
    """Mark runs as KILLED that say RUNNING although their process on this machine has ended; return how many.

    Runs of other machines are left alone. A failing store is logged, not raised.
    """
    closed = 0
    try:
        client = connect(uri)
        found = client.get_experiment_by_name(experiment)
        running = search(client, found.experiment_id, "attributes.status = 'RUNNING'") if found else []
        for run in running:
            if process_is_gone(json.loads(run.data.tags.get(PROCESS, "{}"))):
                close(client, run.info.run_id, "KILLED", "the process ended without a word")
                closed += 1
    except Exception as error:
        LOG.warning("tracking: closing lost runs failed: %s", short(error))
    return closed


def close(client: Any, run_id: str, status: str, reason: str | None = None, ended: int | None = None) -> None:
    """Say how a run ended, and when (milliseconds; now where it is not given)."""
    if reason:
        client.set_tag(run_id, REASON, reason)
    client.set_terminated(run_id, status, ended)


def supersede(client: Any, experiment_id: str, text: str) -> None:
    """Leave the newest run of a key alone in the default view, also where several begin at one moment.

    Whoever writes last sees all of them; what another process has done already is no failure.
    """
    runs = search(client, experiment_id, f"tags.`{KEY}` = '{text}'")
    runs.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    put_away(client, runs[:-1], runs[-1].info.run_id)


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


def reason_of(error: BaseException) -> str:
    """Say what ended a run without the error's own text, which may quote data; a UserError never does."""
    if isinstance(error, UserError):
        return f"{error.where}: {error.found}"[:500]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
