"""The leaderboard: every arm over all vital signs and cohorts, by skill score, win rate and mean rank."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.bootstrap import draw_patients
from workflow_scripts.evaluation.comparison import interval
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import ERRORS, RESAMPLED
from workflow_scripts.evaluation.resampled_task import ResampledTask
from workflow_scripts.evaluation.summary import LeaderboardRow

Array = NDArray[np.float64]
Name = tuple[str, str]

SMALLEST, LARGEST = 1e-2, 100.0
"""Relative errors are clipped to this range before their mean is taken, as fev-bench does."""


@dataclass(frozen=True)
class TaskErrors:
    """What the leaderboard needs of one cohort and vital sign.

    errors: [patients, arms, metrics], each patient's sum, mean over seeds; weights: [patients, metrics]; metrics as in
    RESAMPLED. subjects: [patients]. failed: [arms, metrics].
    """

    names: list[Name]
    subjects: NDArray[np.str_]
    errors: Array
    weights: Array
    failed: NDArray[np.bool_]


def task_errors(task: ResampledTask, subjects: NDArray[np.str_]) -> TaskErrors:
    """Keep of a task what the leaderboard needs, without its replicates. subjects: its patients, in their order."""
    return TaskErrors(
        names=[arm.name for arm in task.arms],
        subjects=subjects,
        errors=np.stack([arm.patient_errors for arm in task.arms], axis=1),
        weights=task.arms[0].patient_weights,
        failed=np.array([[bool(arm.undefined(metric)) for metric in RESAMPLED] for arm in task.arms]),
    )


@dataclass(frozen=True)
class Standing:
    """Skill, win rate and mean rank of every arm: [..., arms] each."""

    skill: Array
    win_rate: Array
    mean_rank: Array


def standing(errors: Array, baseline: int | None) -> Standing:
    """Sum up errors [..., tasks, arms]. baseline: the place of the arm that skill is measured against.

    skill: 1 - geometric mean over tasks of error / baseline's error, clipped to 0.01 to 100; NaN without a baseline.
    win_rate: mean over tasks and other arms of the wins, a tie being half of one. mean_rank: 1 is best, ties share
    their mean.
    Source: fev-bench (Shchur 2025, arXiv 2509.26468), section on aggregation.
    """
    arms = errors.shape[-1]
    lower = (errors[..., :, None] < errors[..., None, :]).sum(axis=-1, dtype=np.float64)
    same = (errors[..., :, None] == errors[..., None, :]).sum(axis=-1, dtype=np.float64) - 1
    wins = lower + same / 2
    skill = np.full((*errors.shape[:-2], arms), np.nan)
    if baseline is not None:
        relative = np.clip(errors / errors[..., baseline, None], SMALLEST, LARGEST)
        skill = 1 - np.exp(np.log(relative).mean(axis=-2))
    return Standing(skill, wins.mean(axis=-2) / max(1, arms - 1), (arms - wins).mean(axis=-2))


def leaderboard(tasks: Sequence[TaskErrors], parameters: EvaluationParameters) -> Iterator[LeaderboardRow]:
    """The rows of every metric, the best skill first. Arms that are in all tasks take part.

    A failed arm has the baseline's error in that task, as in fev, and its failures are counted.
    """
    names = [name for name in tasks[0].names if all(name in task.names for task in tasks)] if tasks else []
    if not names:
        return
    subjects = np.unique(np.concatenate([task.subjects for task in tasks]))
    draws = draw_patients(len(subjects), parameters.resamples, parameters.seed)
    columns = [np.searchsorted(subjects, task.subjects) for task in tasks]
    baseline = next((place for place, (model, _) in enumerate(names) if model == parameters.baseline), None)
    few = min(len(task.subjects) for task in tasks) < parameters.minimum_patients
    for metric in ERRORS:
        index = RESAMPLED.index(metric)
        failed = np.array([[_failed(task, name, index) for name in names] for task in tasks])
        known = baseline if baseline is not None and not failed[:, baseline].any() else None
        ones = [np.ones((1, len(task.subjects))) for task in tasks]
        found = standing(_errors(tasks, names, index, ones, failed, known), known)
        rows = _rows(metric, names, tasks, failed, found, parameters.baseline, known is not None)
        if few:
            reason = f"fewer than {parameters.minimum_patients} test patients: no intervals"
            rows = [replace(row, reason=row.reason or reason) for row in rows]
        else:
            own = [draws[:, chosen] for chosen in columns]
            drawn = standing(_errors(tasks, names, index, own, failed, known), known)
            rows = [_with_intervals(row, place, drawn, parameters) for place, row in enumerate(rows)]
        yield from sorted(rows, key=lambda row: (-(row.skill or 0.0), row.mean_rank))


def _failed(task: TaskErrors, name: Name, index: int) -> bool:
    return bool(task.failed[task.names.index(name), index])


def _errors(
    tasks: Sequence[TaskErrors],
    names: Sequence[Name],
    index: int,
    draws: Sequence[Array],
    failed: NDArray[np.bool_],
    baseline: int | None,
) -> Array:
    """Errors of every draw, task and arm: [draws, tasks, arms]. draws: of each task, [draws, patients]."""
    result = np.empty((len(draws[0]), len(tasks), len(names)))
    for number, (task, weights) in enumerate(zip(tasks, draws, strict=True)):
        places = [task.names.index(name) for name in names]
        # A failed arm's errors are not finite, and would spoil the product.
        sums = np.where(failed[number], 0.0, task.errors[:, places, index])
        errors = (weights @ sums) / (weights @ task.weights[:, index])[:, None]
        errors[:, failed[number]] = np.inf if baseline is None else errors[:, [baseline]]
        result[:, number] = errors
    return result


def _rows(
    metric: str,
    names: Sequence[Name],
    tasks: Sequence[TaskErrors],
    failed: NDArray[np.bool_],
    found: Standing,
    baseline: str,
    has_baseline: bool,
) -> list[LeaderboardRow]:
    reason = "" if has_baseline else f"no skill: {baseline} is not among the complete arms of this study"
    return [
        LeaderboardRow(
            metric=metric,
            model=model,
            arm=arm,
            tasks=len(tasks),
            failures=int(failed[:, place].sum()),
            baseline=baseline,
            skill=float(found.skill[0, place]) if has_baseline else None,
            win_rate=float(found.win_rate[0, place]),
            mean_rank=float(found.mean_rank[0, place]),
            reason=reason,
        )
        for place, (model, arm) in enumerate(names)
    ]


def _with_intervals(
    row: LeaderboardRow, place: int, drawn: Standing, parameters: EvaluationParameters
) -> LeaderboardRow:
    ends: dict[str, Any] = {}
    for name in ("skill", "win_rate", "mean_rank"):
        if getattr(row, name) is not None:
            low, high = interval(getattr(drawn, name)[:, place], parameters.confidence)
            ends |= {f"{name}_low": low, f"{name}_high": high}
    return replace(row, **ends)
