"""profiles/kubernetes without Kubernetes: the official plugin talks to a stand-in, which checks and runs its jobs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.same_results import different_files
from tests.helpers.kubernetes_stand_in import GPU, Cluster, check_schema, gpus, install, stand_in
from tests.helpers.projects import ROOT, TINY_STUDY, copy_project, run_in
from tests.helpers.shared_studies import finished_study

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

PROFILE = ROOT / "profiles/kubernetes"
RUNS = "results/simulated/runs/sepsis3/heart_rate"
TARGETS = (f"{RUNS}/persistence/baseline/seed0/run.json", f"{RUNS}/lag-llama-nano/lora-r1/seed0/run.json")
SECRET = "of-somebody"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plugin and Kubernetes' schemas, which are not among the study's pins."""
    folder = tmp_path_factory.mktemp("packages")
    if reason := install(folder, ROOT / "envs/kubernetes.txt", ROOT / "envs/kubernetes-schemas.txt"):
        pytest.skip(reason)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def image(project: Path, packages: Path) -> dict[str, str]:
    """The variables of the image that Containerfile makes, where its packages lie here."""
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin"
    return {"PATH": path, "PYTHONPATH": f"{packages}{os.pathsep}{project / 'profiles/kubernetes'}"}


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> tuple[Path, Cluster]:
    """A part of the tiny study in pods, the first of which with a GPU is lost; and what the cluster was asked."""
    project = copy_project(tmp_path_factory.mktemp("kubernetes") / "project", TINY_STUDY)
    variables = image(project, packages)
    with stand_in(tmp_path_factory.mktemp("cluster"), variables, lose_first_gpu_pod=True) as cluster:
        run_in(
            project,
            *("snakemake", "--profile", "profiles/kubernetes"),
            *("--kubernetes-volume-persistent-volumes", f"vitalora:{project}"),
            *("--group-components", "runs=1", "--set-threads", "adapt_and_forecast=1"),
            *("--envvars", "MLFLOW_TRACKING_PASSWORD", "--seconds-between-status-checks", "2"),
            *("--config", "tracking={uri: ''}", "--", *TARGETS),
            KUBECONFIG=str(cluster.folder / "config"),
            PYTHONPATH=variables["PYTHONPATH"],
            MLFLOW_TRACKING_PASSWORD=SECRET,
        )
    return project, cluster


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_pods_give_the_results_of_the_local_study(
    submitted: tuple[Path, Cluster], tmp_path_factory: pytest.TempPathFactory
) -> None:
    project, cluster = submitted
    local = finished_study(tmp_path_factory)
    kinds = ["data/**/*.parquet", *(f"{Path(target).parent}/**/*" for target in TARGETS)]
    assert all((project / target).is_file() for target in TARGETS)
    assert different_files(project, local, tuple(kinds)) == []
    assert cluster.refused == []


def test_a_lost_pod_is_repeated_with_twice_the_memory(submitted: tuple[Path, Cluster]) -> None:
    _, cluster = submitted
    first, second = [job for job in cluster.jobs.values() if gpus(job)]
    memory = [
        int(container(job)["resources"]["limits"]["memory"].removesuffix("M")) for job in (first, second)
    ]
    assert memory[1] == 2 * memory[0]


def test_only_what_computes_on_a_gpu_asks_for_one_and_nothing_is_privileged(
    submitted: tuple[Path, Cluster],
) -> None:
    _, cluster = submitted
    for job in cluster.jobs.values():
        found = container(job)
        assert found["image"] == yaml.safe_load((PROFILE / "profile.yaml").read_text())["container-image"]
        assert found.get("securityContext") is None
        assert gpus(job) == ("lora-r1" in found["args"][1])
        assert found["resources"]["limits"].get(GPU, "0") == str(gpus(job))


def test_secrets_travel_as_secrets_and_go_with_the_study(submitted: tuple[Path, Cluster]) -> None:
    _, cluster = submitted
    (name,) = cluster.secrets
    assert set(cluster.secrets[name]) == {"mlflow_tracking_password"}
    assert not [job for job in cluster.jobs.values() if SECRET in str(job)]
    assert set(cluster.removed) == {name, *cluster.jobs}


def test_the_manifest_of_the_cluster_is_valid_and_allows_what_the_executor_does(
    submitted: tuple[Path, Cluster],
) -> None:
    _, cluster = submitted
    objects = list(yaml.safe_load_all((PROFILE / "cluster.yaml").read_text()))
    for each in objects:
        check_schema(each)
    (role,) = [each for each in objects if each["kind"] == "Role"]
    allowed = {
        (verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]
    }
    assert cluster.used <= allowed


def test_profile_and_manifest_name_the_same_image_claim_and_folder() -> None:
    profile = yaml.safe_load((PROFILE / "profile.yaml").read_text())
    objects = {each["kind"]: each for each in yaml.safe_load_all((PROFILE / "cluster.yaml").read_text())}
    pod = objects["Pod"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    (mount,) = container["volumeMounts"]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert profile["container-image"] == container["image"]
    assert profile["kubernetes-volume-persistent-volumes"] == [f"{claim}:{mount['mountPath']}"]
    assert mount["mountPath"] == container["workingDir"]


def test_an_image_gets_nothing_but_pins_and_the_module() -> None:
    """As the ignore file of a build reads: everything out, then what is let in."""
    allowed = [line for line in (ROOT / ".containerignore").read_text().splitlines() if line[:1] == "!"]
    assert allowed == ["!envs", "!profiles", "!profiles/kubernetes"]
    recipe = (ROOT / "Containerfile").read_text()
    copied = [line.split()[1] for line in recipe.splitlines() if line.startswith("COPY")]
    assert copied == ["envs", "profiles/kubernetes/snakemake_executor_plugin_kubernetes_volume"]
    assert "\nUSER 1000:1000\n" in recipe
