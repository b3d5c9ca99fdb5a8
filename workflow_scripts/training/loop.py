"""The one training loop: every family, every arm, the same budget."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.progress import progress
from workflow_scripts.training.checkpoints import Checkpoints, run_identity
from workflow_scripts.training.data import WindowArrays, WindowTensors
from workflow_scripts.training.parameters import TrainingParameters


@dataclass
class History:
    """What happened during training. Losses are (step, value) pairs; step 0 is before any update.

    seconds: time of all steps and evaluations, also of those before an interruption.
    """

    steps: int = 0
    best_step: int = 0
    best_validation_loss: float = math.inf
    stopped_early: bool = False
    train_loss: list[tuple[int, float]] = field(default_factory=list)
    validation_loss: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)


class DivergenceError(UserError):
    """A loss is not finite; the best weights until then are left in the model. history: what was before."""

    history = History()


def fit(
    model: ForecastModel,
    train: WindowArrays,
    validation: WindowArrays,
    parameters: TrainingParameters,
    seed: int,
    device: torch.device,
    checkpoints: Path | None = None,
    hooks: TrainingHooks | None = None,
) -> History:
    """Train the parameters that require a gradient; leave the best of them in the model.

    AdamW, linear warm-up then cosine decay, gradient clipping, early stopping on the validation loss.
    Validation at step 0 competes too, so training never leaves the model worse on validation.
    Deterministic for a seed on CPU. Raises DivergenceError where a loss is not finite, and leaves the best
    weights until then in the model.

    checkpoints: folder of a checkpoint, written after an evaluation, not more often than the settings say. The
    same call with the same folder continues from it and ends with the same weights as an uninterrupted one, bit
    for bit on CPU; a checkpoint of other settings, data or initial weights is replaced. The caller deletes the
    folder once the result is safe.
    hooks: what the arm's method asks of the loop, as `adapt` returned it.
    """
    hooks = hooks or TrainingHooks()
    torch.manual_seed(seed)
    trainable = {name: weight for name, weight in model.module.named_parameters() if weight.requires_grad}
    weights = list(trainable.values())
    optimiser = torch.optim.AdamW(weights, lr=parameters.learning_rate, weight_decay=parameters.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_factor(step, parameters))
    train_tensors, validation_tensors = train.on(device), validation.on(device)

    history = History()
    best = _Best(weights)
    run = _Run(trainable, optimiser, schedule, history, best, hooks, device)
    saved = None
    if checkpoints is not None:
        identity = run_identity(
            parameters.model_dump(exclude={"checkpoint_seconds"}),
            seed,
            device.type,
            *_tensors(train_tensors, validation_tensors, trainable),
        )
        saved = Checkpoints(checkpoints, identity)
    state = saved.load() if saved else None
    started = checkpointed = time.monotonic()
    if state is None:
        _evaluate(model, validation_tensors, parameters, history, best, hooks)
    else:
        run.restore(state)
    batches = _shuffled_batches(len(train), parameters.batch_size, seed, device, skipped=history.steps)
    last = history.steps if history.stopped_early else parameters.steps
    losses_since_evaluation: list[Tensor] = []
    steps = progress(range(history.steps + 1, last + 1), "training")
    before = history.seconds
    for step in steps:
        model.module.train()
        loss = model.loss(*train_tensors.batch(next(batches)))
        optimiser.zero_grad(set_to_none=True)
        (loss + hooks.penalty()).backward()
        torch.nn.utils.clip_grad_norm_(weights, parameters.gradient_clip)
        optimiser.step()
        schedule.step()
        hooks.after_step(step)
        losses_since_evaluation.append(loss.detach())
        history.steps = step
        if step % parameters.evaluate_every == 0 or step == parameters.steps:
            try:
                _record_training_loss(losses_since_evaluation, history)
                _evaluate(model, validation_tensors, parameters, history, best, hooks)
            except DivergenceError as error:
                best.restore()
                error.history = history
                raise
            steps.show_loss(history.validation_loss[-1][1])
            exhausted = best.evaluations_without_improvement >= parameters.patience
            history.stopped_early = exhausted and step < parameters.steps
            history.seconds = before + time.monotonic() - started
            over = exhausted or step == parameters.steps
            due = (started if over else checkpointed) + parameters.checkpoint_seconds
            if saved is not None and time.monotonic() >= due:
                saved.save(run.state())
                checkpointed = time.monotonic()
            if exhausted:
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
        self.weights: list[Tensor] = []
        self.evaluations_without_improvement = 0

    def offer(self, history: History, loss: float) -> None:
        if loss < history.best_validation_loss:
            history.best_validation_loss, history.best_step = loss, history.steps
            self.weights = [weight.detach().clone() for weight in self._trainable]
            self.evaluations_without_improvement = 0
        else:
            self.evaluations_without_improvement += 1

    def restore(self) -> None:
        with torch.no_grad():
            for weight, kept in zip(self._trainable, self.weights, strict=bool(self.weights)):
                weight.copy_(kept)


@dataclass
class _Run:
    """Everything that moves during training, besides the order of the data, which the seed and the step decide."""

    trainable: dict[str, torch.nn.Parameter]
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    history: History
    best: _Best
    hooks: TrainingHooks
    device: torch.device

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        optimiser = self.optimiser.state_dict()
        return {
            "weights": dict(self.trainable),
            "moments": list(optimiser["state"].items()),
            "groups": optimiser["param_groups"],
            "schedule": self.schedule.state_dict(),
            "history": asdict(self.history),
            "best": self.best.weights,
            "evaluations_without_improvement": self.best.evaluations_without_improvement,
            "hooks": self.hooks.state(),
            "generator": torch.get_rng_state(),
            "device_generator": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was taken."""
        with torch.no_grad():
            for name, weight in self.trainable.items():
                weight.copy_(state["weights"][name])
        self.optimiser.load_state_dict({"state": dict(state["moments"]), "param_groups": state["groups"]})
        self.schedule.load_state_dict(state["schedule"])
        losses = {
            name: [(step, loss) for step, loss in state["history"][name]]
            for name in ("train_loss", "validation_loss")
        }
        vars(self.history).update(state["history"] | losses)
        self.best.weights = [weight.to(self.device) for weight in state["best"]]
        self.best.evaluations_without_improvement = state["evaluations_without_improvement"]
        self.hooks.restore(state["hooks"])
        torch.set_rng_state(state["generator"])
        if state["device_generator"] is not None:
            torch.cuda.set_rng_state(state["device_generator"], self.device)


