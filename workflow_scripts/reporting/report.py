"""Puts the report together: what the run is not, tables, figures, examples, attrition, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.run_records import RunRecord, read_run_record
from workflow_scripts.evaluation.summary import IntervalRow, RunRow
from workflow_scripts.reporting import figures
from workflow_scripts.reporting.attrition import AttritionStep, read_attrition
from workflow_scripts.reporting.examples import OPEN_DATASETS, choose_examples
from workflow_scripts.reporting.published import PUBLISHED
from workflow_scripts.reporting.statistics import (
    FEW_PATIENTS,
    FEW_SEEDS,
    ComparisonPart,
    RankPart,
    Statistics,
    comparison_part,
    rank_part,
    signed,
)
from workflow_scripts.reporting.svg import SERIES, SIGNS, Drawing
from workflow_scripts.windows.reading import read_windows

TEMPLATES = Path(__file__).parent / "templates"

DATASET_NAMES = {
    "simulated": "simulated patients in MIMIC-III's schema",
    "mimic-iii-demo": "the open MIMIC-III demo",
    "mimic-iii": "MIMIC-III",
}


@dataclass(frozen=True)
class Sources:
    """Where the report's parts lie: run folders, window files, attrition tables; settings and statistics."""

    runs: Path
    windows: Path
    attrition: Sequence[Path]
    settings: Mapping[str, Any]
    statistics: Statistics = field(default_factory=Statistics)


@dataclass(frozen=True)
class Cell:
    """A number of the headline table as text, with its interval, or its extremes over seeds without statistics.

    best: the column's best. near: the paired interval of the difference from the best holds zero.
    """

    text: str
    spread: str = ""
    best: bool = False
    near: bool = False


@dataclass(frozen=True)
class ArmLine:
    """One line of the headline table."""

    arm: str
    cells: list[Cell]
    trainable: str
    seconds: str
    failed: bool
    reason: str


@dataclass(frozen=True)
class ModelLines:
    """The lines of one model; sign and colour are those of its marker in the figures."""

    model: str
    sign: str
    colour: str
    lines: list[ArmLine]


@dataclass(frozen=True)
class VitalPart:
    """Everything about one vital sign in one cohort."""

    key: str
    name: str
    unit: str
    best: str
    models: list[ModelLines]
    small_figures: str
    by_arm: Drawing | None
    by_size: Drawing | None
    by_rank: list[Drawing]
    bars: str
    ranks: RankPart | None
    comparisons: ComparisonPart | None
    mean_ranks: Drawing | None
    left_out: str
    examples: list[Drawing]
    examples_of: str


@dataclass(frozen=True)
class CohortPart:
    """Everything about one cohort."""

    name: str
    size: str
    vitals: list[VitalPart]
    attrition: list[AttritionStep]
    attrition_figure: Drawing | None


@dataclass(frozen=True)
class Column:
    """A metric of the headline table: its heading, its factor, and the value it should come near to."""

    metric: str
    heading: str
    factor: float
    ideal: float = 0.0


COLUMNS = (
    Column("mse", "MSE × 10⁻⁴", 1e4),
    Column("mape", "MAPE %", 1),
    Column("dtw", "DTW × 10⁻³", 1e3),
    Column("mae", "MAE", 1),
    Column("coverage_80", "coverage %", 100, ideal=80),
)


UNADAPTED = ("fit", "zero-shot")
"""Arms in which nothing learns from this cohort."""


