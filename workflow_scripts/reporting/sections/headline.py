"""The headline table: every model and arm, all vital signs side by side; and each vital sign with all metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.evaluation.names import capital, cohort_name, vital_name
from workflow_scripts.evaluation.point_forecasts import forecasts_a_point
from workflow_scripts.reporting.page import Block, Cell, Group, Head, Line, Section, Signs, Table
from workflow_scripts.reporting.sections.overview import arm_figure
from workflow_scripts.reporting.statistics import comparison_sentence, comparison_table
from workflow_scripts.reporting.study import (
    UNTRAINED,
    ForecastTask,
    Study,
    arm_line,
    idle_words,
    is_complete,
    mean,
    model_groups,
    recommended_arms,
)
from workflow_scripts.reporting.words import count, number, seconds, span


@dataclass(frozen=True)
class Column:
    """A metric: heading, factor, and the value it should come near to."""

    metric: str
    heading: str
    factor: float = 1.0
    ideal: float = 0.0


MAE, MSE = Column("mae", "MAE"), Column("mse", "MSE × 10⁻⁴", 1e4)
HEADLINE = (MAE, MSE)
ALL = (
    MSE,
    Column("mape", "MAPE %"),
    Column("dtw", "DTW × 10⁻³", 1e3),
    MAE,
    Column("coverage_80", "coverage %", 100, ideal=80),
)

NOTE = (
    "MAE, the mean absolute error, is in the vital sign's unit. MSE, MAPE and DTW are of the series scaled to fixed "
    "clinical ranges. Each is a mean over test windows, observed points only. Coverage is the share of observed values "
    "within the 80 % interval; a point (the last value, the mean, the same hour yesterday, a model trained from "
    "scratch without the quantile loss) covers next to nothing. The best of each column is marked: the smallest error, "
    "the coverage nearest to 80 %."
)
COMPARED = (
    "Compared were each arm with zero-shot of its model, each parameter-efficient arm with full fine-tuning, and the "
    "recommended arm of each model with the baselines and the models trained from scratch. "
    "Differences are paired, on the same windows; below zero the arm's error is lower. Patients better: the share of "
    "patients whose mean error is lower. The intervals are not corrected, the p-values are."
)


RECOMMENDED: Signs = {"recommended": "recommended, chosen on validation alone"}


def headline_section(study: Study) -> Section:
    """A table for each cohort; of each vital sign two figures, all metrics and the planned comparisons."""
    blocks = []
    for cohort in study.cohorts:
        blocks.append(_cohort(study, [task for task in study.tasks if task.cohort == cohort]))
        blocks += [_details(study, task) for task in study.tasks if task.cohort == cohort]
    return Section("headline", "Results at a glance", blocks, NOTE)


def _cohort(study: Study, tasks: Sequence[ForecastTask]) -> Block:
    """All arms on all vital signs of a cohort; of too many arms a short table, and all of them folded."""
    names = list(dict.fromkeys((arm.first.model, arm.first.arm) for task in tasks for arm in task.arms))
    cohort = cohort_name(tasks[0].cohort)
    tables = [_table(study, tasks, names, "results", f"Results, {cohort}")]
    signs, note = _small_figures(study, tasks)
    if len(names) > study.sources.parameters.most_lines:
        few = _best_ranks(tasks[0])
        short = _table(
            study, tasks, [name for name in names if name in few], "best-ranks", f"Results, {cohort}"
        )
        tables = [short, replace(tables[0], label=f"Results, {cohort}, all arms", folded="All arms")]
        note = " ".join(
            filter(None, (note, "Of each method with ranks, the rank with the smallest validation error."))
        )
    heading = capital(cohort) if len(study.cohorts) > 1 else ""
    return Block(heading, tables=tables, signs=signs, note=note)


def _best_ranks(task: ForecastTask) -> set[tuple[str, str]]:
    """The arms without a rank and of each method the rank with the smallest validation error."""
    kept = [arm for arm in task.arms if arm.first.rank is None]
    ranked = [arm for arm in task.arms if arm.first.rank is not None]
    for model, method in dict.fromkeys((arm.first.model, arm.method) for arm in ranked):
        best = recommended([arm for arm in ranked if (arm.first.model, arm.method) == (model, method)])
        kept += [best] if best else []
    return {(arm.first.model, arm.first.arm) for arm in kept}


def _table(
    study: Study, tasks: Sequence[ForecastTask], names: Sequence[tuple[str, str]], name: str, label: str
) -> Table:
    first = [Head(""), *(Head(capital(vital_name(task.vital)), len(HEADLINE)) for task in tasks), Head("")]
    second = [Head("model and arm")]
    for task in tasks:
        second += [Head(f"MAE, {task.unit}"), Head(MSE.heading)]
    second.append(Head("trainable parameters"))
    return Table(name, label, [first, second], _groups(study, tasks, names, HEADLINE))


def _groups(
    study: Study,
    tasks: Sequence[ForecastTask],
    names: Sequence[tuple[str, str]],
    columns: Sequence[Column],
    timed: bool = False,
) -> list[Group]:
    found = {(task.vital, arm.first.model, arm.first.arm): arm for task in tasks for arm in task.arms}
    best = {(task.vital, column.metric): _best(column, task.arms) for task in tasks for column in columns}
    taken = [arm for task in tasks for arm in recommended_arms(task)]
    lines: dict[str, list[Line]] = {}
    for model, name in names:
        pairs = [(task, found.get((task.vital, model, name))) for task in tasks]
        cells = [
            _cell(study, arm, column, best[task.vital, column.metric], arm in taken)
            for task, arm in pairs
            for column in columns
        ]
        arms = [arm for _, arm in pairs if arm]
        trainable = arms[0].first.trainable_parameters
        cells.append(Cell("–" if trainable is None else count(trainable)))
        if timed:
            cells.append(Cell(seconds(mean(arms[0], "total_seconds"))))
        reasons = dict.fromkeys(arm.reason for arm in arms if arm.reason)
        line = arm_line(arms[0], cells, "; ".join(reasons), any(arm.failed for arm in arms))
        lines.setdefault(model, []).append(line)
    for model, own in lines.items():
        own[-1] = replace(own[-1], remark="; ".join(filter(None, (own[-1].remark, _idle(tasks, model)))))
    return model_groups(study, lines)


def _idle(tasks: Sequence[ForecastTask], model: str) -> str:
    """Which of a model's arms are the untrained model still, on which vital sign."""
    found = [(task, idle_words(task.arms).get(model)) for task in tasks]
    said = [f"{task.title}, {arms}" if len(tasks) > 1 else arms for task, arms in found if arms]
    return f"{capital('; '.join(said))}: {UNTRAINED}" if said else ""


