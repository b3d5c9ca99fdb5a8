"""A job whose MLflow server goes away: real `mlflow server` processes on 127.0.0.1."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.finished_runs import finished_run, tracking_settings
from tests.helpers.ports import free_port
from workflow_scripts.reporting.run_pages import run_contents
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking import track_run
from workflow_scripts.tracking.client import connect, search
from workflow_scripts.tracking.server import ENVIRONMENT

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

SECONDS_TO_START = 180


@contextmanager
def _server(folder: Path, port: int) -> Iterator[None]:
    """MLflow's server for as long as the block lasts."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    process = subprocess.Popen(
        command, env={**os.environ, **ENVIRONMENT}, cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        assert process.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server did not answer")


def _shown(uri: str, query: str = "tags.kind = 'run'") -> list[Any]:
    client = connect(uri)
    return search(client, client.get_experiment_by_name("simulated").experiment_id, query)


def test_a_server_that_goes_away_costs_no_run_and_is_brought_up_to_date_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    paths = [
        finished_run(tmp_path, arm, loss=loss)
        for arm, loss in (("full", 2.0), ("lora-r2", 1.0), ("lora-r4", 3.0))
    ]
    records = [read_json(path) for path in paths]
    pages = [
        vars(run_contents(record, path.parent, stand_in=True))
        for record, path in zip(records, paths, strict=True)
    ]

    with track_run(uri, records[0]["key"]) as before:  # Down at the start.
        before.finish(**pages[0])
    with _server(tmp_path, port):
        sync(tracking_settings(uri, paths[:0]))
        with track_run(uri, records[1]["key"]) as whole:
            whole.finish(**pages[1])
        running = track_run(uri, records[2]["key"])
        halfway = running.__enter__()
    halfway.finish(**pages[2])  # Down in the middle, and at the end.
    running.__exit__(None, None, None)
    assert (before.run_id, whole.problems) == (None, [])
    assert [problem.partition(":")[0] for problem in halfway.problems] == [
        "logging results",
        "ending the run",
    ]
    with pytest.raises(UserError, match="tracking store"):
        sync(tracking_settings(uri, paths))

    with _server(tmp_path, port):
        sync(tracking_settings(uri, paths))
        first = {run.data.tags["arm"]: run.info for run in _shown(uri)}
        sync(tracking_settings(uri, paths))
        second = {run.data.tags["arm"]: run.info for run in _shown(uri)}
        (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert {arm: info.run_id for arm, info in first.items()} == {
        arm: info.run_id for arm, info in second.items()
    }
    assert {info.status for info in second.values()} == {"FINISHED"}
    assert sorted(second) == ["full", "lora-r2", "lora-r4"]
    assert second["lora-r2"].run_id == whole.run_id
    assert (sweep.data.tags["runs"], sweep.data.tags["chosen"]) == ("3 of 3", "lora-r2")