def render_report(rows: Sequence[RunRow], sources: Sources) -> str:
    """Return the report as one HTML page that needs nothing from outside.

    Raises UserError where an attrition table, a windows file or the shown forecasts are missing or broken.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    attrition = dict(read_attrition(path) for path in sources.attrition)
    places = _colour_places(rows)
    cohorts = [
        _cohort_part(cohort, [row for row in rows if row.cohort == cohort], places, sources, attrition)
        for cohort in dict.fromkeys(row.cohort for row in rows)
    ]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        dataset=DATASET_NAMES.get(rows[0].dataset, rows[0].dataset),
        caveats=_caveats(rows, sources),
        cohorts=cohorts,
        columns=COLUMNS,
        confidence=sources.statistics.confidence,
        failures=[row for row in rows if row.status != "ok"],
        runs=len(rows),
        published=PUBLISHED,
        provenance=_provenance(rows, _latest_record(rows, sources.runs)),
        settings=_flat_settings(sources.settings),
    )


def _colour_places(rows: Sequence[RunRow]) -> dict[str, int]:
    """Every foundation model keeps its colour and marker through the whole report."""
    models = dict.fromkeys(row.model for row in rows if row.family != "naive")
    return {model: place for place, model in enumerate(models)}


def _caveats(rows: Sequence[RunRow], sources: Sources) -> list[str]:
    """What this run is not, in the reader's words."""
    settings, intervals = sources.settings, sources.statistics.intervals
    dataset, models = rows[0].dataset, dict.fromkeys(row.model for row in rows)
    caveats = []
    if dataset == "simulated":
        caveats.append(
            "Simulated patients: the numbers show that the pipeline works, nothing about real patients."
        )
    if dataset == "mimic-iii-demo":
        caveats.append("The open demo holds 100 patients: far too few to rank models or arms.")
    nano = [model for model in models if model.endswith("-nano")]
    if nano:
        caveats.append(
            f"Stand-in weights: {', '.join(nano)} are tiny networks that were pre-trained on synthetic "
            "series within minutes. They are not the published foundation models."
        )
    if settings.get("windows", {}).get("split") == "by_window_leaky":
        caveats.append(
            "Leaky split: windows of one ICU stay can lie in training and in test, as in the paper. "
            "The errors are too small for new patients."
        )
    seeds = len({row.seed for row in rows})
    if seeds == 1:
        caveats.append(
            "One seed: what another seed would change is in no interval; small differences can be chance."
        )
    elif seeds < FEW_SEEDS:
        caveats.append(f"{seeds} seeds: with fewer than {FEW_SEEDS}, intervals are too narrow.")
    patients = min((row.patients for row in intervals if row.low is not None), default=FEW_PATIENTS)
    if patients < FEW_PATIENTS:
        caveats.append(f"{patients} test patients: with fewer than {FEW_PATIENTS}, intervals are too narrow.")
    return caveats


def _cohort_part(
    cohort: str,
    rows: Sequence[RunRow],
    places: Mapping[str, int],
    sources: Sources,
    attrition: Mapping[str, list[AttritionStep]],
) -> CohortPart:
    steps = attrition.get(cohort, [])
    included = steps[-1] if steps else None
    return CohortPart(
        name=cohort,
        size=f"{included.stays:,} ICU stays of {included.patients:,} patients" if included else "",
        vitals=[
            _vital_part([row for row in rows if row.vital == vital], places, sources)
            for vital in dict.fromkeys(row.vital for row in rows)
        ],
        attrition=steps,
        attrition_figure=figures.attrition_bars(f"attrition-{cohort}", cohort, steps) if steps else None,
    )


def _vital_part(rows: Sequence[RunRow], places: Mapping[str, int], sources: Sources) -> VitalPart:
    first = rows[0]
    arms = summarise_arms(rows)
    statistics = sources.statistics
    key, name = f"{first.cohort}-{first.vital}", first.vital.replace("_", " ").capitalize()
    windows = read_windows(sources.windows / first.cohort / f"{first.vital}.parquet")
    shown = _best_arm(arms) if first.dataset in OPEN_DATASETS else None
    examples = []
    if shown is not None:
        run = shown.first
        folder = sources.runs.joinpath(run.cohort, run.vital, run.model, run.arm, f"seed{run.seed}")
        examples = [
            figures.example_forecast(
                f"example-{key}-{number}", example, windows.metadata.unit, places.get(run.model, 0)
            )
            for number, example in enumerate(choose_examples(windows, folder / "forecasts.parquet"))
        ]
    return VitalPart(
        key=key,
        name=name,
        unit=windows.metadata.unit,
        best=_best_sentence(arms, windows.metadata.unit, statistics),
        models=_model_lines(arms, places, statistics),
        small_figures=_small_figures(arms, statistics),
        by_arm=figures.error_by_arm(f"arms-{key}", f"{name}: error by arm", arms, places),
        by_size=figures.error_by_size(f"size-{key}", f"{name}: error by size", arms, places),
        by_rank=_rank_figures(key, arms, places, statistics),
        bars=_bar_words(arms, statistics),
        ranks=rank_part(statistics, first.cohort, first.vital),
        comparisons=comparison_part(statistics, first.cohort, first.vital),
        mean_ranks=figures.mean_ranks(
            f"places-{key}", f"{name}: mean rank", _mse_rows(first, statistics), places
        ),
        left_out=_left_out(_mse_rows(first, statistics)),
        examples=examples,
        examples_of=f"{shown.first.model}, {shown.first.arm}, seed {shown.first.seed}" if shown else "",
    )


def _mse_rows(run: RunRow, statistics: Statistics) -> list[IntervalRow]:
    """The intervals of MSE of a run's cohort and vital sign."""
    subject = (run.cohort, run.vital, "mse")
    return [row for row in statistics.intervals if (row.cohort, row.vital, row.metric) == subject]


