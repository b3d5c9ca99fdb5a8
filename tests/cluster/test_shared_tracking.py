"""MLflow's server as serve_tracking starts it, on a real PostgreSQL, with two crashes while it is written to."""

import configparser
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers.finished_runs import finished_run, tracking_settings
from tests.helpers.ports import free_port
from tests.helpers.postgres import PASSWORD, Postgres, postgres
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.settings import load_study
from workflow_scripts.steps.serve_tracking import (
    ADMINISTRATOR,
    administrator_password,
    database_address,
    encryption_options,
)
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking.store import connect

ROOT = Path(__file__).parents[2]
SEEDS = 16
ARMS = ("lora-r2", "lora-r4")
SECONDS_TO_START = 180
MEMBER, MEMBER_PASSWORD = "member", "of-a-member-of-the-group"

ACTIVE = (
    "SELECT runs.run_uuid, runs.status, key.value, record.value FROM runs"
    " JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'kind' AND kind.value = 'run'"
    " JOIN tags AS key ON key.run_uuid = runs.run_uuid AND key.key = 'vitalora.key'"
    " LEFT JOIN tags AS record ON record.run_uuid = runs.run_uuid AND record.key = 'vitalora.record'"
    " WHERE runs.lifecycle_stage = 'active'"
)
POINTS = "SELECT run_uuid, count(*) FROM metrics WHERE key = 'validation_loss' GROUP BY run_uuid"
ERRORS = "SELECT run_uuid, value FROM latest_metrics WHERE key = 'mse'"


