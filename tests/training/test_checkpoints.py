"""An interrupted training run ends as if it had not been interrupted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.linear_model import LinearModel
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import History, fit
from workflow_scripts.training.parameters import TrainingParameters

CPU = torch.device("cpu")
BUDGET = TrainingParameters(
    steps=40, evaluate_every=5, batch_size=16, learning_rate=0.01, patience=40, checkpoint_seconds=0
)


class ModelWithDropout(LinearModel):
    """Training draws from the global generator too, so that its state matters."""

    def __init__(self) -> None:
        super().__init__()
        self.module["attention"] = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        with torch.no_grad():
            for weight in self.module["attention"].parameters():
                weight.copy_(torch.linspace(-1, 1, weight.numel()).view_as(weight))


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


def windows(count: int, seed: int) -> WindowArrays:
    random = np.random.default_rng(seed)
    context = random.normal(size=(count, 4)).astype(np.float32)
    target = np.repeat(np.sin(context[:, -1:]), 3, axis=1)
    return WindowArrays(context, target, np.zeros(count, dtype=np.int64), 3600)


def train(
    folder: Path | None, budget: TrainingParameters = BUDGET, until: int = 99, seed: int = 3
) -> tuple[list[torch.Tensor], History, list[int]]:
    """The weights, the history and the steps that this call took; it is interrupted after step `until`."""
    steps: list[int] = []

    class Note(TrainingHooks):
        def after_step(self, step: int) -> None:
            steps.append(step)
            if step == until:
                raise InterruptionError

    model = ModelWithDropout()
    history = fit(model, windows(100, 1), windows(30, 2), budget, seed, CPU, folder, Note())
    return [weight.detach().clone() for weight in model.module.parameters()], history, steps


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[list[torch.Tensor], History]:
    weights, history, _ = train(None)
    return weights, history


@pytest.mark.parametrize("until", [3, 5, 23, 39])
def test_an_interrupted_run_ends_with_the_same_weights_and_history_bit_for_bit(
    uninterrupted: tuple[list[torch.Tensor], History], until: int, tmp_path: Path
) -> None:
    """Expected: the weights of the run without checkpoints. 5 is an evaluation's step, interrupted before it."""
    with pytest.raises(InterruptionError):
        train(tmp_path, until=until)
    weights, history, steps = train(tmp_path)
    assert all(map(torch.equal, weights, uninterrupted[0]))
    assert history == uninterrupted[1]
    assert steps[0] == (until - 1) // 5 * 5 + 1


def test_a_run_that_was_over_is_not_trained_again(
    uninterrupted: tuple[list[torch.Tensor], History], tmp_path: Path
) -> None:
    train(tmp_path)
    weights, history, steps = train(tmp_path)
    assert steps == []
    assert all(map(torch.equal, weights, uninterrupted[0]))
    assert history == uninterrupted[1]


def test_a_run_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    budget = BUDGET.model_copy(update={"learning_rate": 1.0, "patience": 1})
    weights, history, _ = train(tmp_path, budget)
    assert history.stopped_early
    again, history_again, steps = train(tmp_path, budget)
    assert steps == []
    assert all(map(torch.equal, weights, again))
    assert history_again == history


@pytest.mark.parametrize("other", ["seed", "settings", "damaged"])
def test_a_checkpoint_of_another_run_is_not_used(
    uninterrupted: tuple[list[torch.Tensor], History], other: str, tmp_path: Path
) -> None:
    train(
        tmp_path,
        BUDGET.model_copy(update={"learning_rate": 0.02}) if other == "settings" else BUDGET,
        seed=4 if other == "seed" else 3,
    )
    (file,) = tmp_path.iterdir()
    if other == "damaged":
        file.write_bytes(file.read_bytes()[:200])
    weights, _, steps = train(tmp_path)
    assert steps == list(range(1, 41))
    assert all(map(torch.equal, weights, uninterrupted[0]))


def test_a_checkpoint_gives_back_what_was_saved_and_holds_no_pickle(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "a": [shared, shared[2:4], {"b": 0.1, "c": None}],
        "d": torch.tensor(3, dtype=torch.int64),
        "e": [],
    }
    checkpoints = Checkpoints(tmp_path, "one")
    checkpoints.save(state)
    loaded = checkpoints.load()
    assert loaded is not None
    assert torch.equal(loaded["a"][0], shared)
    assert torch.equal(loaded["a"][1], torch.tensor([2.0, 3.0]))
    assert loaded["a"][2] == {"b": 0.1, "c": None}
    assert loaded["d"].dtype == torch.int64
    assert int(loaded["d"]) == 3
    assert loaded["e"] == []
    assert Checkpoints(tmp_path, "another").load() is None
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