def _left_out(rows: Sequence[IntervalRow]) -> str:
    ranked = sum(row.mean_rank is not None for row in rows)
    return f" The best {figures.MOST_RANKED} of {ranked} arms." if ranked > figures.MOST_RANKED else ""


def _rank_figures(
    key: str, arms: Sequence[ArmSummary], places: Mapping[str, int], statistics: Statistics
) -> list[Drawing]:
    drawings = []
    for model, place in places.items():
        own = [arm for arm in arms if arm.first.model == model]
        for method in dict.fromkeys(arm.method for arm in own if arm.first.rank is not None):
            shown = [arm for arm in own if arm.first.rank is None or arm.method == method]
            drawings.append(
                figures.error_by_rank(
                    f"rank-{key}-{place}-{method}",
                    model if method == "lora" else f"{model}, {method}",
                    shown,
                    place,
                    _mse_rows(arms[0].first, statistics),
                )
            )
    return [drawing for drawing in drawings if drawing is not None]


def _best_arm(arms: Sequence[ArmSummary]) -> ArmSummary | None:
    """The whole arm with the smallest MSE: an adapted one if any, else a zero-shot, else a reference."""
    whole = [arm for arm in arms if arm.mean("mse") is not None and not arm.failed]

    def order(arm: ArmSummary) -> tuple[int, float]:
        kind = {"fit": 2, "zero-shot": 1}.get(arm.first.arm, 0)
        return kind, arm.mean("mse") or 0.0

    return min(whole, key=order, default=None)


def _best_sentence(arms: Sequence[ArmSummary], unit: str, statistics: Statistics) -> str:
    """What the table's first column says, and no more than its intervals show."""
    whole = sorted(
        (arm for arm in arms if arm.mean("mse") is not None), key=lambda arm: arm.mean("mse") or 0.0
    )
    if not whole:
        return "No arm gave a finite error."
    best, *others = whole
    interval = statistics.interval(best, "mse")
    details = []
    if interval and interval.low is not None and interval.high is not None:
        details.append(
            f"{statistics.confidence} interval {interval.low * 1e4:.2f} to {interval.high * 1e4:.2f}"
        )
    if best.mean("mae") is not None:
        details.append(f"mean absolute error {_number(best.mean('mae'), 1)}\N{NO-BREAK SPACE}{unit}")
    sentence = f"Smallest MSE: {_arm_name(best)} with {_number(best.mean('mse'), 1e4)} × 10⁻⁴"
    sentence += f" ({'; '.join(details)})." if details else "."
    unadapted = [arm for arm in others if arm.first.arm in UNADAPTED]
    if unadapted and best.first.arm not in UNADAPTED:
        sentence += (
            f" Best without adaptation: {_arm_name(unadapted[0])} "
            f"with {_number(unadapted[0].mean('mse'), 1e4)} × 10⁻⁴{_distance(unadapted[0], statistics)}."
        )
    if not interval:
        return f"{sentence} These are point estimates without intervals."
    if interval.low is None:
        return f"{sentence} There are no intervals ({interval.reason}): no difference is claimed."
    near = sum(_is_near(statistics.interval(arm, "mse")) for arm in others)
    return sentence + (
        f" Not distinguishable from the smallest: {near} of {len(others)} other arms." if others else ""
    )


def _distance(arm: ArmSummary, statistics: Statistics) -> str:
    """How far an arm is from the best one, where an interval says so."""
    row = statistics.interval(arm, "mse")
    if not row or row.above_best is None or row.above_best_low is None or row.above_best_high is None:
        return ""
    ends = f"{signed(row.above_best_low * 1e4)} to {signed(row.above_best_high * 1e4)}"
    if _is_near(row):
        return f"; the difference, {signed(row.above_best * 1e4)} ({ends}), is not distinguishable from none"
    return f"; larger by {row.above_best * 1e4:.2f} ({ends})"


def _is_near(row: IntervalRow | None) -> bool:
    """Whether the paired interval of the difference from the best arm holds zero."""
    return row is not None and row.above_best_low is not None and row.above_best_low <= 0


def _arm_name(arm: ArmSummary) -> str:
    return arm.first.model if arm.first.family == "naive" else f"{arm.first.model}, {arm.first.arm},"


