"""MLflow is brought up to date with records on disk: in a real SQLite store, read back with MLflow's client."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.finished_runs import finished_run, tracking_settings
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking import client as tracking_client
from workflow_scripts.tracking.names import DESCRIPTION, PARENT, REASON
from workflow_scripts.tracking.store import initialise

REGISTERED = "chronos-t5-nano.heart_rate.explicit.simulated"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creating the schema takes seconds, so each test gets a copy."""
    folder = tmp_path_factory.mktemp("empty")
    initialise(f"sqlite:///{folder}/mlflow.db", "simulated")
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    shutil.copy(empty_store, tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A sweep: on validation rank 4 is best, on the test windows rank 8, and full fine-tuning on both."""
    return [
        finished_run(tmp_path, "zero-shot", mse=0.5),
        finished_run(tmp_path, "full", loss=1.0, mse=0.1),
        finished_run(tmp_path, "lora-r4", loss=2.0, mse=0.3),
        finished_run(tmp_path, "lora-r8", loss=2.5, mse=0.2),
    ]


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def _shown(uri: str, query: str = "", dataset: str = "simulated", deleted: bool = False) -> list[Any]:
    client = _client(uri)
    experiment = client.get_experiment_by_name(dataset)
    return tracking_client.search(client, experiment.experiment_id, query, deleted)


def _state(uri: str) -> dict[str, object]:
    """Everything that MLflow shows of runs and models."""
    runs = {run.info.run_id: (run.to_dictionary()) for run in _shown(uri)}
    models = [dict(model.aliases) for model in _client(uri).search_registered_models()]
    return {"runs": runs, "models": models}


def test_missing_runs_are_made_from_their_records(uri: str, paths: list[Path]) -> None:
    assert sync(tracking_settings(uri, paths)) == {"experiment_id": "1", "runs": 4, "sweeps": 1}
    runs = {run.data.tags["arm"]: run for run in _shown(uri, "tags.kind = 'run'")}
    (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert set(runs) == {"zero-shot", "full", "lora-r4", "lora-r8"}
    assert {run.data.tags[PARENT] for run in runs.values()} == {sweep.info.run_id}
    run = runs["lora-r4"]
    assert (run.info.run_name, run.info.status) == ("lora-r4, seed 0", "FINISHED")
    assert (
        run.data.metrics.items() >= {"mse": 0.3, "trainable_parameters": 40, "validation_loss": 2.0}.items()
    )
    assert (
        run.data.tags.items() >= {"method": "lora", "rank": "4", "data": "open", "family": "chronos"}.items()
    )
    # 2024-05-16T12:00:00 UTC, by `date +%s`; the record says that the run took 4 s.
    assert (run.info.start_time, run.info.end_time) == (1715860796000, 1715860800000)
    client = _client(uri)
    assert [item.path for item in client.list_artifacts(run.info.run_id, "adapter")] == [
        "adapter/adapter_model.safetensors"
    ]
    assert (
        Path(client.download_artifacts(run.info.run_id, "record/run.json")).read_bytes()
        == paths[2].read_bytes()
    )


def test_a_second_time_nothing_is_written(uri: str, paths: list[Path]) -> None:
    sync(tracking_settings(uri, paths))
    before = _state(uri)
    sync(tracking_settings(uri, paths))
    assert _state(uri) == before


def test_a_sweep_shows_what_was_chosen_on_validation(uri: str, paths: list[Path]) -> None:
    sync(tracking_settings(uri, paths))
    (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert (sweep.info.status, sweep.data.tags["chosen"], sweep.data.tags["runs"]) == (
        "FINISHED",
        "lora-r4",
        "4 of 4",
    )
    assert sweep.data.metrics.items() >= {"best_rank": 4, "mse": 0.3, "best_validation_loss": 2.0}.items()
    assert "lora-r8" in sweep.data.tags[DESCRIPTION]


def test_an_unfinished_sweep_says_so_and_registers_nothing(uri: str, paths: list[Path]) -> None:
    paths[1].unlink()
    sync(tracking_settings(uri, paths))
    (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert (sweep.info.status, sweep.data.tags["runs"]) == ("SCHEDULED", "3 of 4")
    assert "1 of them are not finished" in sweep.data.tags[DESCRIPTION]
    assert _client(uri).search_registered_models() == []


def test_seeds_are_averaged_before_choosing(uri: str, tmp_path: Path) -> None:
    paths = [
        finished_run(tmp_path, arm, seed, loss=loss, mse=loss / 10)
        for arm, losses in {"lora-r1": (1.0, 4.0), "lora-r2": (2.2, 2.0)}.items()
        for seed, loss in enumerate(losses)
    ]
    sync(tracking_settings(uri, paths))
    (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert sweep.data.tags["chosen"] == "lora-r2"
    assert sweep.data.metrics["mse"] == pytest.approx((0.22 + 0.2) / 2)
    version = _client(uri).get_model_version_by_alias(REGISTERED, "best")
    assert _client(uri).get_run(version.run_id).data.tags["seed"] == "1"


def test_the_best_adapter_is_downloaded_from_the_registry(
    uri: str, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(tracking_settings(uri, paths))
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    folder = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{REGISTERED}@best", dst_path=str(tmp_path / "downloaded"), tracking_uri=uri
    )
    assert {path.name for path in Path(folder).iterdir()} == {"adapter_model.safetensors"}
    assert (Path(folder) / "adapter_model.safetensors").read_bytes() == b"lora-r4"


def test_a_better_adapter_becomes_the_best_and_what_is_gone_leaves_the_registry(
    uri: str, paths: list[Path], tmp_path: Path
) -> None:
    sync(tracking_settings(uri, paths))
    finished_run(tmp_path, "lora-r4", loss=3.0, finished_at="2024-05-16T13:00:00+00:00")
    sync(tracking_settings(uri, paths))
    client = _client(uri)
    (version,) = client.search_model_versions(f"name = '{REGISTERED}'")
    assert client.get_run(version.run_id).data.tags["arm"] == "lora-r8"
    assert client.get_registered_model(REGISTERED).aliases == {"best": version.version}


@pytest.mark.parametrize(("private", "registered"), [(False, 0), (True, 1)])
def test_adapters_of_credentialed_data_are_registered_in_a_private_store_only(
    uri: str, tmp_path: Path, private: bool, registered: int
) -> None:
    path = finished_run(tmp_path, "lora-r2", dataset="mimic-iii", loss=1.0)
    sync(tracking_settings(uri, [path], "mimic-iii", private))
    assert len(_client(uri).search_registered_models()) == registered
    (run,) = _shown(uri, "tags.kind = 'run'", "mimic-iii")
    assert run.data.tags["data"] == "credentialed"
    assert "credentialed data" in run.data.tags[DESCRIPTION]


def test_a_run_that_failed_is_shown_as_failed(uri: str, tmp_path: Path) -> None:
    path = finished_run(tmp_path, "lora-r2", loss=None, failure="the loss diverged at step 3")
    sync(tracking_settings(uri, [path]))
    (run,) = _shown(uri, "tags.kind = 'run'")
    assert (run.info.status, run.data.tags[REASON]) == ("FAILED", "the loss diverged at step 3")


def test_descriptions_say_what_the_numbers_are_not(uri: str, paths: list[Path]) -> None:
    sync(tracking_settings(uri, paths))
    experiment = _client(uri).get_experiment_by_name("simulated")
    texts = [run.data.tags[DESCRIPTION] for run in _shown(uri)] + [experiment.tags[DESCRIPTION]]
    assert len(texts) == 6
    assert all("stand-in" in text and "simulated" in text for text in texts)


def test_the_start_page_leads_to_the_best_rank_and_to_the_weights_of_the_chosen_adapter(
    uri: str, paths: list[Path]
) -> None:
    sync(tracking_settings(uri, paths))
    first, *_ = (text := _client(uri).get_experiment_by_name("simulated").tags[DESCRIPTION]).splitlines()
    assert first.startswith("**Best rank:** [heart rate](")
    assert "**Every run:** [heart rate](" in first
    (link,) = re.findall(r"\[lora-r4\]\(#/experiments/1/runs/(\w+)/artifacts/([\w/.]+)\?", text)
    assert [item.path for item in _client(uri).list_artifacts(link[0], "adapter")] == [link[1]]


def test_three_hundred_sweeps_fit_into_a_description(uri: str, paths: list[Path]) -> None:
    """Expected: MLflow refuses a longer tag of an experiment."""
    many = [Path(f"runs/explicit/heart_rate/model-{number}/full/seed0/run.json") for number in range(300)]
    sync(tracking_settings(uri, [*paths, *many[:3]]))
    from workflow_scripts.reporting.experiment_pages import experiment_description
    from workflow_scripts.reporting.sweeps import Sweep, sweep_keys

    keys = sweep_keys("simulated", many)
    text = experiment_description([Sweep(key, [], 1, {}, True) for key in keys], "1", "simulated")
    _client(uri).set_experiment_tag("1", DESCRIPTION, text)
    assert "more." in text


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Another program's open write transaction."""
    connection = sqlite3.connect(database)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()
