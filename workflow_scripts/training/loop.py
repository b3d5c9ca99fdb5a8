"""The one training loop: every family, every arm, the same budget."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.progress import progress
from workflow_scripts.training.checkpoints import Checkpoints, run_identity
from workflow_scripts.training.data import WindowArrays, WindowTensors
from workflow_scripts.training.memory import explain_out_of_memory
from workflow_scripts.training.precision import adamw, autocast_context

if TYPE_CHECKING:
    from workflow_scripts.training.parameters import TrainingParameters

_NO_GRADIENT = 1e-6
"""A largest gradient below it is rounding: attention over a single patch leaves up to 1e-7 (docs/models.md)."""


@dataclass
class History:
    """What happened during training. Losses are (step, value) pairs; step 0 is before any update.

    seconds: time of all steps and evaluations, also of those before an interruption. examples: training windows
    seen, repeats counted: a batch may be the end of an epoch, and so smaller.
    """

    steps: int = 0
    best_step: int = 0
    best_validation_loss: float = math.inf
    stopped_early: bool = False
    train_loss: list[tuple[int, float]] = field(default_factory=list)
    validation_loss: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)
    examples: int = 0


class DivergenceError(UserError):
    """A loss is not finite; the best weights until then are left in the model. history: what was before."""

    history = History()


@explain_out_of_memory("training", "training.batch_size")
def fit(
    model: ForecastModel,
    train: WindowArrays,
    validation: WindowArrays,
    parameters: "TrainingParameters",
    seed: int,
    device: torch.device,
    checkpoints: Path | None = None,
    hooks: TrainingHooks | None = None,
) -> History:
    """Train the parameters that require a gradient; leave the best of them in the model.

    AdamW, linear warm-up then cosine decay, gradient clipping, early stopping on the validation loss.
    Validation at step 0 competes too, so training never leaves the model worse on validation.
    Deterministic for a seed on CPU. Raises DivergenceError where a loss is not finite, and leaves the best
    weights until then in the model; UserError where memory does not suffice.

    checkpoints: folder of a checkpoint, written after an evaluation, not more often than the settings say. The
    same call with the same folder continues from it and ends with the same weights as an uninterrupted one, bit
    for bit on CPU; a checkpoint of other settings, data or initial weights is replaced. The caller deletes the
    folder once the result is safe.
    hooks: what the arm's method asks of the loop, as `adapt` returned it.
    """
    run = _Run(
        model, train.on(device), validation.on(device), parameters, seed, device, hooks or TrainingHooks()
    )
    store = None if checkpoints is None else Checkpoints(checkpoints, run.identity())
    run.begin(store.load() if store else None)
    batches = _shuffled_batches(len(train), parameters.batch_size, seed, device, skipped=run.history.steps)
    last = run.history.steps if run.history.stopped_early else parameters.steps
    saved = begun = time.monotonic()
    before = run.history.seconds
    steps = progress(range(run.history.steps + 1, last + 1), "training")
    for step in steps:
        run.step(next(batches))
        if step % parameters.evaluate_every and step < parameters.steps:
            continue
        run.evaluate()
        steps.show_loss(run.history.validation_loss[-1][1])
        now = time.monotonic()
        run.history.seconds = before + now - begun
        # At its end a long training is saved in any case: further candidates may follow it.
        if store and now - (begun if run.over else saved) >= parameters.checkpoint_seconds:
            store.save(run.state())
            saved = now
        if run.over:
            break
    run.keep_best()
    return run.history


def validation_loss(
    model: ForecastModel, windows: WindowTensors, batch_size: int, precision: str = "float32"
) -> float:
    """Mean loss over windows, in evaluation mode; precision: as `TrainingParameters` has it."""
    model.module.eval()
    total = 0.0
    with torch.no_grad(), autocast_context(precision, windows.context.device):
        for first in range(0, len(windows), batch_size):
            context, target = windows.batch(slice(first, first + batch_size))
            total += float(model.loss(context, target)) * len(target)
    return total / len(windows)


class _Run:
    """Everything that moves during training, besides the order of the data, which the seed and the step decide."""

    def __init__(
        self,
        model: ForecastModel,
        train: WindowTensors,
        validation: WindowTensors,
        parameters: "TrainingParameters",
        seed: int,
        device: torch.device,
        hooks: TrainingHooks,
    ) -> None:
        torch.manual_seed(seed)
        self.history = History()
        self._model, self._train, self._validation = model, train, validation
        self._parameters, self._seed, self._device, self._hooks = parameters, seed, device, hooks
        named = model.module.named_parameters()
        self._trainable = {name: weight for name, weight in named if weight.requires_grad}
        self._weights = list(self._trainable.values())
        self._optimiser = adamw(self._weights, parameters.learning_rate, parameters.weight_decay, device)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: rate_factor(step, parameters)
        )
        self._best: list[Tensor] = []
        self._without_improvement = 0
        self._losses: list[Tensor] = []

    def identity(self) -> str:
        """What makes this run: settings, seed, kind of device, windows and initial weights."""
        windows = [
            part
            for tensors in (self._train, self._validation)
            for part in (tensors.context, tensors.target, tensors.start, tensors.covariates)
            if part is not None
        ]
        return run_identity(
            self._parameters.model_dump(exclude={"checkpoint_seconds"}),
            self._seed,
            self._device.type,
            *windows,
            self._train.step,
            *(part for pair in self._trainable.items() for part in pair),
        )

    def begin(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint, or evaluate the base model."""
        if state is None:
            self._validate()
        else:
            self._restore(state)
        self._model.module.train()

    def step(self, rows: Tensor) -> None:
        """One step of the optimiser on these training windows."""
        with autocast_context(self._parameters.precision, self._device):
            loss = self._model.loss(*self._train.batch(rows))
        self._optimiser.zero_grad(set_to_none=True)
        (loss + self._hooks.penalty()).backward()
        if not self.history.steps:
            _require_gradient(self._trainable)
        torch.nn.utils.clip_grad_norm_(self._weights, self._parameters.gradient_clip)
        self._optimiser.step()
        self._schedule.step()
        self.history.steps += 1
        self.history.examples += len(rows)
        self._hooks.after_step(self.history.steps)
        self._losses.append(loss.detach())

    def evaluate(self) -> None:
        """Record both losses and keep the weights if they are the best so far; on divergence the best come back."""
        try:
            mean = float(torch.stack(self._losses).mean())
            self._losses.clear()
            _require_finite(mean, "training", self.history.steps)
            self.history.train_loss.append((self.history.steps, mean))
            self._validate()
        except DivergenceError as error:
            self.keep_best()
            error.history = self.history
            raise
        # Once here and not at every step: the walk over all modules is a large part of a small model's step.
        self._model.module.train()
        exhausted = self._without_improvement >= self._parameters.patience
        self.history.stopped_early = exhausted and self.history.steps < self._parameters.steps

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.history.stopped_early or self.history.steps >= self._parameters.steps

    def keep_best(self) -> None:
        """Give the model its best weights, in evaluation mode."""
        with torch.no_grad():
            for weight, kept in zip(self._weights, self._best, strict=bool(self._best)):
                weight.copy_(kept)
        self._model.module.eval()

    def _validate(self) -> None:
        history = self.history
        parameters = self._parameters
        loss = validation_loss(self._model, self._validation, parameters.batch_size, parameters.precision)
        _require_finite(loss, "validation", history.steps)
        history.validation_loss.append((history.steps, loss))
        if not self._hooks.may_keep(history.steps):
            return
        if loss < history.best_validation_loss:
            history.best_validation_loss, history.best_step = loss, history.steps
            self._best = [weight.detach().clone() for weight in self._weights]
            self._without_improvement = 0
        else:
            self._without_improvement += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        optimiser = self._optimiser.state_dict()
        on_cuda = self._device.type == "cuda"
        return {
            "weights": dict(self._trainable),
            "moments": list(optimiser["state"].items()),
            "groups": optimiser["param_groups"],
            "schedule": self._schedule.state_dict(),
            "history": asdict(self.history),
            "best": self._best,
            "evaluations_without_improvement": self._without_improvement,
            "hooks": self._hooks.state(),
            "generator": torch.get_rng_state(),
            "device_generator": torch.cuda.get_rng_state(self._device) if on_cuda else None,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, weight in self._trainable.items():
                weight.copy_(state["weights"][name])
        self._optimiser.load_state_dict({"state": dict(state["moments"]), "param_groups": state["groups"]})
        self._schedule.load_state_dict(state["schedule"])
        losses = {
            name: [(step, loss) for step, loss in state["history"][name]]
            for name in ("train_loss", "validation_loss")
        }
        vars(self.history).update(state["history"] | losses)
        self._best = [weight.to(self._device) for weight in state["best"]]
        self._without_improvement = state["evaluations_without_improvement"]
        self._hooks.restore(state["hooks"])
        torch.set_rng_state(state["generator"])
        if state["device_generator"] is not None:
            torch.cuda.set_rng_state(state["device_generator"], self._device)


def _require_gradient(trainable: dict[str, Tensor]) -> None:
    """Raise UserError where nothing that trains would move: before the first step, so that no time is lost."""
    gradients = [weight.grad for weight in trainable.values() if weight.grad is not None]
    largest = max((float(gradient.abs().max()) for gradient in gradients), default=0.0)
    if largest < _NO_GRADIENT:
        raise UserError(
            "training",
            f"no gradient in any of the {len(trainable)} tensors that train (the largest is {largest:.1g})",
            "a loss that depends on what trains",
            "attention over a single patch has no gradient in queries and keys: use adaptation.targets: all-linear, "
            "or a longer windows.context",
        )


def _require_finite(loss: float, kind: str, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergenceError(
            where="training",
            found=f"the {kind} loss is {loss} at step {step}",
            expected="a finite loss",
            remedy="lower training.learning_rate, or check the base weights",
        )


def rate_factor(step: int, parameters: "TrainingParameters") -> float:
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
