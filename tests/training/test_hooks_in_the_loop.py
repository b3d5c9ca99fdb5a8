"""The training loop does what a method asks of it: AdaLoRA, whole and interrupted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.tiny_families import CONTEXT, TARGET, tiny
from workflow_scripts.adaptation.adapters import load_adapter, save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import History, fit
from workflow_scripts.training.parameters import TrainingParameters

ARM = Arm.parse("adalora-r2")
BUDGET = TrainingParameters(
    steps=12, evaluate_every=2, batch_size=3, learning_rate=0.01, patience=2, checkpoint_seconds=0
)
WINDOWS = WindowArrays(
    CONTEXT.values.numpy(), TARGET.numpy(), CONTEXT.start.numpy().astype(np.int64), CONTEXT.step
)


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


def train(folder: Path | None = None, stop_after: int | None = None) -> tuple[ForecastModel, History]:
    model = tiny("lag-llama")
    hooks = adapt(model, ARM, AdaptationParameters(), seed=3, steps=BUDGET.steps)
    own = hooks.after_step

    def after_step(step: int) -> None:
        own(step)
        if step == stop_after:
            raise InterruptionError

    hooks.after_step = after_step  # type: ignore[method-assign]
    return model, fit(model, WINDOWS, WINDOWS, BUDGET, 0, torch.device("cpu"), folder, hooks)


@pytest.fixture(scope="module")
def trained() -> tuple[ForecastModel, History]:
    return train()


def test_what_is_kept_has_the_rank_of_the_arm(trained, tmp_path):
    """AdaLoRA starts with more singular values than the arm's name says and cuts them down in training."""
    model, history = trained
    left = sum(
        int((value != 0).sum()) for name, value in model.module.named_parameters() if ".lora_E." in name
    )
    adapted = sum(".lora_E." in name for name, _ in model.module.named_parameters())
    assert 0 < left <= 2 * adapted
    assert history.best_step > 0
    save_adapter(model, ARM, tmp_path / "adapter", "lag-llama")
    reloaded = tiny("lag-llama")
    load_adapter(reloaded, tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(reloaded.loss(CONTEXT, TARGET), model.loss(CONTEXT, TARGET))


def test_evaluations_before_the_last_cut_neither_win_nor_end_the_training(trained):
    _, history = trained
    assert history.steps > BUDGET.evaluate_every * BUDGET.patience


@pytest.mark.parametrize("step", [5, 9])
def test_an_interrupted_run_ends_with_the_same_weights(trained, step, tmp_path):
    with pytest.raises(InterruptionError):
        train(tmp_path, stop_after=step)
    model, history = train(tmp_path)
    assert history == trained[1]
    expected = trained[0].module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.module.state_dict().items())
