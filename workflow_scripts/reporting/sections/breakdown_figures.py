"""Figures of the error by groups of the test windows: a line over the horizon, or points with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.evaluation.names import capital, model_name, run_name
from workflow_scripts.evaluation.summary import BreakdownRow
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
    slug,
    times,
)
from workflow_scripts.reporting.study import ForecastTask, Study, compared_arms
from workflow_scripts.reporting.words import MINUS, number

TITLES = {
    "horizon_step": "error by hours ahead",
    "hours_from_onset": "error by hours from onset",
    "sex": "error by sex",
    "age_band": "error by age",
    "icu_type": "error by first ICU",
    "hospital": "error by hospital",
}
LABELS = {"female": "women", "male": "men"}


def preferred(rows: Sequence[BreakdownRow]) -> list[BreakdownRow]:
    """The rows of the mean absolute error, whose unit a reader knows; else those of the MSE, else of what is there."""
    for metric in ("mae", "mse", *(row.metric for row in rows)):
        if own := [row for row in rows if row.model and row.metric == metric]:
            return own
    return []


def level_name(level: str) -> str:
    """A level in words."""
    words = level.split(" ")
    return LABELS.get(level) or " ".join(MINUS + word[1:] if word.startswith("-") else word for word in words)


def level_figure(study: Study, task: ForecastTask, table: Sequence[BreakdownRow]) -> Figure | None:
    """The error of the compared arms over the levels of one dimension, in the table's order; None without a value."""
    chosen = {(arm.first.model, arm.first.arm) for arm in compared_arms(task)}
    kept = [row for row in table if (row.model, row.arm) in chosen and row.value is not None]
    if not kept:
        return None
    dimension, metric = kept[0].dimension, kept[0].metric
    factor = 1e4 if metric == "mse" else 1.0
    axis = {"mae": f"mean absolute error, {task.unit}", "mse": MSE_AXIS}.get(metric, metric)
    rows = [_row(row, factor) for row in kept]
    indices = {row["model_name"]: study.model_indices.get(row["model"]) for row in rows}
    levels = list(dict.fromkeys(row["level"] for row in rows))
    if dimension == "horizon_step":
        for row in rows:
            row["hours_ahead"] = float(row["level"]) * task.interval_minutes / 60
        columns = legend_columns(indices, ["00.0"])
        chart, height = _over_horizon(rows, indices, axis), 280
    else:
        columns = legend_columns(indices, levels)
        chart = _by_level(rows, indices, levels, axis)
        height = 95 + len(levels) * max(26, 9 * len(indices))
    kind = slug(TITLES[dimension])
    return make_figure(
        f"{task.key}_{kind}",
        kind,
        capital(TITLES[dimension]),
        _words(rows, axis),
        chart,
        rows,
        task.title,
        height + (11 if columns == 2 else 19) * len(indices),
        columns=columns,
    )


def _row(row: BreakdownRow, factor: float) -> dict[str, Any]:
    return identity(row) | {
        "name": capital(run_name(row.model, row.arm)),
        "model_name": capital(model_name(row.model)),
        "level": level_name(row.level),
        "patients": row.patients,
        "windows": row.windows,
        "metric": row.metric,
        "error": times(row.value, factor),
        "low": times(row.low, factor),
        "high": times(row.high, factor),
    }


def _base(indices: Mapping[str, int | None], axis: str, level: Any) -> tuple[Any, Any]:
    """What all layers share, and the scale of shapes."""
    import altair as alt

    colours, shapes = model_scales(indices)
    picked, opacity = pick("model_name")
    base = alt.Chart(data()).encode(
        opacity=opacity,
        color=alt.Color("model_name:N").scale(colours),
        tooltip=[
            alt.Tooltip("name:N", title="arm"),
            level,
            *error_tips("error", axis),
            alt.Tooltip("patients:Q"),
        ],
    )
    points = base.mark_point(filled=True, size=46).encode(shape=alt.Shape("model_name:N").scale(shapes))
    return base, points.add_params(picked)


def _over_horizon(rows: Sequence[Mapping[str, Any]], indices: Mapping[str, int | None], axis: str) -> Any:
    import altair as alt

    scale = scale_of(rows, "error", "low", "high")
    base, points = _base(indices, axis, alt.Tooltip("hours_ahead:Q", title="hours ahead"))
    x = alt.X("hours_ahead:Q").axis(title="hours ahead", tickMinStep=1, grid=False).scale(zero=False)
    y = alt.Y("error:Q").scale(scale).axis(error_axis(scale, axis))
    bars = interval_bars(base, rows, "y", {"strokeWidth": 1.4, "strokeOpacity": 0.35}, x=x)
    return alt.layer(*bars, base.mark_line(strokeWidth=1.8).encode(x=x, y=y), points.encode(x=x, y=y))


def _by_level(
    rows: Sequence[Mapping[str, Any]], indices: Mapping[str, int | None], levels: Sequence[str], axis: str
) -> Any:
    import altair as alt

    scale = scale_of(rows, "error", "low", "high")
    base, points = _base(indices, axis, alt.Tooltip("level:N"))
    y = alt.Y("level:N", sort=list(levels)).axis(title=None, ticks=False, domain=False, grid=True)
    shift = alt.YOffset("model_name:N", sort=list(indices))
    x = alt.X("error:Q").scale(scale).axis(error_axis(scale, axis))
    bars = interval_bars(base, rows, "x", {"strokeWidth": 1.6, "strokeOpacity": 0.55}, y=y, yOffset=shift)
    return alt.layer(*bars, points.encode(y=y, yOffset=shift, x=x))


def _words(rows: Sequence[Mapping[str, Any]], axis: str) -> str:
    said = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        low, high = (choose(own, key=lambda row: row["error"]) for choose in (min, max))
        said.append(
            f"{name}: {number(low['error'])} at {low['level']} to {number(high['error'])} at {high['level']}"
        )
    return f"{capital(axis)}. {'; '.join(said)}."
