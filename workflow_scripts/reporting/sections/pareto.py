"""Error against what an arm costs: memory, training time, trainable parameters; marked is what nothing beats."""

import math
from collections.abc import Sequence
from typing import Any

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.names import capital, model_name, run_name
from workflow_scripts.reporting.charts import (
    MSE_AXIS,
    Figure,
    data,
    error_axis,
    identity,
    legend_columns,
    make_figure,
    model_scales,
    pick,
    scale_of,
)
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.study import ForecastTask, Study, error, is_complete, mean

PLAIN = "datum.value < 1 ? format(datum.value, '.2~r') : format(datum.value, '~s')"
"""Labels of costs: 0.5 for half a second, where format's own would be 500m; 200k for two hundred thousand."""


def pareto_section(study: Study) -> Section:
    """Three figures for each cohort and vital sign."""
    blocks = []
    for task in study.tasks:
        arms = [arm for arm in task.arms if is_complete(arm)]
        figures = [
            figure
            for name, column, axis in _costs(arms)
            if (figure := _figure(study, task, arms, name, column, axis))
        ]
        if figures:
            blocks.append(Block(task.title, figures=figures))
    return Section(
        "cost-and-error",
        "What a smaller error costs",
        blocks,
        "",
        "" if blocks else "No arm has both a finite error and a measured cost.",
    )


def _costs(arms: Sequence[ArmSummary]) -> list[tuple[str, str, str]]:
    """Name, column and axis of each cost; memory is the device's where every trained arm ran on one."""
    trained = [arm for arm in arms if arm.first.trainable_parameters]
    device = trained and all(mean(arm, "peak_device_mib") is not None for arm in trained)
    memory = ("peak_device_mib", "peak device memory, MiB")
    if not device:
        # Of a process's own peak the libraries are most.
        memory = ("growth_host_mib", "host memory beyond the loaded model, MiB")
    return [
        ("memory", *memory),
        ("time", "training_seconds", "training time, s"),
        ("parameters", "trainable_parameters", "trainable parameters"),
    ]


def not_dominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each (cost, error): whether no other point is as good in both and better in one."""
    return [
        not any(other[0] <= point[0] and other[1] <= point[1] and other != point for other in points)
        for point in points
    ]


def _rows(arms: Sequence[ArmSummary], column: str) -> list[dict[str, Any]]:
    measured = [(arm, cost) for arm in arms if (cost := mean(arm, column)) is not None]
    best = not_dominated([(cost, error(arm)) for arm, cost in measured])
    return [
        {
            **identity(arm.first),
            "name": capital(run_name(arm.first.model, arm.first.arm)),
            "model_name": "Baseline" if arm.kind == "baseline" else capital(model_name(arm.first.model)),
            column: cost,
            "mse_e4": error(arm) * 1e4,
            "not_dominated": marked,
        }
        for (arm, cost), marked in zip(measured, best, strict=True)
    ]


def _figure(
    study: Study, task: ForecastTask, arms: Sequence[ArmSummary], name: str, column: str, axis: str
) -> Figure | None:
    import altair as alt

    rows = _rows(arms, column)
    positive = [row[column] for row in rows if row[column] > 0]
    if not positive:
        return None
    # A logarithmic axis has no zero: it is drawn left of the smallest cost, below a mark of its own.
    nothing = 10 ** (math.floor(math.log10(min(positive))) - 0.7)
    drawn = [row | {"cost": row[column] if row[column] > 0 else nothing} for row in rows]
    scale = scale_of(rows, "mse_e4")
    models = {row["model_name"]: study.model_indices.get(row["model"]) for row in rows}
    colours, shapes = model_scales(models)
    chosen, opacity = pick("model_name")
    base = alt.Chart(data("drawn")).encode(
        x=_cost_axis(positive, nothing if len(positive) < len(rows) else None, axis),
        y=alt.Y("mse_e4:Q").scale(scale).axis(error_axis(scale, MSE_AXIS)),
        tooltip=[
            alt.Tooltip("name:N", title="arm"),
            alt.Tooltip("mse_e4:Q", title=MSE_AXIS, format=".2f"),
            alt.Tooltip(f"{column}:Q", title=axis, format=",.4~g"),
        ],
    )
    front = base.transform_filter("datum.not_dominated")
    chart = alt.layer(
        front.mark_line(interpolate="step-after", color="var(--muted)", strokeDash=[3, 3], strokeWidth=1.4),
        base.mark_point(filled=True, size=62)
        .add_params(chosen)
        .encode(
            opacity=opacity,
            color=alt.Color("model_name:N").scale(colours),
            shape=alt.Shape("model_name:N").scale(shapes),
        ),
        front.mark_point(
            shape="circle", filled=False, size=230, strokeWidth=1.6, color="var(--ink)", opacity=1
        ),
    )
    columns = legend_columns(models, ["00.0"])
    best = [f"{row['name']}" for row in sorted(rows, key=lambda row: row[column]) if row["not_dominated"]]
    words = f"{len(rows)} arms, {MSE_AXIS} against {axis}. Beaten by no other in both: {'; '.join(best)}."
    return make_figure(
        f"{task.key}_error-and-{name}",
        f"error-and-{name}",
        f"Error and {axis.partition(',')[0]}",
        words,
        chart,
        rows,
        task.title,
        300 + (9 if columns == 2 else 19) * len(models),
        {"drawn": drawn},
        columns,
    )


def _cost_axis(positive: Sequence[float], nothing: float | None, title: str) -> Any:
    """Logarithmic where the costs differ by much; nothing: where an arm without any cost is drawn."""
    import altair as alt

    smallest, largest = min(positive), max(positive)
    if nothing is None and largest < 10 * smallest:
        return alt.X("cost:Q").scale(zero=False).axis(title=title, tickCount=5, labelExpr=PLAIN, grid=False)
    low, high = (smallest if nothing is None else nothing) / 1.5, largest * 1.6
    factors = (1,) if largest >= 100 * smallest else (1, 2, 5)
    ticks = [factor * 10.0**power for power in range(-9, 16) for factor in factors]
    ticks = [tick for tick in ticks if max(low, smallest / 2) <= tick <= high]
    label = PLAIN
    if nothing is not None:
        ticks, label = [nothing, *ticks], f"datum.value < {nothing * 1.01} ? '0' : {label}"
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.X("cost:Q").scale(scale).axis(title=title, values=ticks, labelExpr=label, grid=False)
