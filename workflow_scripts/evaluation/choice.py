"""Which adapter to take: chosen on validation alone, with the reason in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.runtime.errors import UserError


@dataclass(frozen=True)
class Candidate:
    """An arm that could be chosen. validation_loss: mean over seeds; None where a seed has none."""

    arm: str
    validation_loss: float | None
    trainable_parameters: int | None
    reason: str


@dataclass(frozen=True)
class Choice:
    """The chosen arm and seed, why, and all that it was chosen from."""

    model: str
    arm: str
    seed: int
    reason: str
    candidates: list[Candidate]


def choose_adapter(arms: Sequence[ArmSummary]) -> Choice:
    """Choose among the arms of one model on one cohort and vital sign.

    The arm with the smallest validation loss, mean over seeds; of equal ones that which trains fewest parameters.
    Of its seeds the one with the smallest validation loss. The test split is not looked at. Raises UserError where
    no arm left an adapter.
    """
    subject = arms[0].first
    adapted = [arm for arm in arms if arm.arm.is_adapter]
    complete = adapters_by_loss(adapted)
    if not complete:
        raise UserError(
            where=f"adapters of {subject.model} for {subject.vital} of {subject.cohort}",
            found=f"{len(adapted)} arms with an adapter, none complete"
            if adapted
            else "no arm with an adapter",
            expected="at least one run of a parameter-efficient method, such as lora",
            remedy="name such arms and ranks in params.yaml",
        )
    best = complete[0]
    run = best_seed(best)
    return Choice(
        model=subject.model,
        arm=run.arm,
        seed=run.seed,
        reason=_reason(best, complete, run.seed, arms),
        candidates=[
            Candidate(arm.first.arm, _loss(arm), arm.first.trainable_parameters, arm.reason)
            for arm in adapted
        ],
    )


def adapters_by_loss(arms: Sequence[ArmSummary]) -> list[ArmSummary]:
    """The arms with a complete adapter in every seed, the smallest validation loss (mean over seeds) first.

    Of equal ones that which trains fewest parameters comes first.
    """
    complete = [arm for arm in arms if arm.arm.is_adapter and _loss(arm) is not None]
    return sorted(complete, key=lambda arm: (_loss(arm), arm.first.trainable_parameters or 0))


def best_seed(arm: ArmSummary) -> RunRow:
    """The run of an arm with the smallest validation loss."""
    return min(arm.runs, key=lambda run: (run.best_validation_loss, run.seed))


def _loss(arm: ArmSummary) -> float | None:
    return None if arm.failed else arm.mean("best_validation_loss")


def _reason(best: ArmSummary, complete: Sequence[ArmSummary], seed: int, arms: Sequence[ArmSummary]) -> str:
    loss, seeds = _loss(best), len(best.runs)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    text = f"{best.first.arm} has the smallest validation loss of {len(complete)} adapted arms, {loss:.4f} ({over})"
    if len(complete) == 1:
        text = f"{best.first.arm} is the only adapted arm, with a validation loss of {loss:.4f} ({over})"
    others = sorted(
        (other, arm.first.arm) for arm in complete if arm is not best and (other := _loss(arm)) is not None
    )
    if others:
        text += f"; next is {others[0][1]} with {others[0][0]:.4f}"
    full = next((arm for arm in arms if arm.arm.is_full and _loss(arm) is not None), None)
    if full is not None:
        text += f"; full fine-tuning has {_loss(full):.4f}"
    if seeds > 1:
        text += f"; seed {seed} is the best of its seeds"
    unadapted = sum(run.best_step == 0 for run in best.runs)
    if unadapted:
        text += f"; in {unadapted} of {seeds} seeds no step made the validation loss smaller than the base model's"
    return f"{text}. Chosen on validation alone."
