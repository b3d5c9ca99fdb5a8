"""The study's intervals, comparisons and rank thresholds: which are made, and what each says.

Reads rows of patients, returns aggregates only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from workflow_scripts.evaluation.comparison import holm, interval, win_rate
from workflow_scripts.evaluation.events.rows import EventCurveRow, EventRow
from workflow_scripts.evaluation.events.table import event_tables
from workflow_scripts.evaluation.findings import findings
from workflow_scripts.evaluation.leaderboard import leaderboard, task_errors
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import ERRORS, RESAMPLED
from workflow_scripts.evaluation.planning import planned_comparisons
from workflow_scripts.evaluation.rank_threshold import NO_GAIN, gains, smallest_good_rank, threshold_shares
from workflow_scripts.evaluation.resampled_task import (
    ResampledArm,
    ResampledTask,
    monte_carlo_error,
    read_task,
)
from workflow_scripts.evaluation.summary import (
    MISSING,
    BreakdownRow,
    CalibrationRow,
    ComparisonRow,
    FindingRow,
    IntervalRow,
    LeaderboardRow,
    RankRow,
    RunRow,
)


@dataclass(frozen=True)
class StudyStatistics:
    """The rows of all tables of statistics but that of transfer, by their names."""

    intervals: list[IntervalRow] = field(default_factory=list)
    comparisons: list[ComparisonRow] = field(default_factory=list)
    rank_threshold: list[RankRow] = field(default_factory=list)
    breakdown: list[BreakdownRow] = field(default_factory=list)
    calibration: list[CalibrationRow] = field(default_factory=list)
    findings: list[FindingRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    event_curves: list[EventCurveRow] = field(default_factory=list)
    leaderboard: list[LeaderboardRow] = field(default_factory=list)


def study_statistics(
    rows: Sequence[RunRow],
    folders: Mapping[RunRow, Path],
    windows: Path,
    parameters: EvaluationParameters,
    cohorts: Path | None = None,
) -> StudyStatistics:
    """Return all statistics of a study.

    rows: the study's runs in its order, with the folder of each; windows: the folder of the windows,
    <cohort>/<vital>.parquet; cohorts: the folder of the cohort tables, <cohort>.parquet, which say sex, age and
    type of ICU. Raises UserError where a run's forecasts are not those of the windows or do not give the errors
    of its record.
    """
    result, compared = StudyStatistics(), []
    for (cohort, vital), group in groupby(rows, key=lambda row: (row.cohort, row.vital)):
        runs = [*group]
        if all(run.status == MISSING for run in runs):  # Their windows may be missing too.
            continue
        table = cohorts / f"{cohort}.parquet" if cohorts else None
        file = windows / cohort / f"{vital}.parquet"
        read = read_task(runs, folders, file, table, parameters)
        judged = event_tables(runs, folders, file, parameters)
        result.intervals.extend(_intervals(read.task))
        result.comparisons.extend(_comparisons(read.task))
        result.rank_threshold.extend(_ranks(read.task))
        result.findings.extend(findings(read.task))
        result.breakdown.extend(read.breakdown)
        result.calibration.extend(read.calibration)
        result.events.extend(judged.events)
        result.event_curves.extend(judged.event_curves)
        compared.append(task_errors(read.task, read.subjects))
    result.leaderboard.extend(leaderboard(compared, parameters))
    return result


def _intervals(task: ResampledTask) -> Iterator[IntervalRow]:
    for metric in RESAMPLED:
        best = _best(task, metric) if metric in ERRORS else None
        yield from (_interval_row(task, arm, metric, best) for arm in task.arms)


def _best(task: ResampledTask, metric: str) -> ResampledArm | None:
    defined = [arm for arm in task.arms if not arm.undefined(metric)]
    return min(defined, key=lambda arm: arm.values[RESAMPLED.index(metric)], default=None)


def _interval_row(
    task: ResampledTask, arm: ResampledArm, metric: str, best: ResampledArm | None
) -> IntervalRow:
    first = arm.summary.first
    reason = task.no_interval(metric, arm)
    row = IntervalRow(
        cohort=first.cohort,
        vital=first.vital,
        model=first.model,
        arm=first.arm,
        metric=metric,
        seeds=len(arm.summary.runs),
        patients=task.patients,
        windows=task.windows,
        value=arm.value(metric),
        low=None,
        high=None,
        above_best=None,
        above_best_low=None,
        above_best_high=None,
        reason=reason,
    )
    if reason:
        return row
    index = RESAMPLED.index(metric)
    low, high = interval(arm.replicates[:, index], task.parameters.confidence)
    row = replace(row, low=low, high=high)
    if best is None or best is arm or task.no_interval(metric, best):
        return row
    above = task.compare(metric, arm, best)
    return replace(row, above_best=above.value, above_best_low=above.low, above_best_high=above.high)


def _comparisons(task: ResampledTask) -> Iterator[ComparisonRow]:
    resampled = {id(arm.summary): arm for arm in task.arms}
    planned = planned_comparisons([arm.summary for arm in task.arms])
    pairs = [(resampled[id(arm)], resampled[id(other)]) for arm, other in planned]
    for metric in ERRORS:
        family = [_comparison_row(task, metric, arm, other, len(pairs)) for arm, other in pairs]
        corrected = holm([row.p_value for row in family])
        yield from (replace(row, p_holm=p) for row, p in zip(family, corrected, strict=True))


def _comparison_row(
    task: ResampledTask, metric: str, arm: ResampledArm, other: ResampledArm, comparisons: int
) -> ComparisonRow:
    first, value, other_value = arm.summary.first, arm.value(metric), other.value(metric)
    reason = task.no_interval(metric, arm, other)
    row = ComparisonRow(
        cohort=first.cohort,
        vital=first.vital,
        metric=metric,
        model=first.model,
        arm=first.arm,
        against_model=other.summary.first.model,
        against_arm=other.summary.first.arm,
        seeds=len(arm.summary.runs),
        patients=task.patients,
        windows=task.windows,
        difference=None if value is None or other_value is None else value - other_value,
        low=None,
        high=None,
        monte_carlo_error=None,
        p_value=None,
        p_holm=None,
        comparisons=comparisons,
        win_rate=None,
        tie_rate=None,
        reason=reason,
    )
    if reason:
        return row
    found = task.compare(metric, arm, other)
    index = RESAMPLED.index(metric)
    wins, ties = win_rate(arm.patient_errors[:, index], other.patient_errors[:, index])
    return replace(
        row,
        difference=found.value,
        low=found.low,
        high=found.high,
        monte_carlo_error=monte_carlo_error(metric, arm, other),
        p_value=found.p_value,
        win_rate=wins,
        tie_rate=ties,
    )


def _ranks(task: ResampledTask) -> Iterator[RankRow]:
    ranked = [arm for arm in task.arms if arm.summary.first.rank is not None]
    zero_shot = {arm.name[0]: arm for arm in task.arms if arm.summary.arm.is_zero_shot}
    for (model, _), group in groupby(ranked, key=lambda arm: (arm.summary.first.model, arm.summary.method)):
        arms = list(group)
        if len(arms) > 1:
            for metric in ERRORS:
                yield from _rank_rows(task, metric, arms, zero_shot.get(model))


def _rank_rows(
    task: ResampledTask, metric: str, arms: Sequence[ResampledArm], zero_shot: ResampledArm | None
) -> Iterator[RankRow]:
    """The rows of one method, ranks rising; a rank without a value, or no gain at all, leaves the threshold open."""
    index, margin = RESAMPLED.index(metric), task.parameters.rank_margin
    values = np.array([arm.values[index] for arm in arms])
    known = not any(arm.undefined(metric) for arm in arms)
    reason = task.no_interval(metric, *arms)
    start = zero_shot.value(metric) if zero_shot else None
    if known and start is not None and not gains(values.tolist(), start):
        known, reason = False, NO_GAIN
    threshold = int(smallest_good_rank(values, margin)) if known else None
    replicates = np.stack([arm.replicates[:, index] for arm in arms], axis=1)
    shares = None if reason else threshold_shares(replicates, margin)
    for number, arm in enumerate(arms):
        first = arm.summary.first
        yield RankRow(
            cohort=first.cohort,
            vital=first.vital,
            model=first.model,
            method=arm.summary.method,
            metric=metric,
            rank=int(first.rank or 0),
            seeds=len(arm.summary.runs),
            patients=task.patients,
            value=arm.value(metric),
            margin=margin,
            good_enough=bool(values[number] <= (1 + margin) * values.min()) if known else None,
            threshold=number == threshold if known else None,
            share=None if shares is None else float(shares[number]),
            reason=reason,
        )
