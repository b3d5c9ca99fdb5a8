"""An MLflow server that goes away: real `mlflow server` processes on 127.0.0.1."""

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
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking.store import ENVIRONMENT, connect

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
    return list(client.search_runs([client.get_experiment_by_name("simulated").experiment_id], query))


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
    with pytest.raises(UserError, match="tracking store"):
        sync(tracking_settings(uri, paths))
    with _server(tmp_path, port):
        sync(tracking_settings(uri, paths[:1]))
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
    assert (sweep.data.tags["runs"], sweep.data.tags["recommended"]) == ("3 of 3", "lora-r2")
