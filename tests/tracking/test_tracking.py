"""MLflow's store, made ready: a real SQLite file, read with MLflow's own client."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import TrackingParameters
from workflow_scripts.tracking.mirror import Mirror
from workflow_scripts.tracking.store import initialise

IDENTITY = {"dataset": "simulated", "cohort": "explicit", "vital": "heart_rate", "model": "nano"}
EXPERIMENT = "simulated"


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creating the schema takes seconds, so each test gets a copy."""
    folder = tmp_path_factory.mktemp("store")
    address = f"sqlite:///{folder}/mlflow.db"
    Mirror(address, initialise(address, EXPERIMENT)).add_sweeps([IDENTITY])
    return folder


@pytest.fixture
def uri(made_store: Path, tmp_path: Path) -> str:
    shutil.copytree(made_store, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path}/mlflow.db"


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def test_a_deleted_experiment_comes_back(uri: str) -> None:
    client = _client(uri)
    identifier = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.delete_experiment(identifier)
    assert initialise(uri, EXPERIMENT) == identifier
    assert client.get_experiment(identifier).lifecycle_stage == "active"


def test_making_the_sweeps_again_makes_none(uri: str) -> None:
    mirror = Mirror(uri, "1")
    mirror.add_sweeps([IDENTITY])
    assert (len(mirror.sweeps), mirror.written) == (1, 0)


def test_a_password_in_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError) as failure:
        initialise("http://me:secret@127.0.0.1:9", EXPERIMENT)
    assert "secret" not in str(failure.value)


def test_an_address_that_mlflow_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match="tracking store nonsense://store"):
        initialise("nonsense://store", EXPERIMENT)


def test_a_bare_mlflow_ui_shows_the_default_store() -> None:
    """Expected: what MLflow itself takes where no address is given."""
    from mlflow.store.tracking import DEFAULT_TRACKING_URI

    assert TrackingParameters().uri == DEFAULT_TRACKING_URI
