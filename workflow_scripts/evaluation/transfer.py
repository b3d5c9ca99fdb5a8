"""Adapters of one cohort on the test windows of another, beside those windows' own adapter: transfer.csv."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.adaptation.arms import ZERO_SHOT
from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.bootstrap import draw_patients, resample_patients, resample_seeds
from workflow_scripts.evaluation.comparison import compare, interval
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import (
    ERRORS,
    RESAMPLED,
    WindowScores,
    score_windows,
    sum_rows,
)
from workflow_scripts.evaluation.sites import split_site
from workflow_scripts.evaluation.summary import RunRow, TransferRow, arm_position
from workflow_scripts.evaluation.transfer_plan import Transfer
from workflow_scripts.evaluation.transfer_record import TransferRecord
from workflow_scripts.evaluation.transfer_windows import read_transfer_windows
from workflow_scripts.windows.reading import Windows, read_windows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StoredTransfer:
    """A finished job, and its folder. failure: why the adapter could not be trained, else empty."""

    job: Transfer
    failure: str
    folder: Path


def read_transfer(path: Path) -> StoredTransfer:
    """Read a job's record.json. Raises UserError where it is no such record, or another job's."""
    record = TransferRecord.read_in_place(path)
    return StoredTransfer(record.job, record.failure, path.parent)


@dataclass(frozen=True)
class _Arm:
    """An arm on the windows in question. values: [metrics]; replicates: [resamples, metrics], as in RESAMPLED.

    failure: why it has none, then all are NaN; else empty.
    """

    values: Array
    replicates: Array
    failure: str = ""

    def value(self, metric: str) -> float | None:
        """The metric; None where it is undefined."""
        value = float(self.values[RESAMPLED.index(metric)])
        return value if np.isfinite(value) else None

    def drawn(self, metric: str) -> Array:
        """The metric's replicates [resamples]."""
        return self.replicates[:, RESAMPLED.index(metric)]

    def no_interval(self, metric: str) -> str:
        """Why the metric has no value or no interval; empty where it has one."""
        if self.failure:
            return self.failure
        if self.value(metric) is None:
            return f"{metric} is undefined: a forecast that is not finite, or a zero in the denominator"
        finite = np.isfinite(self.drawn(metric)).all()
        return "" if finite else f"{metric} is undefined in some resamples: a zero in the denominator"


def _without(failure: str) -> _Arm:
    """An arm that could not be evaluated."""
    nothing = np.full((1, len(RESAMPLED)), np.nan)
    return _Arm(nothing[0], nothing, failure)


@dataclass
class _Cohort:
    """One cohort and vital sign that is evaluated on, and the scores of the runs that were made for it.

    runs: each with its folder, by model, arm and seed.
    """

    name: str
    windows: Path
    runs: Mapping[tuple[str, str, int], tuple[RunRow, Path]]
    parameters: EvaluationParameters
    _scores: dict[Path, WindowScores] = field(default_factory=dict)

    @cached_property
    def test(self) -> Windows:
        """All test windows."""
        return read_windows(self.windows, ("test",))

    @cached_property
    def patients(self) -> int:
        """How many test patients there are."""
        return len(np.unique(self.test.subject_id))

    @cached_property
    def draws(self) -> Array:
        """The resamples of the test patients, the same for every arm."""
        return draw_patients(self.patients, self.parameters.resamples, self.parameters.seed)

    def arm(self, model: str, arm: str, seeds: Sequence[int]) -> _Arm:
        """An arm of the cohort's own runs; without values where one of its seeds has none."""
        runs = [self.runs[model, arm, seed] for seed in seeds if (model, arm, seed) in self.runs]
        if len(runs) < len(seeds):
            every = " with every seed" if runs else ""
            return _without(f"the study has no run of {arm} on {self.name}{every}")
        summary = ArmSummary(tuple(run for run, _ in runs))
        if summary.failed:
            return _without(f"{arm} on {self.name}: {summary.reason}")
        folders = [folder for _, folder in runs]
        for folder in folders:
            if folder not in self._scores:
                self._scores[folder] = score_windows(folder / "forecasts.parquet", self.test)
        return self.resample([self._scores[folder] for folder in folders], seeds)

    def resample(self, scores: Sequence[WindowScores], seeds: Sequence[int]) -> _Arm:
        """Errors of each run, one for each seed."""
        first = scores[0]
        sums = sum_rows(first.patient, [run.errors for run in scores], first.weights)
        replicates = resample_seeds(resample_patients(sums, self.draws), seeds, self.parameters.seed)
        return _Arm(sums.metrics().mean(axis=0), replicates)


def transfer_rows(
    records: Iterable[StoredTransfer],
    runs: Mapping[RunRow, Path],
    windows: Path,
    parameters: EvaluationParameters,
) -> list[TransferRow]:
    """The rows of all transfers, after those of each arm on the cohort that it was adapted to.

    runs: the study's, in its order, and those of its sites, with the folder of each; windows: the folder of the
    study's windows, data/<dataset>/windows, in which they are <cohort>/<vital>.parquet.
    Raises UserError where forecasts are not those of the windows.
    """
    rows: list[TransferRow] = []
    for (vital, evaluated_on), group in groupby(
        _in_study_order(records, runs), key=lambda record: (record.job.vital, record.job.evaluated_on)
    ):
        path = _windows_file(windows, evaluated_on, vital)
        own = {
            (run.model, run.arm, run.seed): (run, folder)
            for run, folder in runs.items()
            if (run.cohort, run.vital) == (evaluated_on, vital)
        }
        cohort = _Cohort(evaluated_on, path, own, parameters)
        for _, of_arm in groupby(group, key=lambda record: (record.job.model, record.job.arm)):
            of_cohorts = [[*jobs] for _, jobs in groupby(of_arm, key=lambda record: record.job.trained_on)]
            rows += _own_rows(cohort, of_cohorts[0])
            for jobs in of_cohorts:
                trained_on = _windows_file(windows, jobs[0].job.trained_on, vital)
                same_dataset = trained_on.parents[1] == path.parents[1]
                test = read_transfer_windows(path, trained_on, same_dataset=same_dataset)
                rows += _transferred_rows(cohort, jobs, test)
    return rows


