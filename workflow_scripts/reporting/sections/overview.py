"""The figure of all arms of a vital sign: their errors with intervals."""

from collections import Counter
from typing import Any

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.names import arm_name, capital, model_name, run_name
from workflow_scripts.evaluation.summary import arm_position
from workflow_scripts.reporting.charts import (
    MSE_AXIS,
    Figure,
    data,
    error_axis,
    error_tips,
    identity,
    interval_bars,
    legend_columns,
    make_figure,
    model_scales,
    pick,
    scale_of,
)
from workflow_scripts.reporting.study import (
    ForecastTask,
    Study,
    compared_arms,
    error,
    is_complete,
    mse_columns,
)
from workflow_scripts.reporting.words import number

MOST_ROWS = 26
"""Rows of the figure: more could not be read."""


def arm_figure(study: Study, task: ForecastTask) -> Figure | None:
    """One row for each arm, one marker for each model; baselines have rows of their own."""
    import altair as alt

    arms = [arm for arm in task.arms if is_complete(arm)]
    names = {kind_row(arm) for arm in arms}
    if len(names) > MOST_ROWS:
        arms = compared_arms(task)
    if not arms:
        return None
    rows = [_row(study, arm) for arm in arms]
    ordered = sorted(arms, key=lambda arm: (arm.kind == "baseline", arm_position(arm.first.arm)))
    order = list(dict.fromkeys(kind_row(arm) for arm in ordered))
    models = {row["model_name"]: study.model_indices.get(row["model"]) for row in rows}
    own = [name for name, place in models.items() if place is not None]
    colours, shapes = model_scales(models)
    scale = scale_of(rows, "mse_e4", "low", "high")
    chosen, opacity = pick("model_name")
    # A model that has a row for itself is drawn in its middle.
    middle, models_of = (own[len(own) // 2] if own else ""), Counter(row["row"] for row in rows)
    drawn = [row | {"place": row["model_name"] if models_of[row["row"]] > 1 else middle} for row in rows]
    base = alt.Chart(data("drawn")).encode(
        opacity=opacity,
        y=alt.Y("row:N", sort=order).title(None).axis(grid=True, ticks=False, domain=False),
        yOffset=alt.YOffset("place:N", sort=own) if own else alt.YOffset(),
        color=alt.Color("model_name:N").scale(colours).legend(values=own),
        tooltip=[
            alt.Tooltip("model_name:N", title="model"),
            alt.Tooltip("row:N", title="arm"),
            *error_tips("mse_e4", MSE_AXIS),
        ],
    )
    x = alt.X("mse_e4:Q").scale(scale).axis(error_axis(scale, MSE_AXIS))
    points = base.mark_point(filled=True, size=60).encode(
        x=x, shape=alt.Shape("model_name:N").scale(shapes).legend(values=own)
    )
    bars = interval_bars(base, rows, "x", {"strokeWidth": 1.6, "strokeOpacity": 0.55})
    columns = legend_columns(own, order)
    best, worst = min(arms, key=error), max(arms, key=error)
    words = (
        f"{len(arms)} arms, {MSE_AXIS}. Smallest: {_said(best)}; largest: {_said(worst)}. Bars are intervals "
        "where there are any, otherwise the extremes over seeds."
    )
    height = 90 + len(order) * max(20, 8 * len(own)) + 10 * len(own)
    return make_figure(
        f"{task.key}_error-by-arm",
        "error-by-arm",
        "Error by arm",
        words,
        alt.layer(*bars, points.add_params(chosen)),
        rows,
        task.title,
        height + (0 if columns == 2 else 9 * len(own)),
        {"drawn": drawn},
        columns,
    )


def kind_row(arm: ArmSummary) -> str:
    """The row of an arm in the figure: a baseline's own name, else the arm's."""
    return capital(model_name(arm.first.model)) if arm.kind == "baseline" else arm_name(arm.first.arm)


def _said(arm: ArmSummary) -> str:
    return f"{run_name(arm.first.model, arm.first.arm)}, {number(error(arm) * 1e4)}"


def _row(study: Study, arm: ArmSummary) -> dict[str, Any]:
    names = {"row": kind_row(arm), "model_name": capital(model_name(arm.first.model))}
    return identity(arm.first) | names | mse_columns(study, arm)
