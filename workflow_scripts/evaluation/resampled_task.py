"""All arms of one cohort and vital sign, read once, on the same resamples of the same patients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.bootstrap import draw_patients, resample_patients, resample_seeds
from workflow_scripts.evaluation.breakdown import break_down, breakdown_rows, missing_rows
from workflow_scripts.evaluation.calibration import calibration_rows
from workflow_scripts.evaluation.comparison import Difference, compare
from workflow_scripts.evaluation.metrics import SCORED_LEVELS
from workflow_scripts.evaluation.names import run_name
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import (
    RESAMPLED,
    PatientSums,
    score_windows,
    sum_by_patient,
    unknown_scores,
)
from workflow_scripts.evaluation.summary import MISSING, BreakdownRow, CalibrationRow, RunRow
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.reading import read_windows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ResampledArm:
    """An arm over all its seeds, metrics as in RESAMPLED.

    values: [metrics]; replicates: [resamples, metrics]; patient_errors: [patients, metrics], each patient's
    sum of errors, mean over seeds; patient_weights: what these are divided by, the same for every arm.
    """

    summary: ArmSummary
    values: Array
    replicates: Array
    patient_errors: Array
    patient_weights: Array

    @property
    def name(self) -> tuple[str, str]:
        """Model and arm."""
        return self.summary.first.model, self.summary.first.arm

    def value(self, metric: str) -> float | None:
        """The metric, mean over seeds; None where it is undefined."""
        value = float(self.values[RESAMPLED.index(metric)])
        return None if self.undefined(metric) else value

    def undefined(self, metric: str) -> str:
        """Why the metric has no value; empty where it has one."""
        if self.summary.failed:
            return self.summary.reason
        finite = np.isfinite(self.values[RESAMPLED.index(metric)])
        return "" if finite else f"{metric} is undefined: a zero in the denominator"


def monte_carlo_error(metric: str, *arms: ResampledArm) -> float:
    """Standard error of the arms' difference over the random numbers of their forecasts; 0 where it is not recorded.

    As if they were drawn independently. Arms with the same seed have the same numbers, so it is rather too large.
    """
    name, total = f"{metric}_monte_carlo_error", 0.0
    for arm in arms:
        errors = [getattr(run, name, None) or 0.0 for run in arm.summary.runs]
        total += sum(error**2 for error in errors) / len(errors) ** 2
    return math.sqrt(total)


@dataclass(frozen=True)
class ResampledTask:
    """All arms of one cohort and vital sign, on the same test windows of the same patients."""

    arms: list[ResampledArm]
    patients: int
    windows: int
    parameters: EvaluationParameters

    def no_interval(self, metric: str, *arms: ResampledArm) -> str:
        """Why these arms have no interval; empty where they have one."""
        for arm in arms:
            if reason := arm.undefined(metric):
                return reason if arm is arms[0] else f"{run_name(*arm.name)}: {reason}"
        if self.patients < self.parameters.minimum_patients:
            return f"{self.patients} test patients: fewer than {self.parameters.minimum_patients}"
        index = RESAMPLED.index(metric)
        finite = all(np.isfinite(arm.replicates[:, index]).all() for arm in arms)
        return "" if finite else f"{metric} is undefined in some resamples: a zero in the denominator"

    def compare(self, metric: str, arm: ResampledArm, other: ResampledArm) -> Difference:
        """The difference of two arms that have intervals."""
        index = RESAMPLED.index(metric)
        return compare(
            float(arm.values[index]),
            float(other.values[index]),
            arm.replicates[:, index],
            other.replicates[:, index],
            self.parameters.confidence,
            monte_carlo_error(metric, arm, other),
        )


@dataclass(frozen=True)
class TaskTables:
    """A task, and the rows that are made while its forecasts are at hand.

    subjects: [patients], in the order of the arms' patient_errors.
    """

    task: ResampledTask
    subjects: NDArray[np.str_]
    breakdown: list[BreakdownRow]
    calibration: list[CalibrationRow]


def read_task(
    rows: Sequence[RunRow],
    folders: Mapping[RunRow, Path],
    windows: Path,
    cohort: Path | None,
    parameters: EvaluationParameters,
) -> TaskTables:
    """Read the forecasts of all runs of one cohort and vital sign, each once.

    folders: of each run; windows: the windows file; cohort: the cohort table, where there is one. Raises UserError
    where a run's forecasts are not those of the windows or do not give the errors of its record.
    """
    test = read_windows(windows, ("test",))
    subjects = np.unique(test.subject_id)
    patients = len(subjects)
    draws = draw_patients(patients, parameters.resamples, parameters.seed)
    parts = break_down(test, cohort, draws, parameters)
    result = TaskTables(
        ResampledTask([], patients, len(test), parameters), subjects, [*missing_rows(parts, rows[0])], []
    )
    for summary in summarise_arms(rows):
        paths = [folders[run] / "forecasts.parquet" for run in summary.runs]
        there = {
            run: score_windows(path, test)
            for run, path in zip(summary.runs, paths, strict=True)
            if run.status != MISSING
        }
        levels = next((run.levels for run in there.values()), SCORED_LEVELS)
        scores = [there.get(run) or unknown_scores(levels, test) for run in summary.runs]
        sums = sum_by_patient(scores)
        for run, path, values in zip(summary.runs, paths, sums.metrics(), strict=True):
            _check_record(run, path, values)
        result.task.arms.append(resample_arm(summary, sums, draws, parameters.seed))
        result.breakdown.extend(breakdown_rows(parts, summary, scores))
        result.calibration.extend(calibration_rows(summary, scores))
    return result


def resample_arm(summary: ArmSummary, sums: PatientSums, draws: Array, seed: int) -> ResampledArm:
    """An arm of which `sums` holds the runs, one for each seed; draws: [resamples, patients]."""
    return ResampledArm(
        summary=summary,
        values=sums.metrics().mean(axis=0),
        replicates=resample_seeds(resample_patients(sums, draws), [run.seed for run in summary.runs], seed),
        patient_errors=sums.errors.mean(axis=1),
        patient_weights=sums.weights,
    )


def _check_record(run: RunRow, forecasts: Path, values: Array) -> None:
    for name, value in zip(RESAMPLED, values, strict=True):
        recorded = getattr(run, name)
        if recorded is not None and not np.isclose(recorded, value, rtol=1e-6, atol=0):
            raise UserError(
                where=str(forecasts),
                found=f"forecasts whose {name} is not that of run.json beside them",
                expected="forecasts and record of one run on these windows",
                remedy="delete the run's folder and start the workflow again: it repeats this run",
            )
