"""The study's intervals, comparisons and rank thresholds: which are made, and what each says.

Reads rows of patients, returns aggregates only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.bootstrap import resample_patients, resample_seeds
from workflow_scripts.evaluation.comparison import Difference, compare, holm, interval, win_rate
from workflow_scripts.evaluation.mean_ranks import critical_difference, mean_ranks
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import (
    ERRORS,
    RESAMPLED,
    PatientSums,
    score_windows,
    sum_by_patient,
)
from workflow_scripts.evaluation.rank_threshold import smallest_good_rank, threshold_shares
from workflow_scripts.evaluation.summary import FIRST_ARMS, ComparisonRow, IntervalRow, RankRow, RunRow
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.reading import read_windows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ResampledArm:
    """An arm over all its seeds, metrics as in RESAMPLED.

    values: [metrics]; replicates: [resamples, metrics]; patient_errors: [patients, metrics], each patient's
    sum of errors, mean over seeds.
    """

    summary: ArmSummary
    values: Array
    replicates: Array
    patient_errors: Array

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


@dataclass(frozen=True)
class Subject:
    """All arms of one cohort and vital sign, on the same test windows of the same patients."""

    arms: list[ResampledArm]
    patients: int
    windows: int
    parameters: EvaluationParameters

    def no_interval(self, metric: str, *arms: ResampledArm) -> str:
        """Why these arms have no interval; empty where they have one."""
        for arm in arms:
            if reason := arm.undefined(metric):
                return reason if arm is arms[0] else f"{' '.join(arm.name)}: {reason}"
        if self.patients < self.parameters.minimum_patients:
            return f"{self.patients} test patients: fewer than {self.parameters.minimum_patients}"
        place = RESAMPLED.index(metric)
        whole = all(np.isfinite(arm.replicates[:, place]).all() for arm in arms)
        return "" if whole else f"{metric} is undefined in some resamples: a zero in the denominator"


@dataclass(frozen=True)
class StudyStatistics:
    """The rows of intervals.csv, comparisons.csv and rank_threshold.csv."""

    intervals: list[IntervalRow]
    comparisons: list[ComparisonRow]
    ranks: list[RankRow]


def study_statistics(
    rows: Sequence[RunRow], folders: Mapping[RunRow, Path], windows: Path, parameters: EvaluationParameters
) -> StudyStatistics:
    """Return all statistics of a study.

    rows: the study's runs in its order, with the folder of each; windows: the folder of the windows,
    <cohort>/<vital>.parquet. Raises UserError where a run's forecasts are not those of the windows or do not
    give the errors of its record.
    """
    result = StudyStatistics([], [], [])
    for (cohort, vital), group in groupby(rows, key=lambda row: (row.cohort, row.vital)):
        subject = _resample(list(group), folders, windows / cohort / f"{vital}.parquet", parameters)
        result.intervals.extend(_intervals(subject))
        result.comparisons.extend(_comparisons(subject))
        result.ranks.extend(_ranks(subject))
    return result


def _resample(
    rows: Sequence[RunRow], folders: Mapping[RunRow, Path], windows: Path, parameters: EvaluationParameters
) -> Subject:
    test = read_windows(windows).select("test")
    sums = sum_by_patient([score_windows(folders[row] / "forecasts.parquet", test) for row in rows])
    _check_records(rows, folders, sums.metrics())
    replicates = resample_patients(sums, parameters.resamples, parameters.seed)
    places = {row: place for place, row in enumerate(rows)}
    arms = [
        _resample_arm(arm, [places[run] for run in arm.runs], sums, replicates, parameters.seed)
        for arm in summarise_arms(rows)
    ]
    return Subject(arms, sums.patients, sums.windows, parameters)


def _check_records(rows: Sequence[RunRow], folders: Mapping[RunRow, Path], metrics: Array) -> None:
    for row, values in zip(rows, metrics, strict=True):
        for name, value in zip(RESAMPLED, values, strict=True):
            recorded = getattr(row, name)
            if recorded is not None and not np.isclose(recorded, value, rtol=1e-6, atol=0):
                raise UserError(
                    where=str(folders[row] / "forecasts.parquet"),
                    found=f"forecasts whose {name} is not that of run.json beside them",
                    expected="forecasts and record of one run on these windows",
                    remedy="delete the run's folder and start the workflow again: it repeats this run",
                )


def _resample_arm(
    summary: ArmSummary, places: list[int], sums: PatientSums, replicates: Array, seed: int
) -> ResampledArm:
    seeds = [run.seed for run in summary.runs]
    return ResampledArm(
        summary=summary,
        values=sums.metrics()[places].mean(axis=0),
        replicates=resample_seeds(replicates[:, places], seeds, seed),
        patient_errors=sums.errors[:, places].mean(axis=1),
    )


def _intervals(subject: Subject) -> Iterator[IntervalRow]:
    for metric in RESAMPLED:
        best = _best(subject, metric) if metric in ERRORS else None
        rows = [_interval_row(subject, arm, metric, best) for arm in subject.arms]
        yield from _with_ranks(subject, metric, rows) if metric in ERRORS else rows


def _with_ranks(subject: Subject, metric: str, rows: Sequence[IntervalRow]) -> Iterator[IntervalRow]:
    """Add mean ranks and their critical difference to the rows of arms that have intervals."""
    places = [place for place, row in enumerate(rows) if not row.reason]
    errors = [subject.arms[place].patient_errors[:, RESAMPLED.index(metric)] for place in places]
    known = dict(zip(places, mean_ranks(np.stack(errors, axis=1)).tolist(), strict=True)) if places else {}
    distance = None
    if len(known) > 1:
        distance = critical_difference(len(known), subject.patients, subject.parameters.confidence)
    for place, row in enumerate(rows):
        rank = known.get(place)
        yield replace(row, mean_rank=rank, critical_difference=None if rank is None else distance)


def _best(subject: Subject, metric: str) -> ResampledArm | None:
    defined = [arm for arm in subject.arms if not arm.undefined(metric)]
    return min(defined, key=lambda arm: arm.values[RESAMPLED.index(metric)], default=None)


def _interval_row(subject: Subject, arm: ResampledArm, metric: str, best: ResampledArm | None) -> IntervalRow:
    first = arm.summary.first
    reason = subject.no_interval(metric, arm)
    row = IntervalRow(
        cohort=first.cohort,
        vital=first.vital,
        model=first.model,
        arm=first.arm,
        metric=metric,
        seeds=len(arm.summary.runs),
        patients=subject.patients,
        windows=subject.windows,
        value=arm.value(metric),
        low=None,
        high=None,
        above_best=None,
        above_best_low=None,
        above_best_high=None,
        mean_rank=None,
        critical_difference=None,
        reason=reason,
    )
    if reason:
        return row
    place = RESAMPLED.index(metric)
    low, high = interval(arm.replicates[:, place], subject.parameters.confidence)
    row = replace(row, low=low, high=high)
    if best is None or best is arm or subject.no_interval(metric, best):
        return row
    above = _compare(subject, metric, arm, best)
    return replace(row, above_best=above.value, above_best_low=above.low, above_best_high=above.high)


def _compare(subject: Subject, metric: str, arm: ResampledArm, other: ResampledArm) -> Difference:
    place = RESAMPLED.index(metric)
    return compare(
        float(arm.values[place]),
        float(other.values[place]),
        arm.replicates[:, place],
        other.replicates[:, place],
        subject.parameters.confidence,
    )


def planned_comparisons(arms: Sequence[ArmSummary]) -> list[tuple[ArmSummary, ArmSummary]]:
    """Which arms of one cohort and vital sign are compared: fixed before any test error is seen.

    Every arm with zero-shot of its model; every parameter-efficient arm with full fine-tuning of its model;
    and of every model the arm with the smallest validation loss with persistence.
    """
    pairs = []
    persistence = next((arm for arm in arms if arm.first.model == "persistence"), None)
    for _, group in groupby(arms, key=lambda arm: arm.first.model):
        own = list(group)
        named = {arm.first.arm: arm for arm in own}
        pairs += [
            (arm, named["zero-shot"]) for arm in own if "zero-shot" in named and arm.first.arm != "zero-shot"
        ]
        pairs += [(arm, named["full"]) for arm in own if "full" in named and arm.first.arm not in FIRST_ARMS]
        if persistence and own[0].first.family != "naive":
            pairs.append((_best_on_validation(own), persistence))
    return pairs


def _best_on_validation(arms: Sequence[ArmSummary]) -> ArmSummary:
    """The arm with the smallest validation loss; the first arm of a model of which none was trained."""
    trained = [arm for arm in arms if arm.mean("best_validation_loss") is not None]
    return min(trained, key=lambda arm: arm.mean("best_validation_loss") or 0.0, default=arms[0])


def _comparisons(subject: Subject) -> Iterator[ComparisonRow]:
    resampled = {id(arm.summary): arm for arm in subject.arms}
    planned = planned_comparisons([arm.summary for arm in subject.arms])
    pairs = [(resampled[id(arm)], resampled[id(other)]) for arm, other in planned]
    for metric in ERRORS:
        family = [_comparison_row(subject, metric, arm, other, len(pairs)) for arm, other in pairs]
        corrected = holm([row.p_value for row in family])
        yield from (replace(row, p_holm=p) for row, p in zip(family, corrected, strict=True))


def _comparison_row(
    subject: Subject, metric: str, arm: ResampledArm, other: ResampledArm, comparisons: int
) -> ComparisonRow:
    first, value, other_value = arm.summary.first, arm.value(metric), other.value(metric)
    reason = subject.no_interval(metric, arm, other)
    row = ComparisonRow(
        cohort=first.cohort,
        vital=first.vital,
        metric=metric,
        model=first.model,
        arm=first.arm,
        against_model=other.summary.first.model,
        against_arm=other.summary.first.arm,
        seeds=len(arm.summary.runs),
        patients=subject.patients,
        windows=subject.windows,
        difference=None if value is None or other_value is None else value - other_value,
        low=None,
        high=None,
        p_value=None,
        p_holm=None,
        comparisons=comparisons,
        win_rate=None,
        tie_rate=None,
        reason=reason,
    )
    if reason:
        return row
    found = _compare(subject, metric, arm, other)
    place = RESAMPLED.index(metric)
    wins, ties = win_rate(arm.patient_errors[:, place], other.patient_errors[:, place])
    return replace(
        row,
        difference=found.value,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        win_rate=wins,
        tie_rate=ties,
    )


def _ranks(subject: Subject) -> Iterator[RankRow]:
    ranked = [arm for arm in subject.arms if arm.summary.first.rank is not None]
    for _, group in groupby(ranked, key=lambda arm: (arm.summary.first.model, arm.summary.method)):
        arms = list(group)
        if len(arms) > 1:
            for metric in ERRORS:
                yield from _rank_rows(subject, metric, arms)


def _rank_rows(subject: Subject, metric: str, arms: Sequence[ResampledArm]) -> Iterator[RankRow]:
    """The rows of one method, ranks rising; a rank without a value leaves the threshold open."""
    place, margin = RESAMPLED.index(metric), subject.parameters.rank_margin
    values = np.array([arm.values[place] for arm in arms])
    known = not any(arm.undefined(metric) for arm in arms)
    reason = subject.no_interval(metric, *arms)
    threshold = int(smallest_good_rank(values, margin)) if known else None
    replicates = np.stack([arm.replicates[:, place] for arm in arms], axis=1)
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
            patients=subject.patients,
            value=arm.value(metric),
            margin=margin,
            good_enough=bool(values[number] <= (1 + margin) * values.min()) if known else None,
            threshold=number == threshold if known else None,
            share=None if shares is None else float(shares[number]),
            reason=reason,
        )
