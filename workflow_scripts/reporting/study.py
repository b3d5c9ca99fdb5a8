"""The study as the report sees it: one task for each cohort and vital sign, with its arms and its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.choice import by_validation, recommended
from workflow_scripts.evaluation.events.rows import EventCurveRow, EventRow
from workflow_scripts.evaluation.names import (
    arm_name,
    capital,
    cohort_name,
    is_implied,
    listed,
    method_name,
    model_name,
    vital_name,
)
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import (
    MISSING,
    TABLES,
    BreakdownRow,
    CalibrationRow,
    FindingRow,
    IntervalRow,
    LeaderboardRow,
    RunRow,
    TransferRow,
    read_rows,
)
from workflow_scripts.models.registry import kind_of
from workflow_scripts.reporting.charts import times
from workflow_scripts.reporting.page import Cell, Group, Line
from workflow_scripts.reporting.parameters import ReportParameters
from workflow_scripts.reporting.statistics import Statistics
from workflow_scripts.runtime.files import read_json
from workflow_scripts.runtime.step import read_settings

METRICS = ("mse", "mape", "mape_paper", "dtw", "mae", "rmse", "wql", "coverage_80")

MOST_COMPARED = 7
"""Lines in one figure: more could not be distinguished."""


@dataclass(frozen=True)
class Sources:
    """Where the study's files are, and the tables of the summary; each table may be empty.

    cohorts: folder with <cohort>.attrition.csv, .consort.svg and .table_one.csv. settings: of this step; its
    `changed` holds the parameters of the study that differ from their defaults. reading: what read_source found in the
    raw files: `counts` by words, and `limits`, what the data cannot tell; empty where the data set has none.
    """

    runs: Path
    windows: Path
    cohorts: Path | None
    settings: Mapping[str, Any]
    statistics: Statistics = field(default_factory=Statistics)
    breakdown: Sequence[BreakdownRow] = ()
    calibration: Sequence[CalibrationRow] = ()
    transfer: Sequence[TransferRow] = ()
    findings: Sequence[FindingRow] = ()
    events: Sequence[EventRow] = ()
    event_curves: Sequence[EventCurveRow] = ()
    leaderboard: Sequence[LeaderboardRow] = ()
    parameters: ReportParameters = field(default_factory=ReportParameters)
    reading: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        summary: Path,
        runs: Path,
        windows: Path,
        cohorts: Path | None,
        settings: Path,
        reading: Path | None = None,
    ) -> "Sources":
        """Read the step's settings and the tables in the folder `summary`; a table that is not there is empty.

        Raises UserError where the settings are missing or a table has other columns.
        """
        values = read_settings(settings)
        paths = {name: summary / f"{name}.csv" for name in TABLES if name != "metrics"}
        tables: dict[str, Any] = {
            name: read_rows(path, TABLES[name]) if path.exists() else () for name, path in paths.items()
        }
        statistics = Statistics(
            tables.pop("intervals"),
            tables.pop("comparisons"),
            tables.pop("rank_threshold"),
            EvaluationParameters(**values.get("evaluation", {})),
        )
        parameters = ReportParameters(**values.get("report", {}))
        found = read_json(reading) if reading and reading.is_file() else {}
        return cls(runs, windows, cohorts, values, statistics, **tables, parameters=parameters, reading=found)


@dataclass(frozen=True)
class ForecastTask:
    """One vital sign in one cohort: unit, minutes between two steps, and the arms in the study's order."""

    dataset: str
    cohort: str
    vital: str
    unit: str
    interval_minutes: int
    arms: Sequence[ArmSummary]
    several_cohorts: bool

    @property
    def key(self) -> str:
        """What its figures' names begin with."""
        return "_".join(name.replace("_", "-") for name in (self.cohort, self.vital))

    @property
    def title(self) -> str:
        """The vital sign's name, with the cohort's where there are several."""
        cohort = f" · {cohort_name(self.cohort)}" if self.several_cohorts else ""
        return capital(vital_name(self.vital)) + cohort

    def of(self, rows: Sequence[Any]) -> list[Any]:
        """The rows of a table that belong to this task."""
        return [row for row in rows if (row.cohort, row.vital) == (self.cohort, self.vital)]


@dataclass(frozen=True)
class Study:
    """All tasks, the runs, their sources, and the index of each model, which gives it a colour and a marker."""

    rows: Sequence[RunRow]
    tasks: Sequence[ForecastTask]
    model_indices: Mapping[str, int]
    sources: Sources

    @property
    def dataset(self) -> str:
        """The data set of all runs."""
        return self.rows[0].dataset

    @property
    def cohorts(self) -> list[str]:
        """The cohorts in the study's order."""
        return list(dict.fromkeys(task.cohort for task in self.tasks))

    def interval(self, arm: ArmSummary, metric: str) -> IntervalRow | None:
        """An arm's interval; None where there are no statistics."""
        return self.sources.statistics.interval(arm, metric)


