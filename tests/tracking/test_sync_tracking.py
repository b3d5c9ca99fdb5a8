"""MLflow is brought up to date with records on disk: in a real SQLite store, read back with MLflow's client."""

import getpass
import json
import multiprocessing
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.finished_runs import finished_run, tracking_settings
from tests.helpers.some_windows import some_windows
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import TrackingParameters
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking.mirror import DESCRIPTION, PARENT, SUPERSEDED_BY
from workflow_scripts.tracking.pages import Links, experiment_description
from workflow_scripts.tracking.store import open_experiment
from workflow_scripts.tracking.sweeps import Sweep
from workflow_scripts.windows.making import write_windows

ROOT = Path(__file__).parents[2]
REGISTERED = "chronos-t5-nano.heart_rate.explicit.simulated"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creating the schema takes seconds, so each test gets a copy."""
    folder = tmp_path_factory.mktemp("empty")
    with open_experiment(f"sqlite:///{folder}/mlflow.db", "another"):
        return folder / "mlflow.db"


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    shutil.copy(empty_store, tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A sweep: on validation rank 4 is best, on the test windows full fine-tuning."""
    return [
        finished_run(tmp_path, "zero-shot", mse=0.5),
        finished_run(tmp_path, "full", loss=4.0, mse=0.1),
        finished_run(tmp_path, "lora-r4", loss=2.0, mse=0.3),
        finished_run(tmp_path, "lora-r8", loss=2.5, mse=0.2),
    ]


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def _shown(uri: str, query: str = "", dataset: str = "simulated", deleted: bool = False) -> list[Any]:
    from mlflow.entities import ViewType

    client = _client(uri)
    experiment = client.get_experiment_by_name(dataset)
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    return list(client.search_runs([experiment.experiment_id], query, view))


def _state(uri: str) -> dict[str, object]:
    """Everything that MLflow shows of runs and models."""
    runs = {run.info.run_id: (run.to_dictionary()) for run in _shown(uri)}
    models = [dict(model.aliases) for model in _client(uri).search_registered_models()]
    return {"runs": runs, "models": models}