def _tensors(
    train: WindowTensors, validation: WindowTensors, trainable: dict[str, torch.nn.Parameter]
) -> list[Any]:
    """What a run starts from, for its identity."""
    windows = [
        part for tensors in (train, validation) for part in (tensors.context, tensors.target, tensors.start)
    ]
    return [*windows, train.step, *(part for pair in trainable.items() for part in pair)]


def _evaluate(
    model: ForecastModel,
    windows: WindowTensors,
    parameters: TrainingParameters,
    history: History,
    best: _Best,
    hooks: TrainingHooks,
) -> None:
    loss = validation_loss(model, windows, parameters.batch_size)
    _require_finite(loss, "validation", history.steps)
    history.validation_loss.append((history.steps, loss))
    if hooks.may_keep(history.steps):
        best.offer(history, loss)


def _record_training_loss(losses: list[Tensor], history: History) -> None:
    mean = float(torch.stack(losses).mean())
    losses.clear()
    _require_finite(mean, "training", history.steps)
    history.train_loss.append((history.steps, mean))


def _require_finite(loss: float, kind: str, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergenceError(
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


def _shuffled_batches(
    count: int, size: int, seed: int, device: torch.device, skipped: int = 0
) -> Iterator[Tensor]:
    """Row numbers of one batch after another; every epoch is a new seeded permutation."""
    generator = torch.Generator().manual_seed(seed)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(count, generator=generator).to(device).split(size)

    return islice(batches(), skipped, None)
