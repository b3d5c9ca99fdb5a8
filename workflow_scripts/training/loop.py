"""The one training loop: every family, every arm, the same budget."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.progress import progress
from workflow_scripts.training.data import WindowArrays, WindowTensors
from workflow_scripts.training.parameters import TrainingParameters


@dataclass
class History:
    """What happened during training. Losses are (step, value) pairs; step 0 is before any update."""

    steps: int = 0
    best_step: int = 0
    best_validation_loss: float = math.inf
    stopped_early: bool = False
    train_loss: list[tuple[int, float]] = field(default_factory=list)
    validation_loss: list[tuple[int, float]] = field(default_factory=list)


def fit(
    model: ForecastModel,
    train: WindowArrays,
    validation: WindowArrays,
    parameters: TrainingParameters,
    seed: int,
    device: torch.device,
) -> History:
    """Train the parameters that require a gradient; leave the best of them in the model.

    AdamW, linear warm-up then cosine decay, gradient clipping, early stopping on the validation loss.
    Validation at step 0 competes too, so training never leaves the model worse on validation.
    Deterministic for a seed on CPU. Raises UserError where the loss is not finite.
    """
    torch.manual_seed(seed)
    trainable = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        trainable, lr=parameters.learning_rate, weight_decay=parameters.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_factor(step, parameters))
    train_tensors, validation_tensors = train.on(device), validation.on(device)
    batches = _shuffled_batches(len(train), parameters.batch_size, seed, device)

    history = History()
    best = _Best(trainable)
    _evaluate(model, validation_tensors, parameters, history, best)
    losses_since_evaluation: list[Tensor] = []
    steps = progress(range(1, parameters.steps + 1), "training")
    for step in steps:
        model.module.train()
        loss = model.loss(*train_tensors.batch(next(batches)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, parameters.gradient_clip)
        optimiser.step()
        schedule.step()
        losses_since_evaluation.append(loss.detach())
        history.steps = step
        if step % parameters.evaluate_every == 0 or step == parameters.steps:
            _record_training_loss(losses_since_evaluation, history)
            _evaluate(model, validation_tensors, parameters, history, best)
            steps.show_loss(history.validation_loss[-1][1])
            if best.evaluations_without_improvement >= parameters.patience:
                history.stopped_early = step < parameters.steps
                break
    best.restore()
    model.module.eval()
    return history


def validation_loss(model: ForecastModel, windows: WindowTensors, batch_size: int) -> float:
    """Mean loss over windows, in evaluation mode."""
    model.module.eval()
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(windows), batch_size):
            context, target = windows.batch(slice(first, first + batch_size))
            total += float(model.loss(context, target)) * len(target)
    return total / len(windows)


class _Best:
    """The trainable weights at the best validation loss so far."""

    def __init__(self, trainable: list[torch.nn.Parameter]) -> None:
        self._trainable = trainable
        self._weights: list[Tensor] = []
        self.evaluations_without_improvement = 0

    def offer(self, history: History, loss: float) -> None:
        if loss < history.best_validation_loss:
            history.best_validation_loss, history.best_step = loss, history.steps
            self._weights = [weight.detach().clone() for weight in self._trainable]
            self.evaluations_without_improvement = 0
        else:
            self.evaluations_without_improvement += 1

    def restore(self) -> None:
        with torch.no_grad():
            for weight, kept in zip(self._trainable, self._weights, strict=True):
                weight.copy_(kept)


def _evaluate(
    model: ForecastModel,
    windows: WindowTensors,
    parameters: TrainingParameters,
    history: History,
    best: _Best,
) -> None:
    loss = validation_loss(model, windows, parameters.batch_size)
    _require_finite(loss, "validation", history.steps)
    history.validation_loss.append((history.steps, loss))
    best.offer(history, loss)


def _record_training_loss(losses: list[Tensor], history: History) -> None:
    mean = float(torch.stack(losses).mean())
    losses.clear()
    _require_finite(mean, "training", history.steps)
    history.train_loss.append((history.steps, mean))


def _require_finite(loss: float, kind: str, step: int) -> None:
    if not math.isfinite(loss):
        raise UserError(
            where="training",
            found=f"the {kind} loss is {loss} at step {step}",
            expected="a finite loss",
            remedy="lower training.learning_rate, or check the base weights",
        )


def _rate_factor(step: int, parameters: TrainingParameters) -> float:
    """Linear warm-up to 1, then cosine decay to 0 at the last step."""
    warmup = max(1, round(parameters.warmup_fraction * parameters.steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, parameters.steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _shuffled_batches(count: int, size: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Row numbers of one batch after another; every epoch is a new seeded permutation."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator).to(device)
        yield from order.split(size)