def _best(column: Column, arms: Sequence[ArmSummary]) -> float | None:
    # The coverage of a forecast that is a point is no success or failure to be marked.
    compared = [
        arm
        for arm in arms
        if column.metric != "coverage_80" or not forecasts_a_point(arm.first.model, arm.arm)
    ]
    values = [value for arm in compared if (value := mean(arm, column.metric)) is not None]
    return min(values, key=lambda value: abs(value * column.factor - column.ideal), default=None)


def _cell(study: Study, arm: ArmSummary | None, column: Column, best: float | None, taken: bool) -> Cell:
    """taken: whether the arm is recommended."""
    if arm is None:
        return Cell("not run", mark="muted")
    value, row = mean(arm, column.metric), study.interval(arm, column.metric)
    ends = (row.low, row.high) if row else arm.extremes(column.metric) if len(arm.runs) > 1 else None
    low, high = (None if end is None else end * column.factor for end in ends or (None, None))
    return Cell(
        number(None if value is None else value * column.factor),
        span(low, high) if value is not None else "",
        "best" if value is not None and value == best else "",
        taken,
    )


def _small_figures(study: Study, tasks: Sequence[ForecastTask]) -> tuple[Signs, str]:
    """What the small figures and the underlined ones are, and a note; why there are none, where there are none."""
    statistics = study.sources.statistics
    arms = [arm for task in tasks for arm in task.arms]
    if not statistics.intervals:
        several = any(len(arm.runs) > 1 for arm in arms)
        signs: Signs = {"below": "smallest and largest over seeds"} if several else {}
        return {**signs, **RECOMMENDED}, "No intervals were computed: these are point estimates."
    rows = [row for arm in arms if (row := study.interval(arm, "mse")) is not None]
    known = [row for row in rows if row.low is not None]
    if not known:
        return RECOMMENDED, f"No intervals: {rows[0].reason}." if rows else "No intervals."
    seeds = " and seeds" if max(row.seeds for row in rows) > 1 else ""
    signs = {
        "below": f"{statistics.confidence} intervals over {known[0].patients:,} test patients{seeds}",
        **RECOMMENDED,
    }
    return signs, "The smallest error was picked on these same patients, which flatters it: it is no advice."


def _details(study: Study, task: ForecastTask) -> Block:
    statistics = study.sources.statistics
    heads = [Head(f"MAE {task.unit}" if column is MAE else column.heading) for column in ALL]
    heads = [Head("model and arm"), *heads, Head("trainable"), Head("time")]
    names = [(arm.first.model, arm.first.arm) for arm in task.arms]
    groups = _groups(study, [task], names, ALL, timed=True)
    tables = [Table("metrics", f"All metrics, {task.title}", [heads], groups, "All metrics")]
    compared = [row for row in task.of(statistics.comparisons) if row.metric == "mse"]
    if compared:
        tables.append(comparison_table(task.title, compared, statistics))
    figures = [figure for figure in (arm_figure(study, task),) if figure]
    text = comparison_sentence(compared, statistics) if compared else ""
    if not any(map(is_complete, task.arms)):
        text = "No arm gave a finite error: there is nothing to draw."
    note = COMPARED if compared and task is study.tasks[0] else ""
    return Block(task.title, text, figures=figures, tables=tables, note=note)
