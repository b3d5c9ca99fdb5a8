"""The headline table: every model and arm, all vital signs side by side; and each vital sign with all metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.reporting.page import Block, Cell, Group, Head, Line, Section, Table, heads
from workflow_scripts.reporting.parts import (
    POINTS,
    UNTRAINED,
    Part,
    Study,
    best_of,
    idle_words,
    is_whole,
    mean,
)
from workflow_scripts.reporting.sections.overview import arm_figure, mean_rank_figure
from workflow_scripts.reporting.statistics import ComparisonPart, comparison_part
from workflow_scripts.reporting.words import (
    arm_name,
    capital,
    cohort_name,
    count,
    model_name,
    number,
    seconds,
    span,
    vital_name,
)


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
    "within the 80 % interval; a point (the last value, the mean, the value of the day before, a model trained from "
    "scratch) covers next to nothing. The best of each column is marked: the smallest error, the coverage nearest to "
    "80 %."
)
COMPARED = (
    "Compared were each arm with zero-shot of its model, each parameter-efficient arm with full fine-tuning, and the "
    "arm of each model that is best on validation with the baselines and the models trained from scratch. "
    "Differences are paired, on the same windows; below zero the arm's error is lower. Patients better: the share of "
    "patients whose mean error is lower. The intervals are not corrected, the p-values are."
)


def headline_section(study: Study) -> Section:
    """A table and an overview for each cohort."""
    blocks = []
    for cohort in study.cohorts:
        parts = [part for part in study.parts if part.cohort == cohort]
        whole = _table(study, parts, _arms(parts), "")
        few = _fewer(study, parts)
        tables = [_table(study, parts, few, ""), _folded(whole)] if few else [whole]
        blocks.append(
            Block(
                capital(cohort_name(cohort)) if len(study.cohorts) > 1 else "",
                tables=tables,
                note=_small_figures(study, parts)
                + (" Of each method with ranks, the rank with the smallest error." if few else ""),
            )
        )
        blocks += [_details(study, part) for part in parts]
    return Section("headline", "Results at a glance", blocks, NOTE)


def _arms(parts: Sequence[Part]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((arm.first.model, arm.first.arm) for part in parts for arm in part.arms))


def _fewer(study: Study, parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Of too many arms, those without a rank and each method's best rank of the first vital sign; else nothing."""
    names = _arms(parts)
    if len(names) <= study.sources.parameters.most_lines:
        return []
    kept = []
    for part in parts[:1]:
        ranked = [arm for arm in part.arms if arm.first.rank is not None]
        kept = [arm for arm in part.arms if arm.first.rank is None]
        for model, method in dict.fromkeys((arm.first.model, arm.method) for arm in ranked):
            best = best_of([arm for arm in ranked if (arm.first.model, arm.method) == (model, method)])
            kept += [best] if best else []
    chosen = {(arm.first.model, arm.first.arm) for arm in kept}
    return [name for name in names if name in chosen]


def _folded(table: Table) -> Table:
    return Table(f"{table.label}, all arms", table.heads, table.groups, "All arms")


def _table(study: Study, parts: Sequence[Part], names: Sequence[tuple[str, str]], folded: str) -> Table:
    first = [
        Head(""),
        *(Head(f"{capital(vital_name(part.vital))}", len(HEADLINE)) for part in parts),
        Head("", 1),
    ]
    second = [Head("model and arm")]
    for part in parts:
        second += [Head(f"MAE, {part.unit}"), Head(MSE.heading)]
    second.append(Head("trainable parameters"))
    return Table(
        f"Results, {cohort_name(parts[0].cohort)}",
        [first, second],
        _groups(study, parts, names, HEADLINE, timed=False),
        folded,
    )


def _groups(
    study: Study,
    parts: Sequence[Part],
    names: Sequence[tuple[str, str]],
    columns: Sequence[Column],
    timed: bool,
) -> list[Group]:
    found = {(part.vital, arm.first.model, arm.first.arm): arm for part in parts for arm in part.arms}
    best = {(part.vital, column.metric): _best(column, part.arms) for part in parts for column in columns}
    groups: dict[str, list[Line]] = {}
    for model, name in names:
        cells: list[Cell] = []
        arms = [found.get((part.vital, model, name)) for part in parts]
        for part, arm in zip(parts, arms, strict=True):
            for column in columns:
                cells.append(_cell(study, arm, column, best[part.vital, column.metric]))
        some = next(arm for arm in arms if arm)
        cells.append(
            Cell("–" if some.first.trainable_parameters is None else count(some.first.trainable_parameters))
        )
        if timed:
            cells.append(Cell(seconds(mean(some, "total_seconds"))))
        reasons = dict.fromkeys(arm.reason for arm in arms if arm and arm.reason)
        failed = any(arm.failed for arm in arms if arm)
        groups.setdefault(model, []).append(Line(arm_name(name), cells, "; ".join(reasons), failed))
    for model, lines in groups.items():
        remarks = (lines[-1].remark, _idle(parts, model))
        lines[-1] = replace(lines[-1], remark="; ".join(filter(None, remarks)))
    return [
        Group(lines, capital(model_name(model)), study.places.get(model)) for model, lines in groups.items()
    ]


