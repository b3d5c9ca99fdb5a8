"""Errors by horizon step and by group of the test windows, with intervals: breakdown.csv."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.bootstrap import draw_patients, resample_patients, resample_seeds
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_groups import Division, WindowGroup, divide, hide_small
from workflow_scripts.evaluation.patient_sums import (
    GROUPED,
    GROUPED_INDICES,
    PatientSums,
    WindowScores,
    sum_rows,
)
from workflow_scripts.evaluation.summary import BreakdownRow, RunRow
from workflow_scripts.windows.reading import Windows

Array = NDArray[np.float64]

STEPS = "horizon_step"


@dataclass(frozen=True)
class Breakdown:
    """How the test windows of one cohort and vital sign are broken down, and who is drawn for it.

    observed: [windows, horizon]; steps: one group for each step; group_draws: by dimension and level, the draws of the
    patients of each group that is shown, [resamples, patients of it]; draws: those of all patients, for the steps.
    """

    observed: NDArray[np.bool_]
    steps: list[WindowGroup]
    divisions: list[Division]
    group_draws: dict[tuple[str, str], Array]
    draws: Array
    parameters: EvaluationParameters

    @property
    def groups(self) -> list[WindowGroup]:
        """Every level of every division, the steps first."""
        return self.steps + [group for division in self.divisions for group in division.groups]


def break_down(
    test: Windows, cohort: Path | None, draws: Array, parameters: EvaluationParameters
) -> Breakdown:
    """Divide the test windows. draws: of all patients, [resamples, patients]; cohort: see `divide`.

    For a group only its own patients are drawn, so that no resample is without any.
    """
    observed = ~np.isnan(test.target)
    rows = [np.flatnonzero(seen) for seen in observed.T]
    patients = [np.unique(test.subject_id[own]) for own in rows]
    steps = [
        WindowGroup(STEPS, str(step), own, len(ids), hidden)
        for step, (own, ids, hidden) in enumerate(zip(rows, patients, hide_small(patients), strict=True), 1)
    ]
    divisions = divide(test, cohort)
    shown = [group for division in divisions for group in division.groups if not group.hidden]
    group_draws = {
        (group.dimension, group.level): draw_patients(
            group.patients, parameters.resamples, [parameters.seed, index]
        )
        for index, group in enumerate(shown, 1)
    }
    return Breakdown(observed, steps, divisions, group_draws, draws, parameters)


def missing_rows(breakdown: Breakdown, run: RunRow) -> Iterator[BreakdownRow]:
    """One row, without model, arm, level and metric, for each division that the data do not allow."""
    for division in breakdown.divisions:
        if division.missing:
            empty: dict[str, Any] = dict.fromkeys(("patients", "windows", "value", "low", "high"))
            empty |= dict.fromkeys(("model", "arm", "level", "metric"), "")
            yield BreakdownRow(
                cohort=run.cohort,
                vital=run.vital,
                dimension=division.dimension,
                seeds=0,
                reason=division.missing,
                **empty,
            )


def breakdown_rows(
    breakdown: Breakdown, arm: ArmSummary, scores: Sequence[WindowScores]
) -> Iterator[BreakdownRow]:
    """The rows of one arm. scores: of its runs, one for each seed."""
    groups = breakdown.groups
    values = np.full((len(groups), len(GROUPED)), np.nan)
    low, high = values.copy(), values.copy()
    if not arm.failed:
        values, low, high = _estimate(breakdown, groups, arm, scores)
    estimates = zip(*(numbers.tolist() for numbers in (values, low, high)), strict=True)
    for group, of_group in zip(groups, estimates, strict=True):
        for metric, value, *ends in zip(GROUPED, *of_group, strict=True):
            reason = _reason(breakdown.parameters, arm, group, value, ends)
            yield _row(arm, group, metric, value, ends, reason)


def _estimate(
    breakdown: Breakdown, groups: Sequence[WindowGroup], arm: ArmSummary, scores: Sequence[WindowScores]
) -> tuple[Array, Array, Array]:
    """Value and ends of the interval of each group, [groups, metrics]; not finite where a group is hidden."""
    seeds, seed = [run.seed for run in arm.runs], breakdown.parameters.seed
    values = np.full((len(groups), len(GROUPED)), np.nan)
    replicates = np.full((breakdown.parameters.resamples, *values.shape), np.nan)
    steps = len(breakdown.steps)
    of_steps = _step_sums(breakdown, scores)
    values[:steps] = of_steps.metrics().mean(axis=0).reshape(steps, -1)
    drawn = resample_seeds(resample_patients(of_steps, breakdown.draws), seeds, seed)
    replicates[:, :steps] = drawn.reshape(len(drawn), steps, -1)
    for index, group in enumerate(groups[steps:], steps):
        if not group.hidden:
            sums = _group_sums(group, scores)
            draws = breakdown.group_draws[group.dimension, group.level]
            values[index] = sums.metrics().mean(axis=0)
            replicates[:, index] = resample_seeds(resample_patients(sums, draws), seeds, seed)
    tail = (1 - breakdown.parameters.confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return values, low, high


def _step_sums(breakdown: Breakdown, scores: Sequence[WindowScores]) -> PatientSums:
    """Sums of every step and metric by patient, steps before metrics on the last axis."""
    windows = len(breakdown.observed)
    weights = np.repeat(breakdown.observed.astype(np.float64), len(GROUPED), axis=1)
    return sum_rows(scores[0].patient, [run.steps.reshape(windows, -1) for run in scores], weights)


def _group_sums(group: WindowGroup, scores: Sequence[WindowScores]) -> PatientSums:
    """Sums of a group's windows by patient."""
    first = scores[0]
    errors = [run.errors[group.rows][:, GROUPED_INDICES] for run in scores]
    return sum_rows(first.patient[group.rows], errors, first.weights[group.rows][:, GROUPED_INDICES])


def _reason(
    parameters: EvaluationParameters, arm: ArmSummary, group: WindowGroup, value: float, ends: Sequence[float]
) -> str:
    """Why there is no value or no interval."""
    if group.hidden:
        return group.hidden
    if not np.isfinite(value):
        return arm.reason or "no observed target"
    if group.patients < parameters.minimum_patients:
        return f"{group.patients} test patients: fewer than {parameters.minimum_patients}"
    return "" if np.isfinite(ends).all() else "some resamples have no observed target"


def _row(
    arm: ArmSummary, group: WindowGroup, metric: str, value: float, ends: Sequence[float], reason: str
) -> BreakdownRow:
    """A row with only those numbers that are known and may be shown."""
    first, shown = arm.first, not group.hidden
    low, high = (None, None) if reason else ends
    return BreakdownRow(
        cohort=first.cohort,
        vital=first.vital,
        model=first.model,
        arm=first.arm,
        dimension=group.dimension,
        level=group.level,
        metric=metric,
        seeds=len(arm.runs),
        patients=group.patients if shown else None,
        windows=len(group.rows) if shown else None,
        value=value if shown and np.isfinite(value) else None,
        low=low,
        high=high,
        reason=reason,
    )
