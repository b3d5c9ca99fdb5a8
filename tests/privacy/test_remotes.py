"""What was made of patients' rows goes to the remote that is declared private, and to no other."""

from pathlib import Path

import pytest
import yaml

from tests.helpers.projects import TINY_STUDY, copy_project, run_in

pytestmark = pytest.mark.workflow

OF_PATIENTS = (
    "data/",
    "results/${dataset}/runs",
    "results/${dataset}/transfer",
    "results/${dataset}/figures",
    "results/${dataset}/report.html",
)
FILE = "a row of a patient"


def outputs(project: Path) -> dict[str, dict[str, object]]:
    """Every output of dvc.yaml with its settings."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    return {
        name: settings
        for stage in stages.values()
        for output in stage["outs"]
        for name, settings in output.items()
    }


def test_every_output_with_rows_of_patients_names_the_private_remote():
    for name, settings in outputs(Path(__file__).parents[2]).items():
        assert (settings.get("remote") == "private") == name.startswith(OF_PATIENTS), name


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a file of invented rows in every output, in DVC's cache: no job is run for it."""
    folder = copy_project(tmp_path_factory.mktemp("remotes") / "project", TINY_STUDY)
    run_in(folder, "git", "init", "--quiet")
    for name in outputs(folder):
        path = folder / name.replace("${dataset}", "simulated")
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{FILE} of {path.name}" if name.startswith(OF_PATIENTS) else "{}")
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / "a.txt").write_text(f"{FILE} of {name}" if name.startswith(OF_PATIENTS) else f"of {name}")
    for stage_input in ("data/simulated/windows", "data/simulated/cohorts", "data/simulated/events"):
        (folder / stage_input).mkdir(exist_ok=True)
        (folder / stage_input / "a.txt").write_text(f"{FILE} of {stage_input}")
    arms = folder / "results/simulated/summary/arms"
    arms.mkdir(parents=True, exist_ok=True)
    (arms / "a.json").write_text("{}")
    run_in(folder, "dvc", "commit", "--force")
    run_in(folder, "dvc", "remote", "add", "--default", "public", str(folder.parent / "public"))
    return folder


def stored(remote: Path) -> str:
    """All that a remote holds, as text."""
    return "\n".join(path.read_text() for path in sorted(remote.rglob("*")) if path.is_file())


@pytest.mark.acceptance
def test_a_push_fails_until_a_private_remote_is_declared_and_never_reaches_another(project: Path) -> None:
    run_in(project, "dvc", "push", "--remote", "public")
    for target in ([], ["data/simulated"]):
        refused = run_in(project, "dvc", "push", *target, expect=1)
        assert "declare-a-private-remote.invalid" in refused.stderr
    assert FILE not in stored(project.parent / "public")

    run_in(project, "dvc", "remote", "modify", "private", "url", str(project.parent / "private"))
    run_in(project, "dvc", "push")
    run_in(project, "dvc", "push", "--remote", "public")
    assert FILE not in stored(project.parent / "public")
    assert f"{FILE} of results/${{dataset}}/runs" in stored(project.parent / "private")
    assert "of weights/prepared" in stored(project.parent / "public")
