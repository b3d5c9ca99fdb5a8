"""Forecast fans: a good, a usual and a bad forecast of a recommended arm, in relative hours and without ids."""

from math import ceil, floor
from typing import Any

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.names import run_name
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.charts import Figure, data, make_figure, slug
from workflow_scripts.reporting.examples import Example, choose_examples
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.study import ForecastTask, Study, recommended_arms
from workflow_scripts.reporting.themes import look
from workflow_scripts.reporting.words import number, percent
from workflow_scripts.windows.reading import read_windows

CLOSED = (
    "Forecasts of single windows are patients' data. They are not shown of {dataset}; report.examples: always shows "
    "them, and makes this page as confidential as the data."
)


def fan_section(study: Study) -> Section:
    """Three windows for each cohort and vital sign, where the data may be shown.

    Raises UserError where the shown forecasts are missing or are not those of the windows.
    """
    chosen = study.sources.parameters.examples
    title, blocks, missing = "Example forecasts", [], ""
    if chosen == "never":
        missing = "Switched off by report.examples."
    elif chosen == "open" and study.dataset not in OPEN_DATASETS:
        missing = CLOSED.format(dataset=study.dataset)
    else:
        for task in study.tasks:
            if arm := _shown(task):
                blocks.append(_block(study, task, arm))
        missing = (
            "" if any(block.figures for block in blocks) else "No arm gave forecasts that are all finite."
        )
    return Section(
        "examples",
        title,
        [block for block in blocks if block.figures],
        "",
        missing,
    )


def _shown(task: ForecastTask) -> ArmSummary | None:
    """Of the recommended arms that of the model with the smallest validation error, foundation models first."""
    learnt = recommended_arms(task)
    foundation = [arm for arm in learnt if arm.kind == "foundation"]
    return next(iter([*foundation, *learnt]), None)


def _block(study: Study, task: ForecastTask, arm: ArmSummary) -> Block:
    run, sources = arm.first, study.sources
    windows = read_windows(sources.windows / task.cohort / f"{task.vital}.parquet", splits=("test",))
    folder = sources.runs.joinpath(run.cohort, run.vital, run.model, run.arm, f"seed{run.seed}")
    examples = choose_examples(windows, folder / "forecasts.parquet")
    figures = [_figure(study, task, arm, example) for example in examples]
    text = (
        f"Test windows of {run_name(run.model, run.arm)}, seed {run.seed}, by their place in the order of errors. The "
        "arm is the recommended one: it has the smallest error on the validation windows."
    )
    return Block(task.title, text, figures=figures)


def _rows(example: Example) -> list[dict[str, Any]]:
    names = {level: f"q{100 * level:g}" for level in example.quantiles}
    before = [
        {"hours": hour, "charted": value, "observed": None} | dict.fromkeys(names.values())
        for hour, value in zip(example.context_hours.tolist(), example.context.tolist(), strict=True)
    ]
    after = [
        {"hours": hour, "charted": None, "observed": truth}
        | {name: float(example.quantiles[level][step]) for level, name in names.items()}
        for step, (hour, truth) in enumerate(
            zip(example.forecast_hours.tolist(), example.truth.tolist(), strict=True)
        )
    ]
    return before + after


def _figure(study: Study, task: ForecastTask, arm: ArmSummary, example: Example) -> Figure:
    import altair as alt

    rows = _rows(example)
    colour = look(study.model_indices.get(arm.first.model))[0]
    levels = sorted(example.quantiles)
    middle = min(levels, key=lambda level: abs(level - 0.5))
    names = [f"q{100 * level:g}" for level in levels]
    hours = [row["hours"] for row in rows]
    base = alt.Chart(data()).encode(
        x=alt.X("hours:Q")
        .scale(nice=False)
        .axis(title="hours from the forecast's start", values=hour_marks(hours[0], hours[-1]), grid=False)
    )

    def y(name: str) -> Any:
        return alt.Y(f"{name}:Q").scale(zero=False).axis(title=task.unit, tickCount=5)

    layers = [
        base.transform_filter(f"isValid(datum.{low})")
        .mark_area(color=colour, opacity=0.17)
        .encode(y=y(low), y2=f"{high}:Q")
        for low, high in zip(names, reversed(names), strict=True)
        if names.index(low) < names.index(high)
    ]
    tips = [
        alt.Tooltip("hours:Q", format=".2~f"),
        alt.Tooltip("observed:Q", format=".1f"),
        alt.Tooltip(f"q{100 * middle:g}:Q", title="median", format=".1f"),
        alt.Tooltip(f"{names[0]}:Q", title=f"{percent(levels[0])} quantile", format=".1f"),
        alt.Tooltip(f"{names[-1]}:Q", title=f"{percent(levels[-1])} quantile", format=".1f"),
    ]
    layers += [
        base.transform_filter(f"isValid(datum.q{100 * middle:g})")
        .mark_line(color=colour, strokeWidth=2.2)
        .encode(y=y(f"q{100 * middle:g}")),
        base.transform_filter("isValid(datum.charted)")
        .mark_line(color="var(--muted)", strokeWidth=1.4)
        .encode(y=y("charted")),
        base.transform_filter("isValid(datum.observed)")
        .mark_point(filled=True, size=34, color="var(--ink)", opacity=1, shape="circle")
        .encode(y=y("observed"), tooltip=tips),
        alt.Chart(data("start")).mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(x="hours:Q"),
    ]
    low, high = example.outer
    words = (
        f"Forecast over {len(example.median)} steps with a mean absolute error of {number(example.error, 1)} "
        f"{task.unit}; {example.covered} of {example.observed} observed values are within the "
        f"{percent(high - low)} interval."
    )
    return make_figure(
        f"{task.key}_forecast-{slug(example.name)}",
        "forecast",
        f"{example.name}: mean absolute error {number(example.error, 1)} {task.unit}",
        words,
        alt.layer(*layers),
        rows,
        task.title,
        more={"start": [{"hours": float(example.forecast_hours[0])}]},
    )


def hour_marks(first: float, last: float) -> list[float]:
    """Round hours between two, at most nine."""
    step = next((step for step in (0.5, 1, 2, 3, 6, 12, 24, 48) if (last - first) / step <= 8), 96)
    return [step * place for place in range(ceil(first / step), floor(last / step) + 1)]
