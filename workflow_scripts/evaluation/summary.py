"""The tables of the summary: their columns, and the order of their rows."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from workflow_scripts.adaptation.arms import BASELINE, FULL, SCRATCH_ARMS, ZERO_SHOT, Arm
from workflow_scripts.evaluation.events.rows import EventCurveRow, EventRow
from workflow_scripts.runtime.completeness import require_complete
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")

MISSING = "missing"
"""The status of a run that did not finish, in the tables of an unfinished study."""


@dataclass(frozen=True)
class RunRow:
    """One run. Its fields, in this order, are the columns of metrics.csv.

    status is `ok`, `failed` where training diverged or a forecast was not finite, or `missing` where an unfinished
    study has no record of the run, which then has names and a reason only; reason says what failed or is undefined.
    mse, mape (%), mape_paper (%) and dtw are of the scaled series; mae and rmse are in the vital sign's unit.
    *_monte_carlo_error: standard error over the random numbers of the forecasts, 0 where nothing is drawn.
    validation_wql: the weighted quantile loss of the validation windows, by which an arm is recommended. event: the
    vital sign's first event, with its scores by the main condition at the shortest lead (events.csv has all); empty
    where it is not judged. learning_rate: the chosen one. training_seconds is of all candidates. growth_host_mib: by
    how much the process grew beyond its libraries and the loaded model. Hashes are shortened.
    """

    dataset: str
    cohort: str
    vital: str
    model: str
    family: str
    arm: str
    rank: int | None
    seed: int
    status: str
    reason: str
    mse: float | None
    mape: float | None
    mape_paper: float | None
    dtw: float | None
    mae: float | None
    rmse: float | None
    wql: float | None
    coverage_80: float | None
    mse_monte_carlo_error: float | None
    mae_monte_carlo_error: float | None
    wql_monte_carlo_error: float | None
    validation_wql: float | None
    event: str
    event_lead_minutes: int | None
    event_prevalence: float | None
    event_auroc: float | None
    event_auprc: float | None
    event_brier: float | None
    event_brier_skill: float | None
    train_windows: int | None
    validation_windows: int | None
    test_windows: int | None
    test_patients: int | None
    non_finite_windows: int | None
    total_parameters: int | None
    trainable_parameters: int | None
    start_up_seconds: float | None
    training_seconds: float | None
    forecast_seconds: float | None
    total_seconds: float | None
    peak_host_mib: float | None
    growth_host_mib: float | None
    peak_device_mib: float | None
    seconds_per_step: float | None
    examples_per_second: float | None
    forecast_seconds_per_window: float | None
    adapter_mib: float | None
    learning_rate: float | None
    training_steps: int | None
    best_step: int | None
    best_validation_loss: float | None
    stopped_early: bool | None
    code_hash: str
    windows_hash: str
    weights_hash: str
    git_commit: str
    finished_at: str


@dataclass(frozen=True)
class IntervalRow:
    """One metric of one arm over all its seeds, with its interval. Its fields are the columns of intervals.csv.

    value: mean over seeds; low, high: percentile interval over patients, and over seeds where there are
    several. above_best: by how much the error exceeds the smallest one of the same cohort, vital sign and
    metric, with the interval of that paired difference; empty for the arm that is best, and for coverage_80. reason:
    why there is no interval.
    """

    cohort: str
    vital: str
    model: str
    arm: str
    metric: str
    seeds: int
    patients: int
    windows: int
    value: float | None
    low: float | None
    high: float | None
    above_best: float | None
    above_best_low: float | None
    above_best_high: float | None
    reason: str


@dataclass(frozen=True)
class ComparisonRow:
    """One arm against another on the same windows. Its fields are the columns of comparisons.csv.

    difference: the arm's error minus the other's (below zero, the arm is better), with the percentile interval.
    monte_carlo_error: standard error of the difference over the random numbers of the forecasts; neither the interval
    nor the p-value calls a difference that it explains. p_holm: p_value corrected over the family, the `comparisons`
    rows of the same cohort, vital sign and metric. win_rate, tie_rate: shares of patients whose mean error is lower, or
    the same, under the arm.
    reason: why there is no interval.
    """

    cohort: str
    vital: str
    metric: str
    model: str
    arm: str
    against_model: str
    against_arm: str
    seeds: int
    patients: int
    windows: int
    difference: float | None
    low: float | None
    high: float | None
    monte_carlo_error: float | None
    p_value: float | None
    p_holm: float | None
    comparisons: int
    win_rate: float | None
    tie_rate: float | None
    reason: str


@dataclass(frozen=True)
class RankRow:
    """One rank of one method and model. Its fields are the columns of rank_threshold.csv.

    good_enough: the error is within `margin` (a share) of the best rank's. threshold: the smallest rank that
    is. share: share of the resamples in which this rank is the threshold. reason: why there is none, as where no rank
    is better than zero-shot.
    """

    cohort: str
    vital: str
    model: str
    method: str
    metric: str
    rank: int
    seeds: int
    patients: int
    value: float | None
    margin: float
    good_enough: bool | None
    threshold: bool | None
    share: float | None
    reason: str


@dataclass(frozen=True)
class BreakdownRow:
    """One metric of one arm over a group of its test windows, or a step. Its fields are the columns of breakdown.csv.

    dimension: horizon_step (level 1 to the horizon), hours_from_onset (levels in hours, as "-12 to 0"), sex,
    age_band, icu_type or hospital. value: mean over seeds; low, high: percentile interval over patients and seeds.
    Groups of fewer than 11 patients have counts and values of None and say so in reason. A dimension that the data do
    not have is one row without model, arm, level and metric, with the reason.
    """

    cohort: str
    vital: str
    model: str
    arm: str
    dimension: str
    level: str
    metric: str
    seeds: int
    patients: int | None
    windows: int | None
    value: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class CalibrationRow:
    """How often the truth lies below a forecast quantile. Its fields are the columns of calibration.csv.

    level: nominal level of the quantile; observed: share of the truths at or below it, mean over seeds; None, with
    the reason, where the arm failed. Arms that forecast a point have no rows.
    """

    cohort: str
    vital: str
    model: str
    arm: str
    level: float
    seeds: int
    patients: int
    windows: int
    observed: float | None
    reason: str


@dataclass(frozen=True)
class TransferRow:
    """An adapter of one cohort on the test windows of another. Its fields are the columns of transfer.csv.

    Patients are split once for all cohorts, so that the adapter has seen none of them. value: mean over seeds, with its
    interval over patients. above_own, above_zero_shot: by how much the error exceeds that of the same arm adapted to
    evaluated_on itself, and that of zero-shot, with paired intervals, on the same windows; empty where there is no such
    arm. trained_on == evaluated_on is the arm's own error, without above_own. reason: what has no interval, and why.
    """

    vital: str
    model: str
    arm: str
    trained_on: str
    evaluated_on: str
    metric: str
    seeds: int
    patients: int
    windows: int
    value: float | None
    low: float | None
    high: float | None
    above_own: float | None
    above_own_low: float | None
    above_own_high: float | None
    above_zero_shot: float | None
    above_zero_shot_low: float | None
    above_zero_shot_high: float | None
    reason: str


RELATIVE, RANK, PER_DOUBLING = "relative difference", "rank", "change per doubling of the rank"
"""What the number of a finding is: a share of the other error, a rank, or by how much the error changes."""


@dataclass(frozen=True)
class FindingRow:
    """One of the paper's findings, held against this study. Its fields are the columns of findings.csv.

    finding: 1 to 7, as the paper's are numbered in docs/findings.md; claim: what is tested; arms, against: which arms
    are compared, each as `model arm`, separated by semicolons; found: what came out, in words; measure: what the
    number is (a relative difference, a rank, or the change per doubling of the rank); value, low, high: that number
    with its interval; p_holm: p_value (of the claim's limit) corrected over the family, the `claims` claims of the same
    cohort and vital sign; verdict: agrees, disagrees, undecided or not tested, after that correction; reason: why it is
    undecided or not tested, and where patients or seeds are few, a caution.
    """

    finding: int
    cohort: str
    vital: str
    claim: str
    arms: str
    against: str
    metric: str
    found: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None
    claims: int
    patients: int
    seeds: int
    verdict: str
    reason: str


@dataclass(frozen=True)
class LeaderboardRow:
    """One arm over all vital signs and cohorts, by one metric. Its fields are the columns of leaderboard.csv.

    skill: 1 - geometric mean over tasks of its error relative to that of `baseline` (0: as good, 1: without error).
    win_rate: share of the other arms that it beats, mean over tasks, a tie being half a win. mean_rank: mean over tasks
    of its place, 1 is best. low, high: percentile intervals over patients, who are drawn once for all tasks. failures:
    tasks in which it failed; there it has the baseline's error. reason: what is missing, and why.
    """

    metric: str
    model: str
    arm: str
    tasks: int
    failures: int
    baseline: str
    skill: float | None
    win_rate: float
    mean_rank: float
    skill_low: float | None = None
    skill_high: float | None = None
    win_rate_low: float | None = None
    win_rate_high: float | None = None
    mean_rank_low: float | None = None
    mean_rank_high: float | None = None
    reason: str = ""


TABLES: dict[str, type] = {
    "metrics": RunRow,
    "intervals": IntervalRow,
    "comparisons": ComparisonRow,
    "rank_threshold": RankRow,
    "breakdown": BreakdownRow,
    "calibration": CalibrationRow,
    "transfer": TransferRow,
    "findings": FindingRow,
    "events": EventRow,
    "event_curves": EventCurveRow,
    "leaderboard": LeaderboardRow,
}
"""Every table of the summary, <name>.csv, and the kind of its rows."""


def in_study_order(rows: Iterable[RunRow]) -> list[RunRow]:
    """Sort rows: cohorts, vital signs and models as they first appear, then arms, then seeds."""
    given = list(rows)
    places = {
        name: {value: place for place, value in enumerate(dict.fromkeys(getattr(row, name) for row in given))}
        for name in ("cohort", "vital", "model")
    }

    def position(row: RunRow) -> tuple[Any, ...]:
        subject = tuple(places[name][getattr(row, name)] for name in ("cohort", "vital", "model"))
        return (*subject, arm_position(row.arm), row.seed)

    return sorted(given, key=position)


def arm_position(arm: str) -> tuple[int, str, int]:
    """A sort key: what is no adapter first, then methods by name, then ranks by size (r8 before r16)."""
    parsed = Arm.parse(arm)
    before = [BASELINE, *SCRATCH_ARMS, ZERO_SHOT, FULL]
    if parsed in before:
        return before.index(parsed), "", 0
    return len(before), parsed.method, parsed.rank or 0


def rows_text(kind: type[Row], rows: Iterable[Row]) -> str:
    """CSV text with the columns of a kind of row."""
    return table_text([field.name for field in fields(kind)], ([*vars(row).values()] for row in rows))


def table_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV text with a header, floats with six significant digits, nothing for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_metrics(path: Path) -> list[RunRow]:
    """Read metrics.csv. Raises UserError where it is missing or lacks columns."""
    return read_rows(path, RunRow)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read a table of the summary. Raises UserError where it is missing or lacks columns."""
    expected = "a table of the summary, as aggregate_metrics writes it"
    remedy = "run the workflow (make run), which writes it"
    if not path.exists():
        raise UserError(str(path), "no such file", expected, remedy)
    require_complete(path)
    columns = fields(kind)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column.name for column in columns if column.name not in (reader.fieldnames or [])]
        if missing:
            raise UserError(str(path), f"no column {', '.join(missing)}", expected, remedy)
        try:
            return [
                kind(**{column.name: _value(row[column.name], column.type) for column in columns})
                for row in reader
            ]
        except ValueError:
            found = f"an unreadable value in line {reader.line_num}"
            raise UserError(str(path), found, expected, remedy) from None


def _value(cell: str, kind: Any) -> Any:
    """Read a cell as its field's type, `str`, or `float | None` and the like."""
    base = (get_args(kind) or (kind,))[0]
    if not cell and type(None) in get_args(kind):
        return None
    return cell == "true" if base is bool else base(cell)
