"""Errors by horizon step and by part of the test windows, with intervals: breakdown.csv."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.bootstrap import draw_patients, resample_patients, resample_seeds
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.parts import Division, WindowPart, divide, hide_small
from workflow_scripts.evaluation.patient_sums import (
    PARTED,
    PARTED_PLACES,
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

    observed: [windows, horizon]; steps: one part for each step; part_draws: by dimension and level, the draws of the
    patients of each part that is shown, [resamples, patients of it]; draws: those of all patients, for the steps.
    """

    observed: NDArray[np.bool_]
    steps: list[WindowPart]
    divisions: list[Division]
    part_draws: dict[tuple[str, str], Array]
    draws: Array
    parameters: EvaluationParameters

    @property
    def parts(self) -> list[WindowPart]:
        """Every level of every division, the steps first."""
        return self.steps + [part for division in self.divisions for part in division.parts]


def break_down(
    test: Windows, cohort: Path | None, draws: Array, parameters: EvaluationParameters
) -> Breakdown:
    """Divide the test windows. draws: of all patients, [resamples, patients]; cohort: see `divide`.

    For a part only its own patients are drawn, so that no resample is without any.
    """
    observed = ~np.isnan(test.target)
    rows = [np.flatnonzero(seen) for seen in observed.T]
    patients = [np.unique(test.subject_id[own]) for own in rows]
    steps = [
        WindowPart(STEPS, str(step), own, len(ids), hidden)
        for step, (own, ids, hidden) in enumerate(zip(rows, patients, hide_small(patients), strict=True), 1)
    ]
    divisions = divide(test, cohort)
    shown = [part for division in divisions for part in division.parts if not part.hidden]
    part_draws = {
        (part.dimension, part.level): draw_patients(
            part.patients, parameters.resamples, [parameters.seed, place]
        )
        for place, part in enumerate(shown, 1)
    }
    return Breakdown(observed, steps, divisions, part_draws, draws, parameters)


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
    parts = breakdown.parts
    values = np.full((len(parts), len(PARTED)), np.nan)
    low, high = values.copy(), values.copy()
    if not arm.failed:
        values, low, high = _estimate(breakdown, parts, arm, scores)
    estimates = zip(*(numbers.tolist() for numbers in (values, low, high)), strict=True)
    for part, of_part in zip(parts, estimates, strict=True):
        for metric, value, *ends in zip(PARTED, *of_part, strict=True):
            reason = _reason(breakdown.parameters, arm, part, value, ends)
            yield _row(arm, part, metric, value, ends, reason)


def _estimate(
    breakdown: Breakdown, parts: Sequence[WindowPart], arm: ArmSummary, scores: Sequence[WindowScores]
) -> tuple[Array, Array, Array]:
    """Value and ends of the interval of each part, [parts, metrics]; not finite where a part is hidden."""
    seeds, seed = [run.seed for run in arm.runs], breakdown.parameters.seed
    values = np.full((len(parts), len(PARTED)), np.nan)
    replicates = np.full((breakdown.parameters.resamples, *values.shape), np.nan)
    steps = len(breakdown.steps)
    of_steps = _step_sums(breakdown, scores)
    values[:steps] = of_steps.metrics().mean(axis=0).reshape(steps, -1)
    drawn = resample_seeds(resample_patients(of_steps, breakdown.draws), seeds, seed)
    replicates[:, :steps] = drawn.reshape(len(drawn), steps, -1)
    for place, part in enumerate(parts[steps:], steps):
        if not part.hidden:
            sums = _part_sums(part, scores)
            draws = breakdown.part_draws[part.dimension, part.level]
            values[place] = sums.metrics().mean(axis=0)
            replicates[:, place] = resample_seeds(resample_patients(sums, draws), seeds, seed)
    tail = (1 - breakdown.parameters.confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return values, low, high


def _step_sums(breakdown: Breakdown, scores: Sequence[WindowScores]) -> PatientSums:
    """Sums of every step and metric by patient, steps before metrics on the last axis."""
    windows = len(breakdown.observed)
    weights = np.repeat(breakdown.observed.astype(np.float64), len(PARTED), axis=1)
    return sum_rows(scores[0].patient, [run.steps.reshape(windows, -1) for run in scores], weights)


def _part_sums(part: WindowPart, scores: Sequence[WindowScores]) -> PatientSums:
    """Sums of a part's windows by patient."""
    first = scores[0]
    errors = [run.errors[part.rows][:, PARTED_PLACES] for run in scores]
    return sum_rows(first.patient[part.rows], errors, first.weights[part.rows][:, PARTED_PLACES])


def _reason(
    parameters: EvaluationParameters, arm: ArmSummary, part: WindowPart, value: float, ends: Sequence[float]
) -> str:
    """Why there is no value or no interval."""
    if part.hidden:
        return part.hidden
    if not np.isfinite(value):
        return arm.reason or "no observed target"
    if part.patients < parameters.minimum_patients:
        return f"{part.patients} test patients: fewer than {parameters.minimum_patients}"
    return "" if np.isfinite(ends).all() else "some resamples have no observed target"


def _row(
    arm: ArmSummary, part: WindowPart, metric: str, value: float, ends: Sequence[float], reason: str
) -> BreakdownRow:
    """A row with only those numbers that are known and may be shown."""
    first, shown = arm.first, not part.hidden
    low, high = (None, None) if reason else ends
    return BreakdownRow(
        cohort=first.cohort,
        vital=first.vital,
        model=first.model,
        arm=first.arm,
        dimension=part.dimension,
        level=part.level,
        metric=metric,
        seeds=len(arm.runs),
        patients=part.patients if shown else None,
        windows=len(part.rows) if shown else None,
        value=value if shown and np.isfinite(value) else None,
        low=low,
        high=high,
        reason=reason,
    )
