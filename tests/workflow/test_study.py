"""The whole study on simulated data, in a tiny size: real Snakemake, DVC and MLflow."""

import csv
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from tests.helpers.projects import TINY_STUDY, commit_all, run_in
from workflow_scripts.runtime.device import lease_device

pytestmark = pytest.mark.workflow

ARMS = {"zero-shot", "full", "lora-r1", "lora-r2"}
MODELS = {"chronos-t5-nano", "moirai-nano", "lag-llama-nano"}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results/simulated/summary/metrics.csv").open() as file:
        return list(csv.DictReader(file))


def planned_jobs(folder: Path, *options: str) -> dict[str, int]:
    """How many jobs of each rule a dry run would run."""
    text = run_in(folder, "snakemake", "-n", "--cores", "2", *options).stdout
    if "Nothing to be done" in text:
        return {}
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE))
    return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "total")}


def test_every_model_has_every_arm_and_every_baseline_a_row(project):
    rows = rows_of(project)
    assert {(row["model"], row["arm"]) for row in rows} == {
        *((model, arm) for model in MODELS for arm in ARMS),
        ("persistence", "baseline"),
        ("mean-of-context", "baseline"),
    }
    assert all(float(row["mse"]) > 0 and int(row["test_windows"]) > 0 for row in rows)


def test_the_models_forecast_the_very_windows_that_the_baselines_do(project):
    assert len({(row["test_windows"], row["test_patients"]) for row in rows_of(project)}) == 1


def test_lora_saves_only_an_adapter_that_names_its_base(project):
    for model in MODELS:
        adapter = project / f"results/simulated/runs/sepsis3/heart_rate/{model}/lora-r2/seed0/adapter"
        assert {path.name for path in adapter.iterdir()} >= {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
        assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == model


def test_every_run_stands_in_mlflow_once_and_finished(project):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiments = [found.experiment_id for found in client.search_experiments()]
    everything = client.search_runs(experiments, max_results=1000)
    runs = [run for run in everything if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == len(rows_of(project))
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert all("mse" in run.data.metrics for run in runs)
    sweeps = {(row["model"], row["vital"], row["cohort"]) for row in rows_of(project)}
    assert len(everything) - len(runs) == len(sweeps)


def test_a_finished_study_has_nothing_to_do(project):
    assert planned_jobs(project) == {}
    assert "up to date" in run_in(project, "dvc", "status").stdout


def test_a_new_budget_runs_the_runs_again_but_not_the_data(changed_project):
    study = TINY_STUDY | {"training": {"steps": 5}}
    (changed_project / "params.yaml").write_text(yaml.safe_dump(study))
    jobs = planned_jobs(changed_project)
    assert jobs["adapt_and_forecast"] == 9
    assert not {"simulate_mimic", "extract_events", "label_cohort", "make_windows", "prepare_weights"} & set(
        jobs
    )


@pytest.mark.acceptance
def test_a_naive_baseline_does_not_wait_for_a_device(changed_project, monkeypatch):
    monkeypatch.setenv("VITALORA_DEVICES", "0")
    monkeypatch.setenv("TMPDIR", str(changed_project))
    record = "results/simulated/runs/sepsis3/heart_rate/persistence/baseline/seed0/run.json"
    (changed_project / record).unlink()
    # The test holds the only device while the job runs.
    with lease_device(changed_project / f"vitalora-devices-{os.getuid()}"):
        run_in(changed_project, "snakemake", "--cores", "1", record)
    assert (changed_project / record).exists()


def test_push_clone_pull_then_nothing_is_to_be_done_but_a_new_rank(changed_project, tmp_path):
    run_in(changed_project, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    run_in(changed_project, "dvc", "remote", "modify", "private", "url", str(tmp_path / "private"))
    commit_all(changed_project, "a remote")
    run_in(changed_project, "dvc", "push")
    clone = tmp_path / "clone"
    run_in(tmp_path, "git", "clone", "--quiet", str(changed_project), str(clone))
    run_in(clone, "dvc", "pull")
    assert "up to date" in run_in(clone, "dvc", "status").stdout
    # DVC restores files in any order, so Snakemake is told that they belong together, before anything is changed.
    (clone / "params.yaml").write_text(yaml.safe_dump(TINY_STUDY | {"training": {"steps": 5}}))
    refused = run_in(clone, "snakemake", "--touch", "--cores", "1", expect=1)
    assert "differs from what the results were made with" in refused.stderr
    run_in(clone, "git", "checkout", "--quiet", "params.yaml")
    run_in(clone, "snakemake", "--touch", "--cores", "1")
    assert planned_jobs(clone) == {}
    assert "up to date" in run_in(clone, "dvc", "status").stdout
    (clone / "params.yaml").write_text(yaml.safe_dump(TINY_STUDY | {"ranks": [1, 2, 4]}))
    summary = {"aggregate_metrics": 1, "make_report": 1, "sync_tracking": 1}
    assert planned_jobs(clone) == {"adapt_and_forecast": 3} | summary