class Server:
    """serve_tracking's process and its workers."""

    def __init__(self, database: Postgres, folder: Path, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        command = [sys.executable, "-m", "workflow_scripts.steps.serve_tracking", "--database", database.uri]
        command += ["--folder", str(folder / "tracking"), "--port", str(port)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PGPASSFILE": str(database.passwords)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
            else:
                return
        raise AssertionError("the server did not answer")

    def end(self, by: signal.Signals) -> None:
        """End it and its workers."""
        os.killpg(self.process.pid, by)
        self.process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """The server and its workers."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server for as long as the block lasts."""
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGTERM)


@pytest.fixture
def database() -> Iterator[Postgres]:
    with postgres(free_port()) as server:
        yield server


def credentials(folder: Path) -> str:
    """The administrator's password, as a person would look it up."""
    path = folder / "tracking/credentials"
    assert path.stat().st_mode & 0o077 == 0
    parser = configparser.ConfigParser()
    parser.read(path)
    assert parser["mlflow"]["mlflow_tracking_username"] == ADMINISTRATOR
    return parser["mlflow"]["mlflow_tracking_password"]


def sign_in(monkeypatch: pytest.MonkeyPatch, name: str, password: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


@pytest.mark.workflow
@pytest.mark.acceptance
def test_crashes_of_server_and_database_during_a_sync_lose_and_double_no_run(
    database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        finished_run(tmp_path, arm, seed=seed, loss=1.0 + seed, mse=rank + seed / 100)
        for rank, arm in enumerate(ARMS)
        for seed in range(SEEDS)
    ]
    port = free_port()
    settings = partial(tracking_settings, f"http://127.0.0.1:{port}")
    with serving(Server(database, tmp_path, port)) as server:
        administrator = credentials(tmp_path)
        sign_in(monkeypatch, ADMINISTRATOR, administrator)
        add_member(server.uri)
        nobody_else_comes_in(server, monkeypatch)
        sign_in(monkeypatch, MEMBER, MEMBER_PASSWORD)
        command = [sys.executable, "-m", "workflow_scripts.steps.sync_tracking"]
        writer = subprocess.Popen(
            [*command, "--settings", write_settings(tmp_path, settings(records))],
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(active_runs(database)) < SEEDS:
            assert writer.poll() is None
            time.sleep(0.05)
        server.end(signal.SIGKILL)
    database.crash()
    _, message = writer.communicate(timeout=SECONDS_TO_START)
    assert (writer.returncode, "error: tracking store" in message) == (1, True)
    assert len(active_runs(database)) < len(records)

    with serving(Server(database, tmp_path, port)) as server:
        sync(settings(records))
        shown = active_runs(database)
        sync(settings(records))
        assert active_runs(database) == shown
        no_secret_is_seen(server, [administrator, MEMBER_PASSWORD, PASSWORD])
    everything_is_there_once(database, shown, records, tmp_path / "tracking/artifacts")


def write_settings(folder: Path, parameters: dict[str, Any]) -> Path:
    path = folder / "sync_tracking.json"
    path.write_text(json.dumps({"code": "", "parameters": parameters}))
    return path


def add_member(uri: str) -> None:
    """As docs/tracking-server.md says."""
    from mlflow.server.auth.client import AuthServiceClient

    AuthServiceClient(uri).create_user(MEMBER, MEMBER_PASSWORD)


def nobody_else_comes_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not without a password, not with a wrong one, and not from another machine."""
    address = f"{server.uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name=simulated"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address, timeout=30)
    sign_in(monkeypatch, MEMBER, f"not {MEMBER_PASSWORD}")
    with pytest.raises(Exception, match="401"):
        connect(server.uri).get_experiment_by_name("simulated")
    heard = {
        connection.laddr.ip
        for process in server.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}


def no_secret_is_seen(server: Server, secrets: list[str]) -> None:
    """In no log and on no command line."""
    seen = server.log.read_text() + "".join(" ".join(process.cmdline()) for process in server.processes())
    assert "uvicorn" in seen
    assert not [secret for secret in secrets if secret in seen]


def active_runs(database: Postgres) -> list[tuple[object, ...]]:
    return sorted(database.query(ACTIVE))


def everything_is_there_once(
    database: Postgres, shown: list[tuple[object, ...]], records: list[Path], artifacts: Path
) -> None:
    """What PostgreSQL itself and the folder hold."""
    points, errors = dict(database.query(POINTS)), dict(database.query(ERRORS))
    expected = {}
    for rank, arm in enumerate(ARMS):
        for seed in range(SEEDS):
            expected[f"arm={arm}", f"seed={seed}"] = rank + seed / 100
    found = {}
    for run_id, status, key, record in shown:
        parts = str(key).split("/")
        found[parts[0], parts[4]] = errors[run_id]
        assert status == "FINISHED"
        assert record in {file_hash(path) for path in records}
        assert points[run_id] == 2
        (adapter,) = artifacts.glob(f"*/{run_id}/artifacts/adapter/adapter_model.safetensors")
        assert adapter.read_text() == parts[0].removeprefix("arm=")
    assert found == pytest.approx(expected)
    assert len(shown) == len(records) == 2 * SEEDS
    (sweeps,) = database.query(
        "SELECT count(*) FROM runs JOIN tags USING (run_uuid)"
        " WHERE key = 'kind' AND value = 'sweep' AND lifecycle_stage = 'active'"
    )
    assert sweeps == (1,)


def test_the_server_does_not_start_without_what_keeps_secrets_secret(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.pgpass") as password:
        database_address("postgresql://me:hidden@127.0.0.1/vitalora")
    assert "hidden" not in str(password.value)
    with pytest.raises(UserError, match="postgresql://"):
        database_address("sqlite:///mlflow.db")
    with pytest.raises(UserError, match="plain text"):
        encryption_options("0.0.0.0", None, None)
    assert encryption_options("::1", None, None) == []
    first = administrator_password(tmp_path / "tracking")
    assert administrator_password(tmp_path / "tracking") == first
    (tmp_path / "tracking/credentials").chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        administrator_password(tmp_path / "tracking")


@pytest.mark.parametrize(
    "uri", ["http://me:hidden@127.0.0.1:5000", "postgresql://server/runs?user=me&password=hidden"]
)
def test_a_password_in_the_study_s_settings_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UserError, match="credentials") as refused:
        load_study({"tracking": {"uri": uri}})
    assert "hidden" not in str(refused.value)
