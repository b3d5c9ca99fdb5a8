"""Part of the tiny study on a real Slurm of two nodes, while a job is killed, a node drained and a node lost.

The same runs were made by the local study; nothing but times and memory may differ.
"""

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.same_results import Placement, different_files, placement
from tests.cluster.slurm_cluster import SlurmCluster, running
from tests.helpers.shared_studies import finished_study

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

RUNS = Path("results/simulated/runs/sepsis3/heart_rate")
TRAINED = ("lag-llama-nano/lora-r1", "moirai-nano/full", "moirai-nano/lora-r1")
BASELINE = "persistence/baseline"
TRACKING = "results/simulated/summary/tracking.json"
SNAKEMAKE = (
    *("snakemake", "--profile", "profiles/slurm", "--set-threads", "adapt_and_forecast=1"),
    *("--group-components", "runs=1", "baselines=1"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
)
"""The command of docs/cluster.md; one run a job, few threads on this machine's few cores, and quick looks."""
LONGEST_WAIT = 300


@dataclass(frozen=True)
class Submitted:
    """What came of the study on the cluster, and what was seen meanwhile.

    killed: the job whose training was killed. beside: the job on the same node. visible: what each of the two had as
    CUDA_VISIBLE_DEVICES. lost: the job that ran on the node that went down. jobs: Slurm's records. tracked: MLflow's.
    """

    project: Path
    output: str
    killed: str
    beside: str
    visible: tuple[str, str]
    lost: str
    jobs: dict[str, dict[str, str]]
    tracked: list[Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    if reason := cluster.prepare():
        pytest.skip(reason)
    with running(cluster):
        yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, cluster: SlurmCluster) -> Path:  # noqa: ARG001
    """The tiny study, finished on this machine; not asked for where there is no cluster."""
    return finished_study(tmp_path_factory)


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory, local: Path, cluster: SlurmCluster) -> Submitted:
    folder = tmp_path_factory.mktemp("submitted")
    project = shutil.copytree(local, folder / "project", symlinks=True)
    for name in (*TRAINED, BASELINE):
        shutil.rmtree(project / RUNS / name)
    (project / "mlflow.db").unlink()
    cluster.set_node(2, "DRAIN")
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [*SNAKEMAKE, "--", "runs", TRACKING],
            cwd=project,
            env={**os.environ, **cluster.environment},
            stdout=output,
            stderr=output,
        )
    try:
        seen = disturb(cluster, project, process)
        assert process.wait(LONGEST_WAIT) == 0, (folder / "output").read_text()
    except BaseException:
        print((folder / "output").read_text())
        raise
    finally:
        process.kill()
    jobs = {job["JobId"]: job for job in cluster.jobs()}
    tracked = tracked_runs(f"sqlite:///{project}/mlflow.db")
    return Submitted(project, (folder / "output").read_text(), *seen, jobs, tracked)


def disturb(
    cluster: SlurmCluster, project: Path, process: subprocess.Popen[bytes]
) -> tuple[str, str, tuple[str, str], str]:
    """Kill a training, drain its node, open the other, let that fail, and open it again."""

    def until(look: Callable[[], Any]) -> Any:
        end = time.monotonic() + LONGEST_WAIT
        while not (found := look()):
            assert process.poll() is None, "Snakemake has ended before it was disturbed"
            assert time.monotonic() < end, cluster.jobs()
            time.sleep(0.2)
        return found

    # Who is looked at stands still, so that nothing depends on speed.
    first = until(lambda: training_on("node1", project))
    first.suspend()
    second = until(lambda: training_on("node1", project, first))
    second.suspend()
    visible = (first.environ()["CUDA_VISIBLE_DEVICES"], second.environ()["CUDA_VISIBLE_DEVICES"])
    killed, beside = (training.environ()["SLURM_JOB_ID"] for training in (first, second))
    second.resume()
    cluster.set_node(1, "DRAIN")
    first.kill()
    cluster.set_node(2, "RESUME")
    third = until(lambda: training_on("node2", project))
    third.suspend()
    lost = third.environ()["SLURM_JOB_ID"]
    cluster.set_node(2, "DOWN")
    elsewhere = [job["JobId"] for job in cluster.jobs() if job["NodeList"] != "node1"]
    until(lambda: not any(f"[{job}." in title for job in elsewhere for title in job_managers()))
    cluster.set_node(2, "RESUME")
    # Slurm would let jobs of a lost node wait for two minutes.
    for waiting in until(lambda: [job["JobId"] for job in cluster.jobs() if job["Reason"] == "BeginTime"]):
        cluster.tell("scontrol", "update", f"JobId={waiting}", "StartTime=now")
    return killed, beside, visible, lost