def _model_lines(
    arms: Sequence[ArmSummary], places: Mapping[str, int], statistics: Statistics
) -> list[ModelLines]:
    best = {column.metric: _best_value(column, arms) for column in COLUMNS}
    groups: dict[str, list[ArmLine]] = {}
    for arm in arms:
        groups.setdefault(arm.first.model, []).append(_arm_line(arm, best, statistics))
    return [
        ModelLines(
            model=model,
            sign=SIGNS[(places[model] + places[model] // len(SERIES)) % len(SIGNS)]
            if model in places
            else "❘",
            colour=f"var(--series-{places[model] % len(SERIES)})" if model in places else "var(--muted)",
            lines=lines,
        )
        for model, lines in groups.items()
    ]


def _best_value(column: Column, arms: Sequence[ArmSummary]) -> float | None:
    # A reference's forecast is a point: its coverage is no success or failure to be marked.
    compared = [arm for arm in arms if column.metric != "coverage_80" or arm.first.family != "naive"]
    values = [value for arm in compared if (value := arm.mean(column.metric)) is not None]
    return min(values, key=lambda value: abs(value * column.factor - column.ideal), default=None)


def _arm_line(arm: ArmSummary, best: Mapping[str, float | None], statistics: Statistics) -> ArmLine:
    cells = []
    for column in COLUMNS:
        value, row = arm.mean(column.metric), statistics.interval(arm, column.metric)
        is_best = value is not None and value == best[column.metric]
        ends = (row.low, row.high) if row else arm.extremes(column.metric) if len(arm.runs) > 1 else None
        known = ends is not None and None not in ends
        spread = " – ".join(_number(end, column.factor) for end in ends) if ends and known else ""
        cells.append(Cell(_number(value, column.factor), spread, is_best, not is_best and _is_near(row)))
    return ArmLine(
        arm=arm.first.arm,
        cells=cells,
        trainable=f"{arm.first.trainable_parameters:,}",
        seconds=f"{arm.mean('total_seconds') or 0.0:.1f}",
        failed=arm.failed,
        reason=arm.reason,
    )


def _small_figures(arms: Sequence[ArmSummary], statistics: Statistics) -> str:
    """What the small figures of the headline table are, and which of them are missing for what reason."""
    if not statistics.intervals:
        several = any(len(arm.runs) > 1 for arm in arms)
        return "Small figures: smallest and largest over seeds." if several else ""
    rows = [row for arm in arms if (row := statistics.interval(arm, "mse")) is not None]
    if all(row.low is None for row in rows):
        return f"No intervals: {rows[0].reason}." if rows else ""
    seeds = " and seeds" if max(row.seeds for row in rows) > 1 else ""
    return (
        f"Small figures: {statistics.confidence} intervals over {rows[0].patients:,} test patients{seeds}. "
        "Underlined: not distinguishable from the best, by the interval of the paired difference. The best was "
        "chosen on these same patients, which flatters it."
    )


def _bar_words(arms: Sequence[ArmSummary], statistics: Statistics) -> str:
    rows = [statistics.interval(arm, "mse") for arm in arms]
    if not any(row and row.low is not None for row in rows):
        return ""
    return (
        f"Bars: {statistics.confidence} interval of each error. All arms share their patients, so two of them can "
        "differ though their bars overlap: the planned comparisons are paired."
    )


def _number(value: float | None, factor: float) -> str:
    """Two decimals where that says something, three significant digits with a power of ten elsewhere."""
    if value is None:
        return "–"
    scaled = value * factor
    if scaled == 0 or 0.01 <= abs(scaled) < 1e5:
        return f"{scaled:.2f}"
    return f"{scaled:.2e}"


def _latest_record(rows: Sequence[RunRow], runs: Path) -> RunRecord:
    row = max(rows, key=lambda row: row.finished_at)
    return read_run_record(
        runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}", "run.json")
    )


def _provenance(rows: Sequence[RunRow], latest: RunRecord) -> list[tuple[str, str]]:
    """Name and value of everything that tells where the numbers come from."""

    def distinct(values: Sequence[str]) -> str:
        return ", ".join(sorted({value for value in values if value})) or "unknown"

    machine = latest.machine if isinstance(latest.machine, str) else _pairs(latest.machine)
    finished = sorted(row.finished_at for row in rows)
    facts = [
        ("runs", f"{len(rows)}, finished {finished[0]} to {finished[-1]}"),
        ("git commit", distinct([row.git_commit for row in rows])),
        ("code hash", distinct([row.code_hash for row in rows])),
    ]
    for cohort, vital in dict.fromkeys((row.cohort, row.vital) for row in rows):
        hashes = [row.windows_hash for row in rows if (row.cohort, row.vital) == (cohort, vital)]
        facts.append((f"windows of {vital}, {cohort}", distinct(hashes)))
    for model in dict.fromkeys(row.model for row in rows if row.weights_hash):
        facts.append(
            (f"weights of {model}", distinct([row.weights_hash for row in rows if row.model == model]))
        )
    return [*facts, ("versions", _pairs(latest.versions)), ("machine of the last run", machine)]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, ""))


def _flat_settings(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Path and value of every setting."""
    flat: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat += _flat_settings(value, f"{prefix}{name}.")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            flat.append((f"{prefix}{name}", shown))
    return flat