def test_missing_runs_are_made_from_their_records(uri: str, paths: list[Path]) -> None:
    assert sync(tracking_settings(uri, paths)) == {"experiment_id": "2", "runs": 4, "sweeps": 1}
    runs = {run.data.tags["arm"]: run for run in _shown(uri, "tags.kind = 'run'")}
    (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert set(runs) == {"zero-shot", "full", "lora-r4", "lora-r8"}
    assert {run.data.tags[PARENT] for run in runs.values()} == {sweep.info.run_id}
    run = runs["lora-r4"]
    assert (run.info.run_name, run.info.status) == ("chronos-t5-nano lora-r4, seed 0", "FINISHED")
    assert (
        run.data.metrics.items() >= {"mse": 0.3, "trainable_parameters": 6144, "validation_loss": 2.0}.items()
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
    assert (sweep.info.status, sweep.data.tags["recommended"], sweep.data.tags["runs"]) == (
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
    assert sweep.data.tags["recommended"] == "lora-r2"
    assert sweep.data.metrics["mse"] == pytest.approx((0.22 + 0.2) / 2)
    version = _client(uri).get_model_version_by_alias(REGISTERED, "recommended")
    assert _client(uri).get_run(version.run_id).data.tags["seed"] == "1"


def test_the_best_adapter_is_downloaded_from_the_registry(
    uri: str, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(tracking_settings(uri, paths))
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    folder = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{REGISTERED}@recommended",
        dst_path=str(tmp_path / "downloaded"),
        tracking_uri=uri,
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
    assert client.get_registered_model(REGISTERED).aliases == {"recommended": version.version}


def test_where_zero_shot_becomes_the_recommended_arm_the_alias_is_taken_away(
    uri: str, tmp_path: Path
) -> None:
    paths = [finished_run(tmp_path, "zero-shot"), finished_run(tmp_path, "lora-r4", loss=2.0)]
    sync(tracking_settings(uri, paths))
    assert list(_client(uri).get_registered_model(REGISTERED).aliases) == ["recommended"]
    finished_run(tmp_path, "lora-r4", loss=10.0, finished_at="2024-05-16T13:00:00+00:00")
    sync(tracking_settings(uri, paths))
    assert _client(uri).get_registered_model(REGISTERED).aliases == {}
    (sweep,) = _shown(uri, "tags.kind = 'sweep'")
    assert sweep.data.tags["recommended"] == "zero-shot"


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


def test_onsets_by_the_main_condition_are_metrics_of_a_run(uri: str, tmp_path: Path) -> None:
    path = finished_run(tmp_path, "lora-r2", loss=1.0)
    record = json.loads(path.read_text())
    names = {"event": "bradycardia", "population": "onset", "form": "at", "lead_minutes": 180}
    record["events"] = [
        names | {"condition": "< 50", "auroc": 0.875, "prevalence": 0.125, "brier": None},
        names | {"condition": "<= 40", "auroc": 0.75},
        names | {"condition": "< 50", "population": "state", "auroc": 0.5},
    ]
    path.write_text(json.dumps(record))
    sync(tracking_settings(uri, [path]))
    (run,) = _shown(uri, "tags.kind = 'run'")
    shown = {name: value for name, value in run.data.metrics.items() if name.startswith("event")}
    assert shown == {
        "events/bradycardia at 180 min/auroc": 0.875,
        "events/bradycardia at 180 min/prevalence": 0.125,
        "event_auroc": 0.875,
        "event_prevalence": 0.125,
    }


def test_a_run_that_failed_is_shown_as_failed(uri: str, tmp_path: Path) -> None:
    path = finished_run(tmp_path, "lora-r2", loss=None, failure="the loss diverged at step 3")
    sync(tracking_settings(uri, [path]))
    (run,) = _shown(uri, "tags.kind = 'run'")
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "the loss diverged at step 3")


def test_descriptions_say_what_the_numbers_are_not(uri: str, paths: list[Path]) -> None:
    sync(tracking_settings(uri, paths))
    experiment = _client(uri).get_experiment_by_name("simulated")
    texts = [run.data.tags[DESCRIPTION] for run in _shown(uri)] + [experiment.tags[DESCRIPTION]]
    assert len(texts) == 6
    assert all("Stand-in" in text and "simulated" in text for text in texts)


def test_the_start_page_leads_to_the_runs_and_to_the_weights_of_the_chosen_adapter(
    uri: str, paths: list[Path]
) -> None:
    sync(tracking_settings(uri, paths))
    first, *_ = (text := _client(uri).get_experiment_by_name("simulated").tags[DESCRIPTION]).splitlines()
    assert first.startswith("**Every run:** [heart rate](")
    (link,) = re.findall(r"\[lora-r4\]\(#/experiments/2/runs/(\w+)/artifacts/([\w/.]+)\?", text)
    assert link[1] in [item.path for item in _client(uri).list_artifacts(link[0])]
    assert "| 4&emsp;| 0.3&emsp;|" in text


def test_three_hundred_sweeps_fit_into_a_description(uri: str, paths: list[Path]) -> None:
    """Expected: MLflow refuses a longer tag of an experiment."""
    sync(tracking_settings(uri, paths))
    many = [Sweep("simulated", "explicit", "heart_rate", f"model-{number}") for number in range(300)]
    text = experiment_description("simulated", many, Links("2", {}))
    _client(uri).set_experiment_tag("2", DESCRIPTION, text)
    assert "more." in text


def test_a_run_is_read_back_whole(uri: str, paths: list[Path], tmp_path: Path) -> None:
    record = json.loads(paths[2].read_text())
    record["settings"] = {"training": {"steps": 200, "levels": [0.1, 0.5]}}
    record["training"]["validation_loss"] = [[20, 1.5], [30, None], [40, 0.75]]
    record["metrics"]["mape"] = None
    paths[2].write_text(json.dumps(record))
    sync(tracking_settings(uri, paths))
    (run,) = _shown(uri, "tags.arm = 'lora-r4'")
    (seen,) = run.inputs.dataset_inputs
    assert seen.dataset.name == "simulated · explicit · heart rate"
    assert json.loads(seen.dataset.profile)["test_windows"] == 120
    assert run.data.tags["vitalora.key"] == (
        "arm=lora-r4/cohort=explicit/dataset=simulated/model=chronos-t5-nano/seed=0/vital=heart_rate"
    )
    assert "git_commit" not in run.data.tags
    settings = {"training.steps": "200", "training.levels": "[0.1, 0.5]", "rank": "4", "arm": "lora-r4"}
    assert run.data.params.items() >= settings.items()
    assert "mape" not in run.data.metrics
    history = _client(uri).get_metric_history(run.info.run_id, "validation_loss")
    assert [(point.step, point.value) for point in history] == [(20, 1.5), (40, 0.75)]
    assert run.info.artifact_uri == f"{tmp_path}/mlartifacts/simulated/{run.info.run_id}/artifacts"


def test_the_error_at_each_step_of_the_horizon_is_a_curve(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Expected: every target is 10 above the last value, and the median k above it at step k."""
    windows = some_windows()
    write_windows(tmp_path / "windows/explicit/heart_rate.parquet", windows)
    test = windows.select("test")
    forecasts = np.repeat(test.context[:, -1:, None] + np.arange(1, 13, dtype=np.float32), 3, axis=1)
    paths = [finished_run(tmp_path, arm, loss=1.0) for arm in ("lora-r2", "lora-r4")]
    for path, ids in zip(paths, (test.window_id, test.window_id + 1), strict=True):
        write_forecasts(path.with_name("forecasts.parquet"), ids, forecasts, [0.1, 0.5, 0.9])
    sync(tracking_settings(uri, paths), tmp_path / "windows")
    (run,) = _shown(uri, "tags.arm = 'lora-r2'")
    points = _client(uri).get_metric_history(run.info.run_id, "mae_by_horizon_step")
    assert {point.step: point.value for point in points} == pytest.approx(
        {step: abs(10 - step) for step in range(1, 13)}, abs=1e-4
    )
    (other,) = _shown(uri, "tags.arm = 'lora-r4'")
    assert "mae_by_horizon_step" not in other.data.metrics
    assert "forecasts of other windows" in caplog.text


def test_a_curve_of_two_thousand_points_is_read_back_whole(uri: str, paths: list[Path]) -> None:
    record = json.loads(paths[2].read_text())
    record["training"]["train_loss"] = curve = [[step, 1 / (step + 1)] for step in range(2000)]
    paths[2].write_text(json.dumps(record))
    sync(tracking_settings(uri, paths))
    (run,) = _shown(uri, "tags.arm = 'lora-r4'")
    history = _client(uri).get_metric_history(run.info.run_id, "train_loss")
    assert [[point.step, point.value] for point in history] == curve


def test_no_host_or_user_is_recorded(uri: str, paths: list[Path]) -> None:
    sync(tracking_settings(uri, paths))
    for run in _shown(uri):
        assert socket.gethostname() not in " ".join([*run.data.tags.values(), *run.data.params.values()])
        assert run.info.user_id != getpass.getuser()


def test_a_table_beside_an_adapter_is_not_stored(uri: str, paths: list[Path], tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.csv", "model.pkl"):
        (paths[2].parent / "adapter" / name).write_bytes(b"rows")
    sync(tracking_settings(uri, paths))
    (run,) = _shown(uri, "tags.arm = 'lora-r4'")
    names = [item.path for item in _client(uri).list_artifacts(run.info.run_id, "adapter")]
    assert names == ["adapter/adapter_model.safetensors"]
    archive = _client(uri).download_artifacts(run.info.run_id, "adapter.zip", str(tmp_path))
    assert zipfile.ZipFile(archive).namelist() == ["adapter/adapter_model.safetensors"]


def test_an_adapter_is_one_archive_that_holds_its_whole_folder(
    uri: str, paths: list[Path], tmp_path: Path
) -> None:
    """Source: the files of the run's own folder. A whole model is not stored twice."""
    adapter = paths[2].parent / "adapter"
    for name in ("adapter_config.json", "arm.json", "README.md", "vitalora.json"):
        (adapter / name).write_text(f"content of {name}")
    sync(tracking_settings(uri, paths))
    for arm, expected in (("lora-r4", True), ("full", False), ("zero-shot", False)):
        (run,) = _shown(uri, f"tags.arm = '{arm}'")
        stored = [item.path for item in _client(uri).list_artifacts(run.info.run_id)]
        assert ("adapter.zip" in stored) == expected, arm
    (run,) = _shown(uri, "tags.arm = 'lora-r4'")
    (tmp_path / "downloads").mkdir()
    archive = _client(uri).download_artifacts(run.info.run_id, "adapter.zip", str(tmp_path / "downloads"))
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    unpacked = {path.name: path.read_bytes() for path in (tmp_path / "unpacked" / "adapter").iterdir()}
    assert unpacked == {path.name: path.read_bytes() for path in adapter.glob("[!.]*")}


def test_a_changed_record_supersedes_its_run_whose_artifacts_are_removed(
    uri: str, paths: list[Path], tmp_path: Path
) -> None:
    sync(tracking_settings(uri, paths))
    (before,) = _shown(uri, "tags.arm = 'lora-r4'")
    finished_run(tmp_path, "lora-r4", loss=1.5, mse=0.7)
    sync(tracking_settings(uri, paths))
    (after,) = _shown(uri, "tags.arm = 'lora-r4'")
    assert (after.data.metrics["mse"], before.data.metrics["mse"]) == (0.7, 0.3)
    (deleted,) = _shown(uri, "tags.kind = 'run'", deleted=True)
    assert deleted.info.run_id == before.info.run_id
    assert deleted.data.tags[SUPERSEDED_BY] == after.info.run_id
    stored = {path.name for path in (tmp_path / "mlartifacts/simulated").iterdir()}
    assert (before.info.run_id in stored, after.info.run_id in stored) == (False, True)


def test_a_deleted_record_takes_its_run_along_and_no_other(
    uri: str, paths: list[Path], tmp_path: Path
) -> None:
    sync(tracking_settings(uri, paths))
    shutil.rmtree(paths[2].parent)
    # Another rank is no longer in the study; its record is there still.
    sync(tracking_settings(uri, paths[:3]))
    assert {run.data.tags["arm"] for run in _shown(uri, "tags.kind = 'run'")} == {
        "zero-shot",
        "full",
        "lora-r8",
    }
    assert [run.data.tags["arm"] for run in _shown(uri, "tags.kind = 'run'", deleted=True)] == ["lora-r4"]
    shutil.rmtree(tmp_path / "runs")
    sync(tracking_settings(uri, [tmp_path / "runs/explicit/heart_rate/moirai-nano/full/seed0/run.json"]))
    assert [run.data.tags["model"] for run in _shown(uri)] == ["moirai-nano"]


@pytest.mark.parametrize("failing", ["log_batch", "log_inputs", "log_artifact", "set_terminated"])
def test_what_was_interrupted_is_completed_and_shown_once(
    uri: str, paths: list[Path], failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def end(*_arguments: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, failing, end)
        with pytest.raises(KeyboardInterrupt):
            sync(tracking_settings(uri, paths))
    sync(tracking_settings(uri, paths))
    runs = _shown(uri, "tags.kind = 'run'")
    assert sorted(run.data.tags["arm"] for run in runs) == ["full", "lora-r4", "lora-r8", "zero-shot"]
    assert {run.info.status for run in _shown(uri)} == {"FINISHED"}
    assert all({"mse", "total_seconds"} <= set(run.data.metrics) for run in runs)
    assert len(_client(uri).search_registered_models()) == 1


def test_two_at_once_on_a_fresh_store_write_each_run_once(paths: list[Path], tmp_path: Path) -> None:
    settings = tracking_settings(f"sqlite:///{tmp_path}/fresh/mlflow.db", paths)
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=sync, args=(settings,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(_shown(settings["tracking"]["uri"])) == 5
    assert _shown(settings["tracking"]["uri"], deleted=True) == []


def test_a_deleted_experiment_comes_back(uri: str, paths: list[Path]) -> None:
    shown = sync(tracking_settings(uri, paths))
    _client(uri).delete_experiment(shown["experiment_id"])
    assert sync(tracking_settings(uri, paths)) == shown
    assert len(_shown(uri, "tags.kind = 'run'")) == 4


@pytest.mark.parametrize("keep", [False, True], ids=["moved", "copied"])
def test_artifacts_follow_a_project_that_was_moved_or_copied(
    uri: str, paths: list[Path], tmp_path: Path, keep: bool
) -> None:
    sync(tracking_settings(uri, paths))
    (before,) = _shown(uri, "tags.arm = 'lora-r4'")
    other = tmp_path.with_name(f"{tmp_path.name} elsewhere; $(touch hit)")
    shutil.copytree(tmp_path, other)
    if not keep:
        shutil.rmtree(tmp_path)
    address = f"sqlite:///{other}/mlflow.db"
    moved = [other / path.relative_to(tmp_path) for path in paths]
    sync(tracking_settings(address, moved))
    (run,) = _shown(address, "tags.arm = 'lora-r4'")
    path = _client(address).download_artifacts(run.info.run_id, "adapter/adapter_model.safetensors")
    assert run.info.artifact_uri.startswith(str(other))
    assert Path(path).read_bytes() == b"lora-r4"
    stored = {path.name for path in (other / "mlartifacts/simulated").iterdir()}
    assert stored == {run.info.run_id for run in _shown(address, "tags.kind = 'run'")}
    assert tmp_path.exists() == keep
    if keep:
        assert _shown(uri, "tags.arm = 'lora-r4'")[0].info.run_id == before.info.run_id
        assert (tmp_path / "mlartifacts/simulated" / before.info.run_id).exists()
    before_second = _state(address)
    sync(tracking_settings(address, moved))
    assert _state(address) == before_second


@pytest.mark.parametrize(
    "address", ["sqlite:////proc/no/mlflow.db", "http://127.0.0.1:9", "nonsense://store"]
)
def test_a_store_that_is_not_there_is_one_message(
    address: str, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=re.escape(f"tracking store {address}")):
        sync(tracking_settings(address, paths))


def test_a_password_in_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError) as failure, open_experiment("http://me:secret@127.0.0.1:9", "simulated"):
        pass
    assert "secret" not in str(failure.value)


def test_without_an_address_nothing_is_tracked_and_mlflow_is_not_imported(paths: list[Path]) -> None:
    program = (
        "import json, sys\n"
        "from workflow_scripts.steps.sync_tracking import sync\n"
        "assert sync(json.loads(sys.argv[1]))['runs'] == 0\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    settings = json.dumps(tracking_settings("", paths))
    subprocess.run([sys.executable, "-c", program, settings], check=True, cwd=ROOT)


@pytest.mark.parametrize("step", ["run_arm", "evaluate_transfer"])
def test_jobs_leave_mlflow_alone(step: str) -> None:
    program = (
        f"import sys, workflow_scripts.steps.{step}\n"
        "assert not [name for name in sys.modules if name.startswith(('mlflow', 'workflow_scripts.tracking'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_bare_mlflow_ui_shows_the_default_store() -> None:
    """Expected: what MLflow itself takes where no address is given."""
    from mlflow.store.tracking import DEFAULT_TRACKING_URI

    assert TrackingParameters().uri == DEFAULT_TRACKING_URI


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


@pytest.mark.acceptance
def test_a_locked_store_is_one_message_and_repaired_afterwards(
    uri: str, paths: list[Path], tmp_path: Path
) -> None:
    with _locked(tmp_path / "mlflow.db"), pytest.raises(UserError, match="locked"):
        sync(tracking_settings(uri, paths))
    sync(tracking_settings(uri, paths))
    assert len(_shown(uri, "tags.kind = 'run'")) == 4


def test_a_damaged_database_is_one_message(uri: str, paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match="move a damaged database aside"):
        sync(tracking_settings(uri, paths))