def training_on(node: str, project: Path, *others: psutil.Process) -> psutil.Process | None:
    """A process of this study that trains on a node at this moment, other than those."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            trains = "run_arm" in words and "baseline" not in words and process not in others
            here = trains and process.environ().get("SLURMD_NODENAME") == node
            if here and Path(process.cwd()) == project:
                return process
    return None


def job_managers() -> list[str]:
    """What the processes by which Slurm runs a job's steps call themselves: `slurmstepd: [4.0]`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += [word for word in process.cmdline() if word.startswith("slurmstepd: ")]
    return found


def tracked_runs(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("simulated")
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'run'"))


def test_results_equal_the_local_run_s_byte_for_byte(submitted: Submitted, local: Path) -> None:
    runs = tuple(f"{RUNS}/{name}/**/*" for name in (*TRAINED, BASELINE))
    made = sorted(path.name for kind in runs for path in submitted.project.glob(kind) if path.is_file())
    assert made.count("forecasts.parquet") == len(runs)
    assert made.count("adapter_model.safetensors") == 2
    assert different_files(submitted.project, local, runs) == []


def test_jobs_on_one_node_have_devices_of_their_own(submitted: Submitted) -> None:
    assert sorted(submitted.visible) == ["0", "1"]
    places = [placed(submitted.project, name) for name in TRAINED]
    assert (submitted.visible[1], "node1", submitted.beside) in places
    for place in places:
        job = submitted.jobs[place.job]
        assert (job["NodeList"], job["JobState"]) == (place.node, "COMPLETED")


def placed(project: Path, name: str) -> Placement:
    model, arm = name.split("/")
    found = placement(project / f"logs/simulated/run_arm/sepsis3-heart_rate-{model}-{arm}-seed0.log")
    assert found
    return found


def test_a_killed_job_is_retried_with_more_memory_and_time(submitted: Submitted) -> None:
    killed = submitted.jobs[submitted.killed]
    assert killed["JobState"] == "FAILED"
    assert killed["TimeLimit"] == "00:30:00"
    repeated = [job for job in gpu_jobs(submitted) if job["TimeLimit"] != killed["TimeLimit"]]
    assert [(job["TimeLimit"], job["JobState"]) for job in repeated] == [("01:00:00", "COMPLETED")]
    assert memory(repeated[0]) == 2 * memory(killed)


def gpu_jobs(submitted: Submitted) -> list[dict[str, str]]:
    return [job for job in submitted.jobs.values() if job.get("TresPerJob") == "gres:gpu:1"]


def memory(job: dict[str, str]) -> float:
    """What a job asked for, in MB."""
    size = job["MinMemoryNode"]
    return float(size.rstrip("MG")) * (1024 if size.endswith("G") else 1)


def test_the_message_of_a_failed_job_names_its_logs(submitted: Submitted) -> None:
    assert f"/logs/slurm/group_runs_adapt_and_forecast/{submitted.killed}.log" in submitted.output
    assert (submitted.project / f"logs/slurm/group_runs_adapt_and_forecast/{submitted.killed}.log").is_file()


def test_a_drained_node_ends_what_it_runs_and_begins_nothing(submitted: Submitted) -> None:
    on_it = {job["JobId"] for job in gpu_jobs(submitted) if job["NodeList"] == "node1"}
    assert on_it == {submitted.killed, submitted.beside}
    assert submitted.jobs[submitted.beside]["JobState"] == "COMPLETED"


def test_slurm_starts_the_job_of_a_lost_node_again(submitted: Submitted) -> None:
    lost = submitted.jobs[submitted.lost]
    assert (lost["Restarts"], lost["JobState"]) == ("1", "COMPLETED")


def test_no_run_is_forked_from_a_warm_server(submitted: Submitted) -> None:
    for name in (*TRAINED, BASELINE):
        record = json.loads((submitted.project / RUNS / name / "seed0/run.json").read_text())
        assert not record["machine"]["forked"]


def test_runs_of_both_nodes_are_in_mlflow_once_with_their_adapters(submitted: Submitted) -> None:
    assert {placed(submitted.project, name).node for name in TRAINED} == {"node1", "node2"}
    shown = Counter(f"{run.data.tags['model']}/{run.data.tags['arm']}" for run in submitted.tracked)
    assert {name: shown[name] for name in (*TRAINED, BASELINE)} == dict.fromkeys((*TRAINED, BASELINE), 1)
    assert {run.info.status for run in submitted.tracked} == {"FINISHED"}