def _windows_file(windows: Path, name: str, vital: str) -> Path:
    """The windows of a cohort of the study, or of a site, whose folder is beside the study's."""
    dataset, cohort = split_site(name, "")
    folder = windows.parents[1] / dataset / windows.name if dataset else windows
    return folder / cohort / f"{vital}.parquet"


def _in_study_order(records: Iterable[StoredTransfer], runs: Iterable[RunRow]) -> list[StoredTransfer]:
    """Vital signs, cohorts and models as they first appear among the runs, then arms, then seeds."""
    columns = {name: [getattr(run, name) for run in runs] for name in ("vital", "cohort", "model")}
    places = {
        name: {value: place for place, value in enumerate(dict.fromkeys(values))}
        for name, values in columns.items()
    }

    def place(name: str, value: str) -> tuple[int, str]:
        return places[name].get(value, len(places[name])), value

    def position(record: StoredTransfer) -> tuple[Any, ...]:
        job = record.job
        return (
            *(place("vital", job.vital), place("cohort", job.evaluated_on), place("model", job.model)),
            *(arm_position(job.arm), place("cohort", job.trained_on), job.seed),
        )

    return sorted(records, key=position)


def _own_rows(cohort: _Cohort, jobs: Sequence[StoredTransfer]) -> Iterator[TransferRow]:
    """The arm that was adapted to the cohort itself."""
    job = replace(jobs[0].job, trained_on=jobs[0].job.evaluated_on)
    seeds = [record.job.seed for record in jobs]
    own = cohort.arm(job.model, job.arm, seeds)
    yield from _rows(job, cohort, seeds, own, {"zero_shot": cohort.arm(job.model, ZERO_SHOT.name, seeds)})


def _transferred_rows(
    cohort: _Cohort, jobs: Sequence[StoredTransfer], test: Windows
) -> Iterator[TransferRow]:
    """The arm that was adapted to another cohort."""
    job, seeds = jobs[0].job, [record.job.seed for record in jobs]
    failures = {f"seed {record.job.seed}: {record.failure}" for record in jobs if record.failure}
    if failures:
        yield from _rows(job, cohort, seeds, _without("; ".join(sorted(failures))), {})
        return
    scores = [score_windows(record.folder / "forecasts.parquet", test) for record in jobs]
    others = {
        name: cohort.arm(job.model, other, seeds)
        for name, other in (("own", job.arm), ("zero_shot", ZERO_SHOT.name))
    }
    yield from _rows(job, cohort, seeds, cohort.resample(scores, seeds), others)


def _rows(
    job: Transfer, cohort: _Cohort, seeds: Sequence[int], arm: _Arm, others: Mapping[str, _Arm]
) -> Iterator[TransferRow]:
    """One row for each metric. others: own and zero_shot, as far as they apply."""
    parameters = cohort.parameters
    for metric in ERRORS:
        reason = arm.no_interval(metric)
        if not reason and cohort.patients < parameters.minimum_patients:
            reason = f"{cohort.patients} test patients: fewer than {parameters.minimum_patients}"
        differences = {
            name: _above(metric, arm, others.get(name), parameters, with_interval=not reason)
            for name in ("own", "zero_shot")
        }
        low, high = (None, None) if reason else interval(arm.drawn(metric), parameters.confidence)
        reasons = [reason]
        if not reason:
            lacking = {name: other.no_interval(metric) for name, other in others.items()}
            reasons += [f"above_{name}: {why}" for name, why in lacking.items() if why]
        yield TransferRow(
            vital=job.vital,
            model=job.model,
            arm=job.arm,
            trained_on=job.trained_on,
            evaluated_on=job.evaluated_on,
            metric=metric,
            seeds=len(seeds),
            patients=cohort.patients,
            windows=len(cohort.test),
            value=arm.value(metric),
            low=low,
            high=high,
            **{
                f"above_{name}{end}": number
                for name, numbers in differences.items()
                for end, number in zip(("", "_low", "_high"), numbers, strict=True)
            },
            reason="; ".join(filter(None, reasons)),
        )


def _above(
    metric: str, arm: _Arm, other: _Arm | None, parameters: EvaluationParameters, with_interval: bool
) -> tuple[float | None, float | None, float | None]:
    """By how much an arm's error exceeds another's, and the paired interval; None where either is not known."""
    value, theirs = arm.value(metric), other.value(metric) if other else None
    if other is None or value is None or theirs is None:
        return None, None, None
    if not with_interval or other.no_interval(metric):
        return value - theirs, None, None
    found = compare(value, theirs, arm.drawn(metric), other.drawn(metric), parameters.confidence)
    return found.value, found.low, found.high
