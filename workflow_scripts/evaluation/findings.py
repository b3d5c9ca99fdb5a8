"""Verdicts on the paper's seven findings, for one cohort and vital sign: findings.csv. docs/findings.md explains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.evaluation.claims import METRIC, Claim, claims
from workflow_scripts.evaluation.comparison import ROUNDING, bootstrap_p_value, holm
from workflow_scripts.evaluation.names import counted
from workflow_scripts.evaluation.patient_sums import RESAMPLED
from workflow_scripts.evaluation.resampled_task import ResampledArm, ResampledTask
from workflow_scripts.evaluation.summary import FindingRow

AGREES, DISAGREES, UNDECIDED, NOT_TESTED = "agrees", "disagrees", "undecided", "not tested"

ENOUGH_PATIENTS, ENOUGH_SEEDS = 40, 5
"""Below these, 95 % intervals hold the truth in clearly less than 95 % of studies (docs/statistics.md)."""

NOTHING_LEARNED = (
    "nothing was learned: validation kept every adapted arm at its start (best_step 0 for all seeds)"
)


@dataclass(frozen=True)
class Estimate:
    """What a claim comes to. p_value: of the claim's limit, before correction; reason: why it is not tested."""

    claim: Claim
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    holds: bool = False
    reason: str = ""


def findings(task: ResampledTask) -> list[FindingRow]:
    """Hold every finding against one cohort and vital sign; each has at least one row.

    The claims whose arms are in the study are one family for Holm's correction, also those that could not be tested.
    """
    estimates = [_estimate(task, claim) for claim in claims(task)]
    corrected = iter(holm([each.p_value for each in estimates if not each.claim.missing]))
    number = sum(not each.claim.missing for each in estimates)
    return [_row(task, each, None if each.claim.missing else next(corrected), number) for each in estimates]


def _estimate(task: ResampledTask, claim: Claim) -> Estimate:
    """Value, interval and p-value, as far as there are any."""
    if claim.missing:
        return Estimate(claim, reason=claim.missing)
    if undefined := next(filter(None, (arm.undefined(METRIC) for arm in claim.compared)), ""):
        return Estimate(claim, reason=task.no_interval(METRIC, *claim.compared) or undefined)
    if vacuous := (NOTHING_LEARNED if _nothing_learned(claim) else claim.vacuous):
        return Estimate(claim, reason=vacuous)
    index, parameters = RESAMPLED.index(METRIC), task.parameters
    numbers = claim.estimate(
        [np.append(arm.values[index], arm.replicates[:, index]) for arm in claim.compared]
    )
    value = float(numbers[0])
    if reason := task.no_interval(METRIC, *claim.compared):
        return Estimate(claim, value, reason=reason)
    tail = (1 - parameters.confidence) / 2
    # Ranks have nothing between them, so no quantile is interpolated.
    low, high = map(float, np.quantile(numbers[1:], [tail, 1 - tail], method="inverted_cdf"))
    seeds = _seeds(claim)
    if seeds is not None and seeds < parameters.minimum_seeds:
        fewer = f"fewer than {parameters.minimum_seeds}, so training's chance is not covered"
        return Estimate(claim, value, low, high, reason=f"{counted(seeds, 'seed')}: {fewer}")
    excess = claim.excess(numbers[1:])
    excess[np.abs(excess) <= ROUNDING] = 0.0
    return Estimate(claim, value, low, high, bootstrap_p_value(excess), bool(np.median(excess) < 0))


def _nothing_learned(claim: Claim) -> bool:
    """Whether every adapted arm is its base model still: then the claim compares that model with itself."""
    adapted = [arm for arm in _trained(claim) if not arm.summary.arm.is_from_scratch]
    return bool(adapted) and all(run.best_step == 0 for arm in adapted for run in arm.summary.runs)


def _trained(claim: Claim) -> Iterator[ResampledArm]:
    return (arm for arm in claim.compared if arm.summary.first.training_steps is not None)


def _seeds(claim: Claim) -> int | None:
    """The fewest seeds of an arm that was trained; None where none was."""
    return min((len(arm.summary.runs) for arm in _trained(claim)), default=None)


def _row(task: ResampledTask, estimate: Estimate, p_holm: float | None, number: int) -> FindingRow:
    first, claim = task.arms[0].summary.first, estimate.claim
    verdict, reason = _verdict(task, estimate, p_holm, number)
    return FindingRow(
        finding=claim.finding,
        cohort=first.cohort,
        vital=first.vital,
        claim=claim.title,
        arms=_names(claim.arms),
        against=_names(claim.against),
        metric=METRIC,
        found="" if estimate.value is None else claim.words(estimate.value),
        measure=claim.measure,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        p_value=estimate.p_value,
        p_holm=p_holm,
        claims=number,
        patients=task.patients,
        seeds=min((len(arm.summary.runs) for arm in claim.compared), default=0),
        verdict=verdict,
        reason=reason,
    )


def _names(arms: Sequence[ResampledArm]) -> str:
    """Models with their arms, as `chronos-t5-small lora-r4; moirai-nano full`."""
    return "; ".join(" ".join(arm.name) for arm in arms)


def _verdict(task: ResampledTask, estimate: Estimate, p_holm: float | None, number: int) -> tuple[str, str]:
    """The verdict after correction, and what the reader must know of it."""
    if estimate.p_value is None or p_holm is None:
        return NOT_TESTED, estimate.reason
    level = 1 - task.parameters.confidence
    cautions = _cautions(task, estimate.claim)
    if p_holm <= level:
        return AGREES if estimate.holds else DISAGREES, cautions
    reason = "the interval shows neither"
    if estimate.p_value <= level:
        reason = f"shown alone, but not after correction for {counted(number, 'claim')} (Holm)"
    return UNDECIDED, "; ".join(filter(None, (reason, cautions)))


def _cautions(task: ResampledTask, claim: Claim) -> str:
    """Why the interval holds less than it says; empty where there is enough of everything."""
    seeds, few = _seeds(claim), []
    if seeds is not None and seeds < ENOUGH_SEEDS:
        few.append(f"{counted(seeds, 'seed')} of {ENOUGH_SEEDS}")
    if task.patients < ENOUGH_PATIENTS:
        few.append(f"{counted(task.patients, 'test patient')} of {ENOUGH_PATIENTS}")
    return f"with caution: {' and '.join(few)} that an honest interval needs" if few else ""
