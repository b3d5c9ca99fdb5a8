"""One run as a program: what it may see, what it leaves behind, and what it says when training fails."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import load_file

from tests.helpers.linear_model import LinearModel
from tests.helpers.some_windows import some_windows
from workflow_scripts.adaptation.adapters import TrainedOn, read_arm
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.verification import verify_run
from workflow_scripts.models.baselines import forecast_baseline
from workflow_scripts.models.registry import variant
from workflow_scripts.runtime.device import Device
from workflow_scripts.runtime.files import MARK
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.settings import Study
from workflow_scripts.steps import run_arm
from workflow_scripts.training import inference
from workflow_scripts.training import run as training_run
from workflow_scripts.training.parameters import TrainingParameters, TuningParameters
from workflow_scripts.training.run import Outcome, RunJob, RunParameters, candidates, run_baseline, run_model
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import Windows, read_windows

GROUPS = ("adaptation", "training", "tuning", "forecast")
KEY = ("explicit", "heart_rate", "chronos-t5-nano", "lora-r1", "seed0")


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in this process, with a linear model in place of a large one; returns its record."""
    monkeypatch.setattr(inference, "load_base_model", lambda *_: LinearModel())

    def call(windows: Windows, folder: str = "run", **training: Any) -> dict[str, Any]:
        study = Study(training={"steps": 20, "evaluate_every": 5} | training).model_dump(mode="json")
        settings = tmp_path / "settings.json"
        parameters = {group: study[group] for group in GROUPS}
        settings.write_text(json.dumps({"code": "c0de", "parameters": parameters}))
        write_windows(tmp_path / "windows.parquet", windows)
        (tmp_path / "model.safetensors").touch()
        output = tmp_path.joinpath(folder, *KEY)
        cohort, vital, model, arm, _ = KEY
        run_arm.run_arm(
            "simulated",
            cohort,
            vital,
            model,
            arm,
            0,
            tmp_path / "windows.parquet",
            settings,
            output,
            tmp_path,
        )
        return json.loads((output / "run.json").read_text())

    return call


