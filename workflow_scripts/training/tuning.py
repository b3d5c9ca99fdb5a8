"""The same candidates for every arm of every model: each is trained, the smallest validation loss is kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import DivergenceError, History, fit
from workflow_scripts.training.parameters import TrainingParameters


@dataclass(frozen=True)
class Trial:
    """One candidate. best_validation_loss: None where the loss was not finite; failure says where."""

    learning_rate: float
    steps: int
    best_step: int
    best_validation_loss: float | None
    examples: int
    seconds: float = field(compare=False)
    failure: str


@dataclass(frozen=True)
class Tuned:
    """The chosen candidate's training, all trials, and why none could be chosen (empty where one was)."""

    chosen: TrainingParameters
    history: History
    trials: list[Trial]
    failure: str


def train_best(
    prepare: Callable[[TrainingParameters], tuple[ForecastModel, TrainingHooks]],
    keep: Callable[[ForecastModel], None],
    candidates: Sequence[TrainingParameters],
    train: WindowArrays,
    validation: WindowArrays,
    seed: int,
    device: torch.device,
    checkpoints: Path,
) -> Tuned:
    """Train every candidate from the same start; `keep` what has the smallest validation loss.

    prepare: makes the adapted model anew, before each candidate. keep: stores what was learned; called for every
    candidate that is better than all before it, and for the first one, so that the last good weights are kept where
    every loss diverges. checkpoints: folder in which an interrupted call left its state. The test split is not among
    the arguments: nothing here can choose by it.
    Source of the protocol: equal budgets of learning rates for each arm (arXiv 2602.04998 on why it matters).
    """
    trials: list[Trial] = []
    best: tuple[TrainingParameters, History] | None = None
    smallest = math.inf
    for number, budget in enumerate(candidates):
        model, hooks = prepare(budget)
        model.module.to(device)
        try:
            history = fit(
                model, train, validation, budget, seed, device, checkpoints / f"candidate{number}", hooks
            )
            failure = ""
        except DivergenceError as error:
            history, failure = error.history, error.found
        loss = math.inf if failure else history.best_validation_loss
        trials.append(
            Trial(
                learning_rate=budget.learning_rate,
                steps=history.steps,
                best_step=history.best_step,
                best_validation_loss=None if failure else loss,
                examples=history.examples,
                seconds=history.seconds,
                failure=failure,
            )
        )
        if best is None or loss < smallest:
            keep(model)
            best, smallest = (budget, history), loss
    if best is None:
        raise UserError("training", "no candidate", "at least one budget", "name a learning rate")
    return Tuned(*best, trials, "" if any(not trial.failure for trial in trials) else trials[0].failure)
