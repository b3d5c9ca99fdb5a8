"""MLflow runs, in a real SQLite store, read back with MLflow's own client."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import TrackingParameters
from workflow_scripts.tracking import TrackedRun, track_run
from workflow_scripts.tracking.contents import DataSet
from workflow_scripts.tracking.lifecycle import close_lost_runs
from workflow_scripts.tracking.mirror import Mirror
from workflow_scripts.tracking.names import DESCRIPTION, KEY, PARENT, REASON, SUPERSEDED_BY
from workflow_scripts.tracking.store import initialise

REPOSITORY = Path(__file__).resolve().parents[2]
IDENTITY = {"dataset": "simulated", "cohort": "explicit", "vital": "heart_rate", "model": "nano"}
EXPERIMENT = "simulated"

FORKED_JOBS = """
# Forks as many jobs as each line of the input asks for; they meet at the store and not in the imports.
import os, sys, time
import threading
from workflow_scripts.tracking import track_run
from workflow_scripts.tracking.client import preload

preload("sqlite:///any.db")
assert threading.active_count() == 1 and not os.path.exists("any.db")

def job(uri, seed, seconds):
    key = {"dataset": "simulated", "cohort": "explicit", "vital": "heart_rate", "model": "nano",
           "arm": "full", "seed": seed}
    with track_run(uri, key, parameters={"training": {"steps": 200}}) as run:
        os.write(1, f"started {os.getpid()}\\n".encode())
        time.sleep(seconds)
        run.finish(metrics={"mse": 0.5}, curves={"train_loss": [[step, 1 / (step + 1)] for step in range(50)]})
    return len(run.problems)

def fork(uri, seed, seconds):
    child = os.fork()
    if child == 0:
        try:
            os._exit(job(uri, seed, seconds))
        except SystemExit as ended:
            os._exit(ended.code)
        except BaseException:
            os._exit(99)
    return child

for line in sys.stdin:
    uri, seconds, *seeds = line.split()
    children = [fork(uri, seed, float(seconds)) for seed in seeds]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print("ended", *codes, flush=True)
"""


class Jobs:
    """Starts jobs in a process that has imported MLflow already."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKED_JOBS],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, uri: str, seconds: float, seeds: Sequence[int]) -> list[int]:
        """Return the process numbers of the jobs, one for each seed, once all have begun their runs."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{uri} {seconds} {' '.join(map(str, seeds))}\n")
        self.process.stdin.flush()
        return [int(self._line("started")[0]) for _ in seeds]

    def wait(self) -> list[int]:
        """Return the jobs' exit codes."""
        return [int(code) for code in self._line("ended")]

    def _line(self, expected: str) -> list[str]:
        assert self.process.stdout is not None
        word, *values = self.process.stdout.readline().split()
        assert word == expected
        return values


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    started = Jobs()
    yield started
    started.process.communicate(timeout=30)


