"""Which arm of a model is recommended: chosen on validation alone, with the reason in words.

There is one choice: report, forecast fans, MLflow, its registry, planned comparisons and `best_adapter` all ask here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.runtime.errors import UserError

CRITERION = "validation_wql"
"""The column of metrics.csv that decides: every arm has it, trained or not, whatever loss it was trained with."""


@dataclass(frozen=True)
class Candidate:
    """An arm that could be chosen. validation_wql: mean over seeds; None where a seed has none."""

    arm: str
    validation_wql: float | None
    trainable_parameters: int | None
    reason: str


@dataclass(frozen=True)
class Choice:
    """The recommended arm and its best seed, why, and all that it was chosen from."""

    model: str
    arm: str
    seed: int
    reason: str
    candidates: list[Candidate]


def validation_error(arm: ArmSummary) -> float | None:
    """What an arm is chosen by: its weighted quantile loss on the validation windows, mean over seeds."""
    return None if arm.failed else arm.mean(CRITERION)


def by_validation(arms: Sequence[ArmSummary]) -> list[ArmSummary]:
    """The complete arms, the smallest error on the validation windows first; of equal ones that which trains least."""
    complete = [(error, arm) for arm in arms if (error := validation_error(arm)) is not None]
    return [
        arm
        for _, arm in sorted(complete, key=lambda pair: (pair[0], pair[1].first.trainable_parameters or 0))
    ]


def recommended(arms: Sequence[ArmSummary]) -> ArmSummary | None:
    """The arm to take of one model on one cohort and vital sign; None where none is complete.

    Zero-shot competes: where no training lowers the validation error, the model is recommended as it is.
    """
    return next(iter(by_validation(arms)), None)


def best_seed(arm: ArmSummary) -> RunRow:
    """The run of an arm with the smallest error on the validation windows."""
    return min(arm.runs, key=lambda run: (run.validation_wql, run.seed))


def choose_adapter(arms: Sequence[ArmSummary]) -> Choice:
    """Say which arm of one model is recommended on one cohort and vital sign; it may be zero-shot, without an adapter.

    The test split is not looked at. Raises UserError where no arm is complete.
    """
    subject, complete = arms[0].first, by_validation(arms)
    if not complete:
        raise UserError(
            where=f"arms of {subject.model} for {subject.vital} of {subject.cohort}",
            found=f"{len(arms)} arms, none complete",
            expected="at least one arm whose runs all gave finite forecasts",
            remedy="see the reasons in metrics.csv, and run such arms again",
        )
    best = complete[0]
    run = best_seed(best)
    return Choice(
        model=subject.model,
        arm=run.arm,
        seed=run.seed,
        reason=_reason(complete, run.seed),
        candidates=[
            Candidate(arm.first.arm, validation_error(arm), arm.first.trainable_parameters, arm.reason)
            for arm in arms
        ],
    )


def _reason(complete: Sequence[ArmSummary], seed: int) -> str:
    best, *others = complete
    errors = [f"{validation_error(arm):.4g}" for arm in complete]
    seeds = len(best.runs)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    text = f"{best.first.arm} has the smallest error of {len(complete)} arms on the validation windows"
    if not others:
        text = f"{best.first.arm} is the only complete arm, with an error on the validation windows"
    text += f", a weighted quantile loss of {errors[0]} ({over})"
    if others:
        text += f"; next is {others[0].first.arm} with {errors[1]}"
    if best.arm.is_zero_shot and others:
        text += "; no arm that was trained has a smaller one, so no adapter is needed"
    if seeds > 1 and best.arm.trains:
        text += f"; seed {seed} is the best of its seeds"
    return f"{text}. Chosen on validation alone."
