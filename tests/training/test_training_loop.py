"""The training loop against what can be worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.linear_model import LinearModel
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import DivergenceError, fit, rate_factor, validation_loss
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


@pytest.mark.parametrize(("fraction", "first"), [(0.0, 1.0), (0.01, 1.0), (0.5, 0.02), (1.0, 0.01)])
def test_the_first_step_has_its_share_of_the_peak_rate(fraction: float, first: float):
    """AdamW's first step moves a weight by the rate itself, whatever the gradient (Kingma and Ba 2015, section 2.1)."""
    model = LinearModel()
    budget = TrainingParameters(steps=100, warmup_fraction=fraction, learning_rate=0.01, evaluate_every=1)
    assert rate_factor(0, budget) == pytest.approx(first)

    class StopError(Exception):
        pass

    class Stop(TrainingHooks):
        def after_step(self, step: int) -> None:  # noqa: ARG002
            raise StopError

    with pytest.raises(StopError):
        fit(model, doubled(100, 1), doubled(20, 2), budget, 0, CPU, hooks=Stop())
    assert abs(float(model.module["head"].weight.detach()) - 1) == pytest.approx(0.01 * first, rel=1e-3)


def test_the_rate_of_a_training_that_is_all_warm_up_never_falls():
    budget = TrainingParameters(steps=4, warmup_fraction=1.0)
    assert [rate_factor(step, budget) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


class Gradients(TrainingHooks):
    """Notes the norm of the gradient at every step, and which steps there were."""

    def __init__(self, model: LinearModel) -> None:
        self.model, self.norms, self.steps = model, [], []

    def after_step(self, step: int) -> None:
        gradients = [weight.grad.flatten() for weight in self.model.module.parameters()]
        self.norms.append(float(torch.cat(gradients).norm()))
        self.steps.append(step)


def test_a_gradient_is_clipped_to_the_norm_that_was_asked_for():
    model = LinearModel()
    hooks = Gradients(model)
    fit(
        model,
        doubled(64, 1),
        doubled(20, 2),
        TrainingParameters(steps=3, gradient_clip=0.25),
        0,
        CPU,
        hooks=hooks,
    )
    assert hooks.norms == pytest.approx([0.25] * 3, rel=1e-3)
    assert hooks.steps == [1, 2, 3]


def test_weight_decay_pulls_weights_towards_zero_by_the_rate_times_itself():
    """Loshchilov and Hutter 2019: apart from the gradient; a weight whose gradient is zero shows it alone."""

    def end(decay: float) -> float:
        model = LinearModel()
        with torch.no_grad():
            model.module["head"].weight.zero_()  # So nothing of the first layer reaches the forecast.
        budget = TrainingParameters(steps=1, warmup_fraction=0, learning_rate=0.1, weight_decay=decay)
        opposite = WindowArrays(
            np.ones((8, 4), np.float32), np.ones((8, 3), np.float32), np.zeros(8, np.int64), 3600
        )
        weights: list[float] = []

        class Note(TrainingHooks):
            def after_step(self, step: int) -> None:  # noqa: ARG002
                weights.append(float(model.module["attention"].weight.detach()))

        fit(model, opposite, opposite, budget, 0, CPU, hooks=Note())
        return weights[0]

    assert end(0.0) == pytest.approx(1.0)
    assert end(0.5) == pytest.approx(1 - 0.1 * 0.5)


def test_validation_is_the_mean_over_windows_whatever_the_batches():
    windows = doubled(50, 2)
    windows.target[:] = np.nan_to_num(windows.target, nan=0.0)
    expected = float(np.mean((windows.target - windows.context[:, -1:]) ** 2))
    for size in (7, 49, 50, 64):
        assert validation_loss(LinearModel(), windows.on(CPU), size) == pytest.approx(expected, rel=1e-5)


def test_losses_are_noted_at_every_evaluation_and_at_the_last_step():
    history = fit(
        LinearModel(),
        doubled(100, 1),
        doubled(20, 2),
        TrainingParameters(steps=25, evaluate_every=10, batch_size=32),
        0,
        CPU,
    )
    assert [step for step, _ in history.validation_loss] == [0, 10, 20, 25]
    assert [step for step, _ in history.train_loss] == [10, 20, 25]
    assert (history.steps, history.stopped_early) == (25, False)
    # 100 windows in batches of 32 are 32 + 32 + 32 + 4: six epochs and one batch.
    assert history.examples == 6 * 100 + 32
    assert history.best_validation_loss == min(loss for _, loss in history.validation_loss)
    assert 0 < history.seconds < 60


def test_the_training_loss_is_the_mean_since_the_evaluation_before():
    train = doubled(32, 1)
    model, losses = LinearModel(), []
    own = model.loss

    def noted(*arguments):
        loss = own(*arguments)
        if model.module.training:
            losses.append(float(loss.detach()))
        return loss

    model.loss = noted
    history = fit(model, train, doubled(20, 2), TrainingParameters(steps=8, evaluate_every=4), 0, CPU)
    expected = [(4, np.mean(losses[:4])), (8, np.mean(losses[4:]))]
    assert history.train_loss == [(step, pytest.approx(loss, rel=1e-5)) for step, loss in expected]


@pytest.mark.parametrize(("patience", "steps"), [(1, 10), (3, 30), (6, 60)])
def test_training_stops_after_as_many_evaluations_without_improvement_as_patience_says(
    patience: int, steps: int
):
    """Six evaluations are all there are, so the last case ends by itself."""
    validation = doubled(20, 2)
    worse = WindowArrays(
        validation.context, validation.context[:, -1:].repeat(3, axis=1), validation.start, 3600
    )
    budget = TrainingParameters(steps=60, evaluate_every=10, patience=patience)
    history = fit(LinearModel(), doubled(100, 1), worse, budget, 0, CPU)
    assert (history.steps, history.best_step) == (steps, 0)
    assert history.stopped_early == (steps < 60)


def test_every_epoch_sees_each_window_once_in_an_order_of_its_own():
    train = WindowArrays(
        np.arange(40, dtype=np.float32)[:, None].repeat(4, axis=1),
        np.zeros((40, 3), np.float32),
        np.zeros(40, np.int64),
        3600,
    )
    model, seen = LinearModel(), []
    own = model.loss

    def noted(context, target):
        if model.module.training:
            seen.extend(context.values[:, -1].tolist())
        return own(context, target)

    model.loss = noted
    fit(model, train, doubled(20, 2), TrainingParameters(steps=6, batch_size=16, evaluate_every=6), 0, CPU)
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert first != sorted(first)


def test_checkpoints_are_no_more_frequent_than_asked_for(tmp_path: Path):
    for seconds, is_written in ((3600.0, False), (0.0, True)):
        budget = TrainingParameters(steps=20, evaluate_every=5, checkpoint_seconds=seconds)
        folder = tmp_path / str(seconds)
        fit(LinearModel(), doubled(100, 1), doubled(20, 2), budget, 0, CPU, folder)
        assert folder.exists() == is_written


def test_a_validation_loss_that_is_not_finite_ends_training_before_the_first_step():
    broken = doubled(20, 2)
    broken.context[3, -1] = np.inf
    with pytest.raises(UserError, match=r"validation loss is (inf|nan) at step 0"):
        fit(LinearModel(), doubled(40, 1), broken, TrainingParameters(steps=20), 0, CPU)


def test_what_diverges_leaves_the_best_weights_and_the_history_until_then():
    class Explode(TrainingHooks):
        def after_step(self, step: int) -> None:
            if step == 15:
                with torch.no_grad():
                    model.module["head"].weight.fill_(torch.nan)

    model = LinearModel()
    budget = TrainingParameters(steps=40, evaluate_every=10, learning_rate=0.01)
    with pytest.raises(DivergenceError, match="training loss is nan at step 20") as failed:
        fit(model, doubled(100, 1), doubled(20, 2), budget, 0, CPU, hooks=Explode())
    assert failed.value.history.best_step == 10
    assert [step for step, _ in failed.value.history.validation_loss] == [0, 10]
    assert all(weight.isfinite().all() for weight in model.module.parameters())
    assert validation_loss(model, doubled(20, 2).on(CPU), 32) == failed.value.history.best_validation_loss
    assert not model.module.training


def test_training_that_could_move_nothing_is_refused_before_its_first_step():
    """With a head of 0 the layer before it has no gradient, whatever the data."""
    model = LinearModel()
    for weight in model.module["head"].parameters():
        weight.requires_grad = False
        weight.zero_()
    before = [weight.detach().clone() for weight in model.module.parameters()]
    with pytest.raises(UserError, match="no gradient in any of the 2 tensors") as refused:
        fit(model, doubled(100, 1), doubled(20, 2), TrainingParameters(steps=25), 0, CPU)
    assert "adaptation.targets: all-linear" in refused.value.remedy
    assert all(
        torch.equal(weight, old) for weight, old in zip(model.module.parameters(), before, strict=True)
    )
