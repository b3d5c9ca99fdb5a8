"""One run as a program: what it may see, what it leaves behind, and what it says when training fails."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.helpers.linear_model import LinearModel
from tests.helpers.some_windows import some_windows
from workflow_scripts.evaluation.verification import verify_run
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.settings import Study
from workflow_scripts.steps import run_arm, verify_results
from workflow_scripts.training import inference
from workflow_scripts.training import run as training_run
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
    assert left == {"run.json", "forecasts.parquet", "adapter"}


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
    test = read_windows(tmp_path / "windows.parquet", ("test",))
    assert verify_run(tmp_path.joinpath("run", *KEY, "run.json"), test, expected_of(record, tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("metric", "mse: recorded"),
        ("forecasts", "forecasts.parquet is not the file that the run wrote"),
        ("adapter", "the adapter is not the one that the run wrote"),
        ("windows", "windows: recorded"),
        ("code", "code: recorded"),
    ],
)
def test_whatever_was_changed_afterwards_is_found(run: Run, tmp_path: Path, change: str, message: str):
    record = run(some_windows())
    folder, expected = tmp_path.joinpath("run", *KEY), expected_of(record, tmp_path)
    if change == "metric":
        record["metrics"]["mse"] *= 1.000001
        (folder / "run.json").write_text(json.dumps(record))
    elif change == "forecasts":
        with (folder / "forecasts.parquet").open("ab") as file:
            file.write(b"PAR1")
    elif change == "adapter":
        (folder / "adapter/adapter_config.json").write_text("{}")
    else:
        expected[change] = "0" * 64
    test = read_windows(tmp_path / "windows.parquet", ("test",))
    problems = verify_run(folder / "run.json", test, expected)
    assert any(message in problem for problem in problems), problems


def test_missing_runs_are_named_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (tmp_path / "params.yaml").write_text(
        "models: [moirai-nano]\nbaselines: []\nfrom_scratch: []\narms: [lora]\nranks: [2]\nvitals: [heart_rate]\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="1 runs that their files do not reproduce"):
        verify_results.verify_results()
    assert "sepsis3/heart_rate/moirai-nano/lora-r2/seed0: no results" in capsys.readouterr().out