def collect_study(rows: Sequence[RunRow], sources: Sources) -> Study:
    """Gather the runs. Raises UserError where a windows file is missing or broken."""
    from workflow_scripts.windows.reading import read_windows

    arms = summarise_arms(rows)
    cohorts = {row.cohort for row in rows}
    tasks = []
    for cohort, vital in dict.fromkeys((row.cohort, row.vital) for row in rows):
        windows = sources.windows / cohort / f"{vital}.parquet"
        own = [arm for arm in arms if (arm.first.cohort, arm.first.vital) == (cohort, vital)]
        if not windows.exists() and all(arm.first.status == MISSING for arm in own):
            continue  # No windows could be made; its runs are listed under what failed.
        metadata = read_windows(windows, splits=("test",)).metadata
        tasks.append(
            ForecastTask(
                rows[0].dataset,
                cohort,
                vital,
                metadata.unit,
                metadata.interval_minutes,
                own,
                len(cohorts) > 1,
            )
        )
    models = dict.fromkeys(row.model for row in rows if kind_of(row.model) != "baseline")
    return Study(rows, tasks, {model: index for index, model in enumerate(models)}, sources)


def mean(arm: ArmSummary, name: str) -> float | None:
    """The mean of a column over seeds; None where a run failed or has no finite value."""
    value = None if arm.failed and name in METRICS else arm.mean(name)
    return value if value is not None and isfinite(value) else None


UNTRAINED = "no step lowered the validation loss, so the forecasts are those of the untrained model"


def is_idle(arm: ArmSummary) -> bool:
    """Whether training changed nothing in any seed: the weights are those of step 0."""
    return arm.kind == "foundation" and all(run.best_step == 0 for run in arm.runs)


def idle_words(arms: Sequence[ArmSummary]) -> dict[str, str]:
    """Model -> its arms that learned nothing, as `full fine-tuning; LoRA, ranks 1 and 2`."""
    found: dict[str, dict[str, list[int | None]]] = {}
    for arm in filter(is_idle, arms):
        found.setdefault(arm.first.model, {}).setdefault(arm.method, []).append(arm.first.rank)
    return {
        model: "; ".join(_method_and_ranks(method, ranks) for method, ranks in methods.items())
        for model, methods in found.items()
    }


def _method_and_ranks(method: str, ranks: Sequence[int | None]) -> str:
    known = [str(rank) for rank in ranks if rank is not None]
    return (
        f"{method_name(method)}, rank{'s' * (len(known) > 1)} {listed(known)}"
        if known
        else method_name(method)
    )


def is_complete(arm: ArmSummary) -> bool:
    """Whether every run of the arm gave an error."""
    return mean(arm, "mse") is not None


def error(arm: ArmSummary) -> float:
    """The mean MSE of a complete arm."""
    return arm.mean("mse") or 0.0


def recommended_arms(task: ForecastTask) -> list[ArmSummary]:
    """The recommended arm of each model that learns, the smallest validation error first; without any, a baseline."""
    models = dict.fromkeys(arm.first.model for arm in task.arms if arm.kind != "baseline")
    own = [[arm for arm in task.arms if arm.first.model == model] for model in models]
    found = by_validation([arm for arms in own if (arm := recommended(arms))])
    baseline = recommended([arm for arm in task.arms if arm.kind == "baseline"])
    return found or ([baseline] if baseline else [])


def compared_arms(task: ForecastTask) -> list[ArmSummary]:
    """The recommended arm of each model and of the baselines: at most MOST_COMPARED, in the study's order."""
    baseline = recommended([arm for arm in task.arms if arm.kind == "baseline"])
    shown = recommended_arms(task)[: MOST_COMPARED - 1] + ([baseline] if baseline else [])
    return [arm for arm in task.arms if arm in shown]


def mse_columns(study: Study, arm: ArmSummary) -> dict[str, float | None]:
    """The MSE of a figure's row with its interval; without statistics the extremes over seeds, where there are several.

    In units of 10⁻⁴ of the scaled series' squares.
    """
    interval, value = study.interval(arm, "mse"), mean(arm, "mse")
    several = arm.extremes("mse") if len(arm.runs) > 1 else None
    low, high = (interval.low, interval.high) if interval else several or (None, None)
    return {name: times(each, 1e4) for name, each in (("mse_e4", value), ("low", low), ("high", high))}


def arm_line(arm: ArmSummary, cells: Sequence[Cell], remark: str, failed: bool) -> Line:
    """A line of a table of arms."""
    return Line(arm_name(arm.first.arm), cells, remark, failed, implied=is_implied(arm.arm))


def model_groups(study: Study, lines: Mapping[str, Sequence[Line]]) -> list[Group]:
    """The lines of each model below its name, with its colour and marker."""
    return [
        Group(own, capital(model_name(model)), study.model_indices.get(model)) for model, own in lines.items()
    ]