def _idle(parts: Sequence[Part], model: str) -> str:
    """Which of a model's arms are the untrained model still, on which vital sign."""
    found = [(part, idle_words(part.arms).get(model)) for part in parts]
    said = [f"{part.title}, {arms}" if len(parts) > 1 else arms for part, arms in found if arms]
    return f"{capital('; '.join(said))}: {UNTRAINED}" if said else ""


def _best(column: Column, arms: Sequence[ArmSummary]) -> float | None:
    # The coverage of a forecast that is a point is no success or failure to be marked.
    compared = [arm for arm in arms if column.metric != "coverage_80" or arm.first.model not in POINTS]
    values = [value for arm in compared if (value := mean(arm, column.metric)) is not None]
    return min(values, key=lambda value: abs(value * column.factor - column.ideal), default=None)


def _cell(study: Study, arm: ArmSummary | None, column: Column, best: float | None) -> Cell:
    if arm is None:
        return Cell("not run", mark="muted")
    value, row = mean(arm, column.metric), study.interval(arm, column.metric)
    ends = (row.low, row.high) if row else arm.extremes(column.metric) if len(arm.runs) > 1 else None
    low, high = (None if end is None else end * column.factor for end in ends or (None, None))
    near = row is not None and row.above_best_low is not None and row.above_best_low <= 0
    mark = "best" if value is not None and value == best else "near" if near else ""
    return Cell(
        number(None if value is None else value * column.factor),
        span(low, high) if value is not None else "",
        mark,
    )


def _small_figures(study: Study, parts: Sequence[Part]) -> str:
    """What the small figures are, and which of them are missing for what reason."""
    statistics = study.sources.statistics
    arms = [arm for part in parts for arm in part.arms]
    if not statistics.intervals:
        several = any(len(arm.runs) > 1 for arm in arms)
        text = "No intervals were computed: these are point estimates. "
        return text + ("Small figures: smallest and largest over seeds." if several else "")
    rows = [row for arm in arms if (row := study.interval(arm, "mse")) is not None]
    known = [row for row in rows if row.low is not None]
    if not known:
        return f"No intervals: {rows[0].reason}." if rows else "No intervals."
    seeds = " and seeds" if max(row.seeds for row in rows) > 1 else ""
    return (
        f"Small figures: {statistics.confidence} intervals over {known[0].patients:,} test patients{seeds}. "
        "Underlined: not distinguishable from the best, by the interval of the paired difference. The best was "
        "chosen on these same patients, which flatters it."
    )


def _details(study: Study, part: Part) -> Block:
    names = _arms([part])
    second = [
        Head("model and arm"),
        *(Head(f"MAE {part.unit}" if column is MAE else column.heading) for column in ALL),
        Head("trainable"),
        Head("time"),
    ]
    tables = [
        Table(
            f"All metrics, {part.title}",
            [second],
            _groups(study, [part], names, ALL, timed=True),
            "All metrics",
        )
    ]
    comparisons = comparison_part(study.sources.statistics, part.cohort, part.vital)
    if comparisons:
        tables.append(_comparisons(study, part, comparisons))
    figures = [figure for figure in (arm_figure(study, part), mean_rank_figure(study, part)) if figure]
    note = COMPARED if comparisons and part is study.parts[0] else ""
    missing = "" if any(map(is_whole, part.arms)) else "No arm gave a finite error: there is nothing to draw."
    text = missing or (comparisons.sentence if comparisons else "")
    return Block(part.title, text, figures=figures, tables=tables, note=note)


def _comparisons(study: Study, part: Part, comparisons: ComparisonPart) -> Table:
    marks: Mapping[str, str] = {"lower": "good", "higher": "bad"}
    lines = [
        Line(
            line.arm,
            [
                Cell(line.against),
                Cell(line.difference),
                Cell(line.interval),
                Cell(line.p_value),
                Cell(line.wins),
                Cell(line.verdict, mark=marks.get(line.verdict, "")),
            ],
        )
        for line in comparisons.lines
    ]
    confidence = study.sources.statistics.confidence
    names = ("arm", "against", "difference, MSE × 10⁻⁴", f"{confidence} interval", "p (Holm)")
    return Table(
        f"Planned comparisons, {part.title}",
        heads(*names, "patients better", "the arm's error"),
        [Group(lines)],
        "All planned comparisons",
    )
