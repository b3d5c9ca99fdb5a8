"""The training loop against what can be worked out by hand."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.linear_model import LinearModel
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import fit, rate_factor
from workflow_scripts.training.parameters import TrainingParameters

CPU = torch.device("cpu")


def doubled(count: int, seed: int) -> WindowArrays:
    """Windows whose target is twice the last context value, with some targets missing."""
    random = np.random.default_rng(seed)
    context = random.normal(size=(count, 4)).astype(np.float32)
    target = np.repeat(2 * context[:, -1:], 3, axis=1)
    target[::5, 1] = np.nan
    return WindowArrays(context, target, np.zeros(count, dtype=np.int64), 3600)


def test_training_finds_the_known_function():
    model = LinearModel()
    history = fit(
        model, doubled(200, 1), doubled(50, 2), TrainingParameters(steps=300, learning_rate=0.02), 0, CPU
    )
    slope = (model.module["head"].weight * model.module["attention"].weight).item()
    assert slope == pytest.approx(2.0, abs=0.02)
    assert history.best_validation_loss < 1e-3
    assert history.validation_loss[0][0] == 0


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_seed_does_not():
    def weights(seed: int) -> list[float]:
        model = LinearModel()
        fit(model, doubled(100, 1), doubled(20, 2), TrainingParameters(steps=25), seed, CPU)
        return [float(weight.detach().flatten()[0]) for weight in model.module.parameters()]

    assert weights(3) == weights(3)
    assert weights(3) != weights(4)


def test_training_that_only_harms_leaves_the_weights_of_step_0():
    train, validation = doubled(100, 1), doubled(20, 2)
    opposite = WindowArrays(
        validation.context, validation.context[:, -1:].repeat(3, axis=1), validation.start, 3600
    )
    model = LinearModel()
    history = fit(model, train, opposite, TrainingParameters(steps=60, evaluate_every=10, patience=2), 0, CPU)
    assert history.best_step == 0
    assert history.stopped_early
    assert history.steps == 20
    assert all(float(weight.detach().flatten()[0]) in (0.0, 1.0) for weight in model.module.parameters())


def test_frozen_weights_do_not_move():
    model = LinearModel()
    model.module["head"].requires_grad_(False)
    fit(model, doubled(100, 1), doubled(20, 2), TrainingParameters(steps=30), 0, CPU)
    assert float(model.module["head"].weight) == 1.0
    assert float(model.module["attention"].weight.detach()) != 1.0


def test_a_loss_that_is_not_finite_ends_training_with_the_step():
    broken = doubled(40, 1)
    broken.context[3, -1] = np.inf
    with pytest.raises(UserError, match=r"training loss is .* at step 10"):
        fit(LinearModel(), broken, doubled(20, 2), TrainingParameters(steps=20, evaluate_every=10), 0, CPU)


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine():
    parameters = TrainingParameters(steps=100, warmup_fraction=0.1)
    factors = [rate_factor(step, parameters) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 45 / 90)))
    assert factors[100] == pytest.approx(0.0, abs=1e-12)