def _key(arm: str = "full", seed: int = 0) -> dict[str, Any]:
    return {**IDENTITY, "arm": arm, "seed": seed}


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creating the schema takes seconds, so the step does it once, and each test gets a copy."""
    folder = tmp_path_factory.mktemp("store")
    runs = [f"runs/explicit/heart_rate/nano/{arm}/seed0/run.json" for arm in ("full", "lora-r2")]
    (folder / "settings.json").write_text(json.dumps({"code": "", "parameters": {"runs": runs}}))
    command = [sys.executable, "-m", "workflow_scripts.steps.init_tracking", "--dataset", EXPERIMENT]
    command += ["--settings", "settings.json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    options = ["--uri", TrackingParameters().uri]
    subprocess.run([*command, *options], check=True, cwd=folder, env=environment)
    return folder


@pytest.fixture
def uri(made_store: Path, tmp_path: Path) -> str:
    shutil.copytree(made_store, tmp_path, dirs_exist_ok=True)
    address = f"sqlite:///{tmp_path}/mlflow.db"
    initialise(address, EXPERIMENT)  # The folder was moved.
    return address


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def _runs(uri: str, view: str = "ACTIVE_ONLY") -> list[Any]:
    from mlflow.entities import ViewType

    client = _client(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    view_type = getattr(ViewType, view)
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'run'", run_view_type=view_type))


def test_a_run_is_read_back_whole(uri: str, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    figure = tmp_path / "example.png"
    figure.write_bytes(b"picture")
    tags = {"rank": 2, "git_commit": None, "hashes": {"code": "abc"}}
    with track_run(uri, _key("lora-r2"), tags, {"training": {"steps": 200, "levels": [0.1, 0.5]}}) as tracked:
        assert _runs(uri)[0].info.status == "RUNNING"
        tracked.finish(
            metrics={"mse": 0.25, "mape": None},
            curves={"validation_loss": [[20, 1.5], [30, None], [40, 0.75]]},
            artifacts={"adapter": adapter, "figures": figure, "absent": tmp_path / "absent"},
            tags={"family": "chronos"},
            parameters={"trainable": 24},
            description="What it **is**",
            dataset=DataSet("simulated · heart rate", "ab" * 32, "windows.parquet", {"test_windows": 7}),
        )
    assert tracked.problems == []
    (run,) = _runs(uri)
    assert run.info.run_id == tracked.run_id
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "lora-r2, seed 0"
    assert run.data.tags[DESCRIPTION] == "What it **is**"
    (seen,) = run.inputs.dataset_inputs
    assert (seen.dataset.name, seen.dataset.profile) == ("simulated · heart rate", '{"test_windows": 7}')
    expected = {"cohort": "explicit", "arm": "lora-r2", "seed": "0", "rank": "2", "hashes.code": "abc"}
    assert run.data.tags.items() >= {**expected, "family": "chronos"}.items()
    assert "git_commit" not in run.data.tags
    assert (
        run.data.tags[KEY]
        == "arm=lora-r2/cohort=explicit/dataset=simulated/model=nano/seed=0/vital=heart_rate"
    )
    assert run.data.params == {"training.steps": "200", "training.levels": "[0.1, 0.5]", "trainable": "24"}
    assert run.data.metrics == {"mse": 0.25, "validation_loss": 0.75}
    client = _client(uri)
    history = client.get_metric_history(run.info.run_id, "validation_loss")
    assert [(point.step, point.value) for point in history] == [(20, 1.5), (40, 0.75)]
    stored = Path(client.download_artifacts(run.info.run_id, "adapter/adapter_model.safetensors"))
    assert stored.read_bytes() == b"weights"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "figures")] == [
        "figures/example.png"
    ]
    assert run.info.artifact_uri == f"{tmp_path}/mlartifacts/{EXPERIMENT}/{run.info.run_id}/artifacts"


def test_no_host_or_user_is_recorded(uri: str) -> None:
    import getpass
    import socket

    with track_run(uri, _key()):
        pass
    (run,) = _runs(uri)
    texts = " ".join([*run.data.tags.values(), *run.data.params.values()])
    assert socket.gethostname() not in texts
    assert run.info.user_id != getpass.getuser()


def test_initialising_again_changes_nothing(uri: str) -> None:
    with track_run(uri, _key()):
        pass
    first = _client(uri).get_experiment_by_name(EXPERIMENT)
    assert initialise(uri, EXPERIMENT) == first.experiment_id
    assert len(_runs(uri)) == 1


def test_a_deleted_experiment_comes_back(uri: str) -> None:
    client = _client(uri)
    identifier = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.delete_experiment(identifier)
    assert initialise(uri, EXPERIMENT) == identifier
    assert client.get_experiment(identifier).lifecycle_stage == "active"


def test_a_second_run_of_a_key_supersedes_the_first(uri: str) -> None:
    with track_run(uri, _key()) as first, track_run(uri, _key(seed=1)):
        pass
    with track_run(uri, _key()) as second:
        second.finish(metrics={"mse": 1.0})
    shown = {run.data.tags["seed"]: run.info.run_id for run in _runs(uri)}
    assert shown["0"] == second.run_id
    assert len(shown) == len(_runs(uri)) == 2
    (deleted,) = _runs(uri, "DELETED_ONLY")
    assert deleted.info.run_id == first.run_id
    assert deleted.data.tags[SUPERSEDED_BY] == second.run_id


def test_artifacts_of_a_superseded_run_are_removed(uri: str, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("kept")
    with track_run(uri, _key()) as first:
        first.finish(artifacts={"notes": note})
    with track_run(uri, _key()) as second:
        second.finish(artifacts={"notes": note})
    assert [path.name for path in (tmp_path / "mlartifacts" / EXPERIMENT).iterdir()] == [second.run_id]


def test_a_run_lies_below_the_sweep_that_was_made_before(uri: str) -> None:
    (sweep,) = _client(uri).search_runs(["1"], "tags.kind = 'sweep'")
    assert (sweep.info.run_name, sweep.info.status) == ("nano · heart rate · explicit", "SCHEDULED")
    with track_run(uri, _key()):
        pass
    assert _runs(uri)[0].data.tags[PARENT] == sweep.info.run_id


def test_making_the_sweeps_again_makes_none(uri: str) -> None:
    mirror = Mirror(uri, "1")
    mirror.add_sweeps([IDENTITY])
    assert (len(mirror.sweeps), mirror.written) == (1, 0)


def test_a_run_whose_contents_tell_of_a_failure_has_failed(uri: str) -> None:
    with track_run(uri, _key()) as run:
        run.finish(metrics={"mse": None}, failure="every loss diverged")
    (shown,) = _runs(uri)
    assert (shown.info.status, shown.data.tags[REASON]) == ("FAILED", "every loss diverged")


def test_a_failure_is_recorded_without_its_text(uri: str) -> None:
    with pytest.raises(ValueError, match="12345"), track_run(uri, _key()):
        raise ValueError("bad value for subject 12345")
    (run,) = _runs(uri)
    assert run.info.status == "FAILED"
    assert run.data.tags[REASON].startswith("ValueError in test_tracking.py, line ")
    assert "12345" not in str(run.data.tags)


def test_a_user_error_is_recorded_with_what_was_found(uri: str) -> None:
    with pytest.raises(UserError), track_run(uri, _key()):
        raise UserError("weights/nano", "no such folder", "a folder", "run pretrain")
    (run,) = _runs(uri)
    assert (run.info.status, run.data.tags[REASON]) == ("FAILED", "weights/nano: no such folder")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_asked_to_end_is_recorded_as_killed(
    uri: str, jobs: Jobs, number: signal.Signals
) -> None:
    (job,) = jobs.start(uri, 60, [0])
    os.kill(job, number)
    assert jobs.wait() == [143 if number == signal.SIGTERM else 99]
    (run,) = _runs(uri)
    assert run.info.status == "KILLED"


def test_a_job_killed_at_once_does_not_stay_running(uri: str, jobs: Jobs) -> None:
    (job,) = jobs.start(uri, 60, [0])
    assert close_lost_runs(uri, EXPERIMENT) == 0
    os.kill(job, signal.SIGKILL)
    assert jobs.wait() == [-signal.SIGKILL]
    assert [run.info.status for run in _runs(uri)] == ["RUNNING"]
    assert close_lost_runs(uri, EXPERIMENT) == 1
    (run,) = _runs(uri)
    assert (run.info.status, run.data.tags[REASON]) == ("KILLED", "the process ended without a word")
    assert close_lost_runs(uri, EXPERIMENT) == 0


def test_a_rerun_replaces_a_lost_run(uri: str, jobs: Jobs) -> None:
    (job,) = jobs.start(uri, 60, [0])
    os.kill(job, signal.SIGKILL)
    jobs.wait()
    with track_run(uri, _key()):
        pass
    assert [run.info.status for run in _runs(uri)] == ["FINISHED"]
    assert [run.info.status for run in _runs(uri, "DELETED_ONLY")] == ["KILLED"]


def test_of_two_runs_of_a_key_at_once_the_later_one_stays(uri: str) -> None:
    with track_run(uri, _key()) as earlier, track_run(uri, _key()) as later:
        later.finish(metrics={"mse": 1.0})
        earlier.finish(metrics={"mse": 2.0})
    assert (len(earlier.problems) > 0, later.problems) == (True, [])
    (run,) = _runs(uri)
    assert (run.info.run_id, run.info.status, run.data.metrics) == (later.run_id, "FINISHED", {"mse": 1.0})
    (deleted,) = _runs(uri, "DELETED_ONLY")
    assert (deleted.info.run_id, deleted.info.status) == (earlier.run_id, "KILLED")


def test_of_six_runs_of_a_key_at_once_exactly_one_stays(uri: str, jobs: Jobs) -> None:
    jobs.start(uri, 0, [0] * 6)
    jobs.wait()
    assert [run.info.status for run in _runs(uri)] == ["FINISHED"]
    assert len(_runs(uri, "DELETED_ONLY")) == 5
    assert not any(run.info.status == "RUNNING" for run in _runs(uri, "DELETED_ONLY"))


def test_eight_jobs_start_at_once_on_a_fresh_store(uri: str, jobs: Jobs) -> None:
    jobs.start(uri, 0, range(8))
    assert jobs.wait() == [0] * 8
    runs = _runs(uri)
    assert sorted(run.data.tags["seed"] for run in runs) == [str(seed) for seed in range(8)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = _client(uri)
    for run in runs:
        assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 50


def test_a_curve_of_two_thousand_points_is_read_back_whole(uri: str) -> None:
    curve = [[step, 1 / (step + 1)] for step in range(2000)]
    with track_run(uri, _key()) as run:
        run.finish(curves={"train_loss": curve})
    history = _client(uri).get_metric_history(run.run_id, "train_loss")
    assert [[point.step, point.value] for point in history] == curve


def test_a_data_set_that_another_run_records_at_the_same_moment_is_shown_nonetheless(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    log_inputs, runs = SqlAlchemyStore.log_inputs, []

    def log_inputs_too_late(store: Any, run_id: str, *inputs: Any, **named: Any) -> None:
        """MLflow has found no such data set, and when it writes it, another run has written it."""
        runs.append(run_id)
        if len(runs) == 1:
            raise MlflowException("duplicate key value violates unique constraint", error_code=BAD_REQUEST)
        log_inputs(store, run_id, *inputs, **named)

    monkeypatch.setattr(SqlAlchemyStore, "log_inputs", log_inputs_too_late)
    with track_run(uri, _key("lora-r2")) as tracked:
        tracked.finish(dataset=DataSet("simulated", "ab" * 16, "windows.parquet"))
    assert tracked.problems == []
    assert runs == [tracked.run_id] * 2
    (run,) = _runs(uri)
    assert len(run.inputs.dataset_inputs) == 1


def test_tables_are_refused_as_artifacts(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "forecasts.parquet").write_bytes(b"rows")
    with track_run(uri, _key()) as run:
        run.finish(metrics={"mse": 1.0}, artifacts={"results": tmp_path / "run"})
    assert _client(uri).list_artifacts(run.run_id) == []
    assert "never stored in MLflow" in caplog.text
    assert _runs(uri)[0].info.status == "FINISHED"


def test_a_store_that_breaks_in_the_middle_does_not_stop_the_work(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = False
    with track_run(uri, _key()) as run:
        (tmp_path / "mlflow.db").rename(tmp_path / "away.db")
        (tmp_path / "mlflow.db").write_bytes(b"this is no database")
        run._client._tracking_client.store.engine.dispose()
        run.finish(metrics={"mse": 1.0})
        done = True
    assert done
    assert [problem.partition(":")[0] for problem in run.problems] == ["logging results", "ending the run"]
    assert [record.levelno for record in caplog.records if "run.json" in record.message] == [
        logging.WARNING
    ] * 2


@pytest.mark.parametrize("address", ["sqlite:////proc/no/mlflow.db", "http://127.0.0.1:9"])
def test_a_store_that_is_not_there_does_not_stop_the_work(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with track_run(address, _key()) as run:
        run.finish(metrics={"mse": 1.0})
    assert run.run_id is None
    assert len(run.problems) == 1
    assert close_lost_runs(address, EXPERIMENT) == 0
    with pytest.raises(UserError, match="tracking store"):
        initialise(address, EXPERIMENT)


def test_a_password_in_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError) as failure:
        initialise("http://me:secret@127.0.0.1:9", EXPERIMENT)
    assert "secret" not in str(failure.value)


def test_without_an_address_nothing_is_tracked_and_mlflow_is_not_imported() -> None:
    program = (
        "import sys\n"
        "from workflow_scripts.tracking import track_run\n"
        "with track_run('', {'dataset': 'simulated', 'arm': 'full', 'seed': 0}) as run:\n"
        "    run.finish(metrics={'mse': 1.0})\n"
        "assert run.run_id is None and run.problems == []\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_libraries_that_mlflow_went_without_work_afterwards(uri: str) -> None:
    program = (
        "import sys\n"
        "from workflow_scripts.tracking import track_run\n"
        "with track_run(sys.argv[1], {'dataset': 'simulated', 'arm': 'full', 'seed': 0}) as run:\n"
        "    run.finish(metrics={'mse': 1.0})\n"
        "assert not run.problems and 'pandas' not in sys.modules\n"
        "import pandas, pyarrow\n"
        "assert pyarrow.table({'a': [1, 2]}).to_pandas().a.sum() == 3\n"
    )
    subprocess.run([sys.executable, "-c", program, uri], check=True, cwd=REPOSITORY)


def test_artifacts_follow_a_project_that_was_moved(uri: str, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("kept")
    with track_run(uri, _key()) as run:
        run.finish(artifacts={"notes": note})
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    address = f"sqlite:///{moved}/mlflow.db"
    initialise(address, EXPERIMENT)
    assert Path(_client(address).download_artifacts(run.run_id, "notes/note.txt")).read_text() == "kept"
    with track_run(address, _key(seed=1)) as later:
        later.finish(artifacts={"notes": moved / "note.txt"})
    assert later.problems == []
    assert not tmp_path.exists()


def test_the_step_makes_the_experiment_and_leaves_nothing_but_the_store(made_store: Path) -> None:
    assert _client(f"sqlite:///{made_store}/mlflow.db").get_experiment_by_name(EXPERIMENT) is not None
    assert {path.name for path in made_store.iterdir()} == {"mlflow.db", "mlflow.db.lock", "settings.json"}


def test_an_address_that_mlflow_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match="tracking store nonsense://store"):
        initialise("nonsense://store", EXPERIMENT)


def test_a_bare_mlflow_ui_shows_the_default_store() -> None:
    """Expected: what MLflow itself takes where no address is given."""
    from mlflow.store.tracking import DEFAULT_TRACKING_URI

    assert TrackingParameters().uri == DEFAULT_TRACKING_URI


def test_a_tracked_run_without_a_store_ignores_results() -> None:
    run = TrackedRun("")
    run.finish(metrics={"mse": 1.0})
    assert (run.run_id, run.problems) == (None, [])
