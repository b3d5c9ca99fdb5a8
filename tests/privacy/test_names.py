"""No name or path that a user can choose runs a command."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.projects import ROOT, TINY_STUDY, copy_project, run_in
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import load_study
from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic

TRAP = 'it\'s "here"; touch hit & $(touch hit) `touch hit` > hit #'
# MLflow's own SQL for a new store breaks at an apostrophe in the working directory.
TRAP_FOR_MLFLOW = TRAP.replace("'", "")


@pytest.mark.parametrize(
    "settings",
    [
        {"dataset": name}
        for name in ("a;touch hit", "a b", "$(touch hit)", "../mimic-iii", "mimic-iii\n", "-rf", "A")
    ]
    + [
        {"cohorts": ["sepsis3; touch hit"]},
        {"dataset": "our-hospital", "cohorts": ["$(touch hit)"]},
        {"dataset": "our-hospital", "cohorts": ["../all"]},
        {"dataset": "our-hospital", "cohorts": ["all\n"]},
        {"own_cohorts": {"a b": "a.sql"}, "cohorts": ["a b"]},
        {"own_cohorts": {"`touch hit`": "a.sql"}, "cohorts": ["`touch hit`"]},
        {"vitals": ["heart_rate; touch hit"]},
        {"models": ["moirai-nano; touch hit"]},
        {"weights": {"moirai-nano; touch hit": "folder"}},
        {"arms": ["lora; touch hit"]},
        {"baselines": ["persistence`touch hit`"]},
        {"seeds": ["0; touch hit"]},
        {"ranks": ["1; touch hit"]},
    ],
    ids=str,
)
def test_a_name_with_a_command_in_it_is_refused_before_anything_runs(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="nothing was run"):
        load_study(settings)


@pytest.mark.workflow
@pytest.mark.acceptance
def test_paths_with_commands_in_them_are_paths(tmp_path: Path) -> None:
    """The project, the raw folder, a cohort's SQL, a folder of weights and the tracking store, all named so."""
    project = tmp_path / TRAP_FOR_MLFLOW / "project"
    raw, weights = tmp_path / f"raw {TRAP}\nand a line", tmp_path / TRAP / "weights"
    study = TINY_STUDY | {
        "dataset": "mimic-iii",
        "cohorts": ["mine"],
        "own_cohorts": {"mine": f"{TRAP}.sql"},
        "models": ["moirai-nano"],
        "arms": ["zero-shot"],
        "baselines": [],
        "weights": {"moirai-nano": str(weights)},
        "tracking": {"uri": f"sqlite:///{tmp_path}/a $(touch hit); touch hit.db"},
    }
    copy_project(project, study)
    shutil.copytree(ROOT / "weights/embedded/moirai-nano", weights)
    (project / f"{TRAP}.sql").write_text("SELECT icustay_id, intime AS onset FROM icustays")
    raw.mkdir()
    simulate_mimic(SimulatorParameters(patients=20, seed=1), raw)
    run_in(project, "snakemake", "--cores", "2", "--", "runs", "sync_tracking", MIMIC_DIR=str(raw))
    run_in(project, "snakemake", "--cores", "1", "--", "check_mimic", MIMIC_DIR=str(raw))
    assert len(list(project.glob("results/mimic-iii/runs/mine/heart_rate/**/run.json"))) == 1
    assert (tmp_path / "a $(touch hit); touch hit.db").exists()
    assert list(tmp_path.rglob("hit")) == []