def adapter_of(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a run's adapter."""
    return load_file(folder.joinpath(*KEY, "adapter", "adapter_model.safetensors"))


def test_other_test_windows_change_neither_the_adapter_nor_what_was_chosen(run: Run, tmp_path: Path):
    windows = some_windows()
    tested = windows.split == "test"
    other = replace(
        windows,
        context=np.where(tested[:, None], np.float32(200), windows.context),
        target=np.where(tested[:, None], np.float32(20), windows.target),
    )
    first, second = run(windows, "one"), run(other, "two")
    one, two = adapter_of(tmp_path / "one"), adapter_of(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert first["training"]["validation_loss"] == second["training"]["validation_loss"]
    assert first["metrics"]["mse"] < second["metrics"]["mse"], "the test windows do count in the end"


def test_the_test_split_is_opened_only_when_the_adapter_is_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened = []

    def watched(path: Path, splits: tuple[str, ...]) -> Windows:
        opened.append((splits, tmp_path.joinpath("run", *KEY, "adapter", "arm.json").is_file()))
        return read_windows(path, splits)

    monkeypatch.setattr(training_run, "read_windows", watched)
    run(some_windows())
    assert opened == [(("train", "validation"), False), (("test",), True)]


def test_a_run_leaves_its_record_forecasts_and_adapter_and_nothing_else(run: Run, tmp_path: Path):
    run(some_windows(), checkpoint_seconds=0)
    left = {path.name for path in tmp_path.joinpath("run", *KEY).iterdir()}
    assert left == {"run.json", "forecasts.parquet", "validation_forecasts.parquet", "adapter", MARK}


def test_an_adapter_s_folder_is_complete_by_itself(run: Run, tmp_path: Path):
    record = run(some_windows())
    adapter = tmp_path.joinpath("run", *KEY, "adapter")
    assert {path.name for path in adapter.iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("arm.json", "README.md", "vitalora.json", MARK),
    }
    saved = read_arm(adapter)
    assert saved.base_sha256 == record["hashes"]["weights"] == file_hash(tmp_path / "model.safetensors")
    assert saved.description["versions"].items() <= record["versions"].items()
    assert ModelCard.load(adapter / "README.md").data.library_name == "peft"


def test_a_run_that_was_killed_goes_on_from_its_checkpoint_and_ends_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(some_windows(), "whole", checkpoint_seconds=0)

    class KilledError(BaseException):
        pass

    steps = 0
    loss = LinearModel.loss

    def dies_after_twelve_steps(self: LinearModel, *arguments: Any) -> Any:
        nonlocal steps
        steps += self.module.training
        if steps == 13:
            raise KilledError
        return loss(self, *arguments)

    monkeypatch.setattr(LinearModel, "loss", dies_after_twelve_steps)
    with pytest.raises(KilledError):
        run(some_windows(), "killed", checkpoint_seconds=0)
    record = run(some_windows(), "killed", checkpoint_seconds=0)
    assert steps == 13 + 10, "ten steps were saved, so ten were left"
    whole, killed = adapter_of(tmp_path / "whole"), adapter_of(tmp_path / "killed")
    assert all(np.array_equal(whole[name], killed[name]) for name in whole)
    assert record["training"]["steps"] == 20


def test_a_training_that_diverges_is_a_failed_run_with_its_reason_and_the_last_good_weights(
    run: Run, tmp_path: Path
):
    record = run(some_windows(), learning_rate=1e25)
    assert "loss is" in record["failure"]
    assert all(value is None for value in record["metrics"].values())
    assert record["counts"]["non_finite_windows"] == record["counts"]["test_windows"]
    assert all(np.isfinite(values).all() for values in adapter_of(tmp_path / "run").values())


def expected_of(record: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The hashes of the files as they are."""
    hashes = {
        "windows": file_hash(tmp_path / "windows.parquet"),
        "weights": file_hash(tmp_path / "model.safetensors"),
    }
    return {"code": record["hashes"]["code"]} | hashes


def test_a_stored_run_is_reproduced_without_training(run: Run, tmp_path: Path):
    record = run(some_windows())
    splits = (read_windows(tmp_path / "windows.parquet", (split,)) for split in ("test", "validation"))
    assert (
        verify_run(tmp_path.joinpath("run", *KEY, "run.json"), *splits, expected_of(record, tmp_path)) == []
    )


def outcome_of(folder: Path, arm: str, lease: Any = None, **groups: Any) -> Outcome:
    """What a run of the linear model found, in this process."""
    budget = TrainingParameters(steps=6, evaluate_every=3, batch_size=8)
    parameters = RunParameters(**{"training": budget} | groups)
    job = RunJob("simulated", "chronos-t5-nano", Arm.parse(arm), 0, folder, parameters)
    write_windows(folder / "windows.parquet", some_windows())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "load_base_model", lambda *_: LinearModel())
        if lease:
            patch.setattr(training_run, "lease_device", lease)
        return run_model(job, folder / "windows.parquet", folder / "run", time.perf_counter())


def test_a_run_that_trains_nothing_stores_nothing(tmp_path: Path):
    found = outcome_of(tmp_path, "zero-shot")
    assert found.parameters == {"total": 4, "trainable": 0}
    assert (found.tuned, found.failure, found.training_seconds, found.adapter_mib) == (None, "", 0.0, None)
    assert (found.train_windows, len(found.validation), len(found.test)) == (20, 20, 20)
    assert not (tmp_path / "run").exists()
    # The model forecasts the context's last value, on the scale of 0 to 300 bpm, with a deviation of a tenth of it.
    last = found.test.context[:, -1]
    assert found.quantiles.shape == (20, 9, 12)
    assert np.abs(found.quantiles[:, 4].mean(axis=1) - last).max() < 30
    assert (found.quantiles[:, 0] < found.quantiles[:, 8]).all()
    before = found.validation.context[:, -1]
    assert np.abs(found.validation_quantiles[:, 4].mean(axis=1) - before).max() < 30


def test_a_run_that_trains_says_what_it_cost_and_its_adapter_what_it_was_trained_on(tmp_path: Path):
    tuning = TuningParameters(learning_rates=[1e-3, 1e-2])
    found = outcome_of(tmp_path, "lora-r1", tuning=tuning)
    assert found.tuned is not None
    assert [trial.learning_rate for trial in found.tuned.trials] == [1e-3, 1e-2]
    assert found.training_seconds == sum(trial.seconds for trial in found.tuned.trials) > 0
    assert found.parameters == {"total": 4 + 2, "trainable": 2}
    files = [path for path in (tmp_path / "run" / "adapter").rglob("*") if path.is_file()]
    assert found.adapter_mib == pytest.approx(sum(path.stat().st_size for path in files) / 2**20, abs=1e-4)
    assert found.growth_host_mib is not None
    assert 0 <= found.growth_host_mib < 2000
    assert found.peak_device_mib is None, "there is no such device"
    assert 0 < found.forecast_seconds < 60
    saved = read_arm(tmp_path / "run" / "adapter")
    assert saved.base == "chronos-t5-nano"
    assert saved.trained_on == TrainedOn("heart_rate", "bpm", 0.0, 300.0, 60, 24, 12)


def test_waiting_for_a_device_is_no_start_up(tmp_path: Path):
    @contextmanager
    def lease() -> Iterator[Device]:
        time.sleep(1)
        yield Device(None)

    begun = time.perf_counter()
    found = outcome_of(tmp_path, "zero-shot", lease)
    assert 0 < found.start_up <= time.perf_counter() - begun - 1


def test_a_baseline_forecasts_the_test_windows_and_has_no_parameters(tmp_path: Path):
    write_windows(tmp_path / "windows.parquet", some_windows())
    job = RunJob("simulated", "persistence", Arm("baseline"), 0, None, RunParameters())
    begun = time.perf_counter()
    found = run_baseline(job, tmp_path / "windows.parquet", begun - 100)
    test = some_windows().select("test")
    expected = forecast_baseline("persistence", test.context, 12, job.parameters.forecast.quantiles, 60)
    np.testing.assert_array_equal(found.quantiles, expected)
    validation = some_windows().select("validation")
    expected = forecast_baseline("persistence", validation.context, 12, job.parameters.forecast.quantiles, 60)
    np.testing.assert_array_equal(found.validation_quantiles, expected)
    assert found.parameters == {"total": 0, "trainable": 0}
    assert (found.train_windows, len(found.validation), found.failure) == (20, 20, "")
    assert 100 < found.start_up < 160
    assert 0 < found.forecast_seconds < 60


def test_models_from_scratch_have_the_released_budget_unless_all_share_one():
    shared = RunParameters(
        training=TrainingParameters(from_scratch="shared"), tuning=TuningParameters(steps=[5, 10])
    )
    released = RunParameters(tuning=TuningParameters(steps=[5, 10]))
    scratch, foundation = variant("n-hits-hr"), variant("moirai-nano")
    assert [budget.steps for budget in candidates(scratch, released, 2048)] == [2000]
    assert [budget.steps for budget in candidates(scratch, shared, 2048)] == [5, 10]
    assert [budget.steps for budget in candidates(foundation, released, 2048)] == [5, 10]
