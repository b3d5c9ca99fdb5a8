"""Training that is killed between and inside checkpoint writes, and training without enough memory."""

import json
import shlex
import shutil
import signal
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.fault_hook import job_of, noted, set_hook, step_of
from tests.helpers.fault_study import LORA, copy_study
from tests.helpers.linear_model import LinearModel
from tests.helpers.projects import run_in
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters

ADAPTER = LORA / "adapter/adapter_model.safetensors"
STRIKES = 9
"""Events of two writes of a checkpoint; a run that goes on from the last one has fewer."""


_AGAIN_AND_AGAIN = """
import os, runpy, sys
import sitecustomize
import workflow_scripts.steps.run_arm, workflow_scripts.models.moirai, peft
job, attempts, step, *arguments = sys.argv[1:]
for _ in range(int(attempts)):
    if os.fork() == 0:
        sitecustomize._begin(job)
        sys.argv = [step, *arguments]
        runpy.run_module(f"workflow_scripts.steps.{step}", run_name="__main__")
        os._exit(0)
    os.wait()
"""
"""One process imports the libraries and forks for every attempt."""


def command_of(project: Path, result: Path) -> str:
    """The command that made a result, as Snakemake noted it."""
    record = project / ".snakemake/metadata" / urlsafe_b64encode(str(result).encode()).decode()
    return json.loads(record.read_text())["shellcmd"]


def training_of(project: Path) -> dict[str, object]:
    """Steps and losses of the run, without times."""
    training = json.loads((project / LORA / "run.json").read_text())["training"]
    names = ("steps", "best_step", "best_validation_loss", "train_loss", "validation_loss")
    return {name: training[name] for name in names}


@pytest.mark.workflow
@pytest.mark.faults
def test_a_run_killed_between_and_inside_checkpoint_writes_ends_with_the_same_weights(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every event of the first two writes in turn: temporary file, content, synchronisation, new name.

    Expected: the undisturbed study's adapter, byte for byte, and its losses.
    """
    folder = copy_study(undisturbed.project, tmp_path / "project")
    command = command_of(folder, LORA / "run.json")
    expected, losses = (folder / ADAPTER).read_bytes(), training_of(folder)
    assert losses["best_step"] > 0, "what is compared was learned"
    shutil.rmtree(folder / LORA)
    plans = tmp_path / "plans"
    set_hook(folder, plans)
    for number in range(STRIKES):
        plan = {"signal": int(signal.SIGKILL), "when": "checkpoint", "at": number + 1}
        (plans / f"{job_of(command)}.plan{number}").write_text(json.dumps(plan))
    words = shlex.split(step_of(command))
    job, attempts = job_of(command), str(STRIKES + 1)
    run_in(folder, sys.executable, "-c", _AGAIN_AND_AGAIN, job, attempts, *words, PYTHONPATH=".")
    struck = len(noted(plans, "struck"))
    record_property("injected", struck)
    assert struck > STRIKES // 2
    assert (folder / ADAPTER).read_bytes() == expected
    assert training_of(folder) == losses
    assert not (folder / LORA / "checkpoints").exists()


OF_CUDA = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has 15.77 GiB of which 1.20 GiB is free."
"""As torch words it (torch 2.x, c10/cuda/CUDACachingAllocator.cpp)."""


def windows(count: int) -> WindowArrays:
    generator = np.random.default_rng(0)
    context, target = generator.normal(size=(count, 4)), generator.normal(size=(count, 3))
    return WindowArrays(
        context.astype(np.float32), target.astype(np.float32), np.zeros(count, np.int64), 3600
    )


def without_memory(*_: object) -> None:
    """In place of a model's arithmetic."""
    raise torch.OutOfMemoryError(OF_CUDA)


@pytest.fixture
def small_device(monkeypatch: pytest.MonkeyPatch) -> LinearModel:
    """A model whose device has no room for a batch."""
    monkeypatch.setattr(LinearModel, "loss", without_memory)
    monkeypatch.setattr(LinearModel, "quantiles", without_memory)
    return LinearModel()


def test_training_without_device_memory_says_how_much_and_what_to_do(small_device: LinearModel) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(UserError, match=r"2\.50 GiB") as caught:
        fit(small_device, windows(20), windows(8), TrainingParameters(steps=2), 0, cpu)
    assert "1.20 GiB free" in caught.value.found
    assert "training.batch_size" in caught.value.remedy


def test_forecasting_without_device_memory_says_how_much_and_what_to_do(small_device: LinearModel) -> None:
    parameters = ForecastParameters(samples=10)
    with pytest.raises(UserError, match=r"2\.50 GiB") as caught:
        forecast(small_device, windows(8), np.arange(8), parameters, 0, torch.device("cpu"))
    assert "forecast.batch_size" in caught.value.remedy


def test_a_host_without_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own error: 4 EiB are asked for."""
    monkeypatch.setattr(LinearModel, "loss", lambda *_: torch.empty(2**60).sum())
    with pytest.raises(UserError, match="memory for training") as caught:
        fit(LinearModel(), windows(20), windows(8), TrainingParameters(steps=2), 0, torch.device("cpu"))
    assert "4611686018427387904 bytes" in caught.value.found
