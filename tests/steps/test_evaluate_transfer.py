"""Evaluating an adapter on another cohort, against what run_arm forecast for the adapter's own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.linear_model import LinearModel
from tests.helpers.some_windows import some_windows
from workflow_scripts.evaluation.forecasts import read_forecasts, write_forecasts
from workflow_scripts.evaluation.transfer import read_transfer
from workflow_scripts.evaluation.transfer_windows import read_transfer_windows
from workflow_scripts.evaluation.verification import adapter_hash, verify_transfer
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.settings import Study
from workflow_scripts.steps import evaluate_transfer, run_arm
from workflow_scripts.training import inference
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import Windows

MODEL, ARM, SEED = "chronos-t5-nano", "lora-r1", 4


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings, windows and the run of one adapter, of a linear model in place of a large one."""
    folder = tmp_path_factory.mktemp("adapted")
    study = Study(training={"steps": 20, "evaluate_every": 5}).model_dump(mode="json")
    parameters = {name: study[name] for name in ("adaptation", "training", "tuning", "forecast")}
    (folder / "settings.json").write_text(json.dumps({"code": "c0de", "parameters": parameters}))
    write_windows(folder / "windows.parquet", some_windows())
    (folder / "model.safetensors").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "load_base_model", lambda *_: LinearModel())
        run_arm.run_arm(
            dataset="simulated",
            cohort="explicit",
            vital="heart_rate",
            model=MODEL,
            arm=ARM,
            seed=SEED,
            windows=folder / "windows.parquet",
            weights=folder,
            settings=folder / "settings.json",
            output=folder / "run",
        )
    return folder


Transfer = Callable[..., Path]


@pytest.fixture
def transfer(adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transfer:
    """Evaluate the adapter on windows of another cohort; returns the folder of the result."""
    monkeypatch.setattr(inference, "load_base_model", lambda *_: LinearModel())

    def call(windows: Windows, arm: str = ARM, adapter: Path = adapted / "run" / "adapter") -> Path:
        write_windows(tmp_path / "other.parquet", windows)
        output = tmp_path.joinpath("explicit", "angus", "heart_rate", MODEL, arm, f"seed{SEED}")
        evaluate_transfer.evaluate_transfer(
            dataset="simulated",
            trained_on="explicit",
            evaluated_on="angus",
            vital="heart_rate",
            model=MODEL,
            arm=arm,
            seed=SEED,
            adapter=adapter,
            weights=adapted,
            windows=tmp_path / "other.parquet",
            own_windows=adapted / "windows.parquet",
            settings=adapted / "settings.json",
            output=output,
        )
        return output

    return call


def test_on_new_patients_the_forecasts_are_those_of_the_adapters_own_run(adapted: Path, transfer: Transfer):
    """The other cohort has the same windows, so that the run's stored forecasts say what must come out."""
    output = transfer(some_windows())
    ids, quantiles, levels = read_forecasts(output / "forecasts.parquet")
    expected = read_forecasts(adapted / "run" / "forecasts.parquet")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_array_equal(quantiles, expected[1])
    assert levels == expected[2]
    record = json.loads((output / "record.json").read_text())
    run = json.loads((adapted / "run" / "run.json").read_text())
    assert record["metrics"] == run["metrics"]
    assert record["counts"] == {
        "test_windows": 20,
        "test_patients": 20,
        "non_finite_windows": 0,
    }
    assert record["hashes"]["adapter"] == run["hashes"]["adapter"]
    assert read_transfer(output / "record.json").job.trained_on == "explicit"


def verified(output: Path, adapted: Path, **changed: str) -> list[str]:
    """What is wrong with a stored transfer, given the files as they are, or one of them with another hash."""
    own, other = adapted / "windows.parquet", output.parents[5] / "other.parquet"
    expected: dict[str, str | None] = {
        "code": "c0de",
        "windows": file_hash(other),
        "own_windows": file_hash(own),
        "weights": file_hash(adapted / "model.safetensors"),
        "adapter": adapter_hash(adapted / "run" / "adapter"),
    }
    return verify_transfer(output / "record.json", read_transfer_windows(other, own), expected | changed)


def test_a_stored_transfer_is_reproduced_though_snakemake_left_its_mark_in_the_adapter(
    adapted: Path, transfer: Transfer
):
    (adapted / "run" / "adapter" / ".snakemake_timestamp").touch()
    assert verified(transfer(some_windows()), adapted) == []


@pytest.mark.parametrize("name", ["code", "windows", "own_windows", "weights", "adapter"])
def test_whatever_a_transfer_was_made_of_and_has_changed_is_found(
    adapted: Path, transfer: Transfer, name: str
):
    (problem,) = verified(transfer(some_windows()), adapted, **{name: "0" * 64})
    assert problem.startswith(f"{name}: recorded ")


def test_a_changed_forecast_or_metric_of_a_transfer_is_found(adapted: Path, transfer: Transfer):
    output = transfer(some_windows())
    record = json.loads((output / "record.json").read_text())
    record["metrics"]["mse"] *= 1.000001
    (output / "record.json").write_text(json.dumps(record))
    assert [problem.partition(":")[0] for problem in verified(output, adapted)] == ["mse"]
    ids, quantiles, levels = read_forecasts(output / "forecasts.parquet")
    write_forecasts(output / "forecasts.parquet", ids, quantiles + 1, levels)
    problems = verified(output, adapted)
    assert problems[0] == "forecasts.parquet is not the file that the run wrote"
    assert {"mae", "rmse", "wql"} <= {problem.partition(":")[0] for problem in problems}


def test_a_transfer_without_an_adapter_is_reproduced_too(adapted: Path, transfer: Transfer, tmp_path: Path):
    run = json.loads((adapted / "run" / "run.json").read_text())
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "run.json").write_text(json.dumps(run | {"failure": "loss is nan at step 3"}))
    assert verified(transfer(some_windows(), adapter=tmp_path / "failed" / "adapter"), adapted) == []


def test_a_patient_of_train_or_validation_is_refused_before_anything_is_forecast(
    transfer: Transfer, tmp_path: Path
):
    """Here every window is for testing; two in three patients were in train or validation of the adapter."""
    windows = some_windows()
    with pytest.raises(UserError, match="40 of 60 test patients are in train or validation"):
        transfer(replace(windows, split=np.full(len(windows), "test")))
    assert not list(tmp_path.rglob("forecasts.parquet"))


def test_an_adapter_whose_training_failed_gives_a_record_with_the_reason(
    adapted: Path, transfer: Transfer, tmp_path: Path
):
    run = json.loads((adapted / "run" / "run.json").read_text())
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "run.json").write_text(json.dumps(run | {"failure": "loss is nan at step 3"}))
    output = transfer(some_windows(), adapter=tmp_path / "failed" / "adapter")
    record = json.loads((output / "record.json").read_text())
    assert record["failure"] == "loss is nan at step 3"
    assert record["counts"]["non_finite_windows"] == 20
    assert set(record["metrics"].values()) == {None}


def test_an_adapter_of_another_arm_is_refused_before_anything_is_forecast(transfer: Transfer, tmp_path: Path):
    with pytest.raises(UserError, match=r"lora-r1 of chronos-t5-nano[\s\S]*lora-r2 of chronos-t5-nano"):
        transfer(some_windows(), arm="lora-r2")
    assert not list(tmp_path.rglob("forecasts.parquet"))
