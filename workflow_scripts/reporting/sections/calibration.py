"""Calibration: how often the truth lies below each forecast quantile, and the histogram of its place (PIT)."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from workflow_scripts.adaptation.arms import ZERO_SHOT, Arm
from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.evaluation.names import arm_name, capital, method_name, model_name, run_name
from workflow_scripts.evaluation.summary import CalibrationRow
from workflow_scripts.reporting.charts import Figure, data, identity, legend_columns, make_figure, slug
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.study import ForecastTask, Study
from workflow_scripts.reporting.themes import SHAPES, look
from workflow_scripts.reporting.words import percent

PANELS, PANEL = 3, 98
"""Panels side by side, and the pixels of each: a phone shows the figure nearly as wide as it is drawn."""

COLOURS = ("var(--series-6)", "var(--series-1)", "var(--series-0)", "var(--series-2)", "var(--series-3)")


def calibration_section(study: Study) -> Section:
    """A figure for each cohort and vital sign, with a panel for each model; histograms are folded."""
    figures, histograms, notes = [], [], []
    for task in study.tasks:
        rows = task.of(study.sources.calibration)
        broken = {(row.model, row.arm): row.reason for row in rows if row.observed is None}
        rows = [row for row in rows if (row.model, row.arm) not in broken]
        models = {
            model: _chosen(task, [row for row in rows if row.model == model])
            for model in dict.fromkeys(row.model for row in rows)
        }
        if models:
            figures.append(_figure(task, models))
        histograms += [_histogram(study, task, model, own) for model, own in models.items()]
        said = [f"{run_name(*arm)}, {reason}" for arm, reason in broken.items()]
        notes += [f"{task.title}, not shown: {'; '.join(said)}."] if said else []
    blocks = [Block(figures=figures, note=" ".join(notes))] if figures or notes else []
    if histograms:
        blocks.append(Block(figures=histograms, folded="Where the truth falls within the forecast (PIT)"))
    missing = "" if blocks else "There is no table of calibration (calibration.csv), or it is empty."
    return Section(
        "calibration",
        "Calibration",
        blocks,
        "Shown are zero-shot, full fine-tuning and of each method the rank with the smallest validation error. A "
        "forecast that is a point (last value, mean, same hour yesterday, models trained from scratch without the "
        "quantile loss) has none.",
        missing,
    )


def _chosen(task: ForecastTask, rows: Sequence[CalibrationRow]) -> dict[str, list[CalibrationRow]]:
    """Arm -> its rows by level: arms without a rank, and of each method the rank that validation chose."""
    arms = [arm for arm in task.arms if arm.first.model == rows[0].model]
    kept = [arm.first.arm for arm in arms if arm.first.rank is None]
    for method in dict.fromkeys(arm.method for arm in arms if arm.first.rank is not None):
        chosen = recommended([arm for arm in arms if arm.method == method and arm.first.rank is not None])
        kept += [chosen.first.arm] if chosen else []
    found = {
        name: sorted((row for row in rows if row.arm == name), key=lambda row: row.level) for name in kept
    }
    found = {name: own for name, own in found.items() if own}
    return dict(list(found.items())[: len(COLOURS)]) or {
        rows[0].arm: [r for r in rows if r.arm == rows[0].arm]
    }


def _figure(task: ForecastTask, models: Mapping[str, Mapping[str, Sequence[CalibrationRow]]]) -> Figure:
    import altair as alt

    rows = [
        {
            **identity(row),
            "name": arm_name(name),
            "method": method_name(Arm.parse(name).method),
            "panel": "\n".join(wrap(capital(model_name(model)), 16)),
            "nominal": row.level,
            "observed": row.observed,
        }
        for model, arms in models.items()
        for name, own in arms.items()
        for row in own
    ]
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(methods))]
    shapes = [SHAPES[place % len(SHAPES)] for place in range(len(methods))]
    # In panels so small there is room for the ends alone.
    ends = "datum.value == 0.5 ? '' : datum.label"
    share = alt.Axis(format="%", values=[0, 0.5, 1], labelFlush=True, labelExpr=ends)
    base = alt.Chart().encode(
        x=alt.X("nominal:Q").scale(domain=[0, 1]).axis(share).title("nominal level"),
        y=alt.Y("observed:Q").scale(domain=[0, 1]).axis(share).title("observed below it"),
        color=alt.Color("method:N").scale(domain=methods, range=colours),
        tooltip=[
            alt.Tooltip("name:N", title="arm"),
            alt.Tooltip("nominal:Q", format=".0%"),
            alt.Tooltip("observed:Q", format=".1%"),
        ],
    )
    diagonal = alt.Chart().mark_rule(color="var(--muted)", strokeDash=[4, 4], strokeWidth=1.2)
    panels = alt.layer(
        diagonal.encode(x=alt.datum(0), y=alt.datum(0), x2=alt.datum(1), y2=alt.datum(1)),
        base.mark_line(strokeWidth=1.6),
        base.mark_point(filled=True, size=30, opacity=1).encode(
            shape=alt.Shape("method:N").scale(domain=methods, range=shapes)
        ),
    ).properties(width=PANEL, height=PANEL, view=alt.ViewBackground(stroke="var(--line)"))
    order = list(dict.fromkeys(str(row["panel"]) for row in rows))
    chart = panels.facet(
        data=data(), facet=alt.Facet("panel:N", sort=order, title=None), columns=PANELS
    ).properties(spacing=14)
    words = "; ".join(
        f"{run_name(model, name)}: at most {percent(_distance(far), 1)} off, at {percent(far.level)}"
        for model, arms in models.items()
        for name, own in arms.items()
        for far in [max(own, key=_distance)]
    )
    return make_figure(
        f"{task.key}_calibration",
        "calibration",
        "Calibration",
        f"Share observed below each quantile, farthest from the nominal level: {words}.",
        chart,
        rows,
        task.title,
        columns=legend_columns(methods, []),
    )


def _distance(row: CalibrationRow) -> float:
    return abs((row.observed or 0.0) - row.level)


def densities(levels: Sequence[float], observed: Sequence[float]) -> list[tuple[float, float, float]]:
    """(from, to, density) of the truth's place between neighbouring quantiles; 1 is as often as it should."""
    edges, shares = [0.0, *levels, 1.0], [0.0, *observed, 1.0]
    return [
        (low, high, (above - below) / (high - low))
        for low, high, below, above in zip(edges, edges[1:], shares, shares[1:], strict=False)
        if high > low
    ]


def _histogram(study: Study, task: ForecastTask, model: str, arms: dict[str, list[CalibrationRow]]) -> Figure:
    import altair as alt

    adapted = [arm for arm in task.arms if arm.first.model == model and arm.first.arm in arms]
    chosen = recommended([arm for arm in adapted if not arm.arm.is_zero_shot]) or recommended(adapted)
    shown = chosen.first.arm if chosen else next(iter(arms))
    rows: list[dict[str, Any]] = [
        {"model": model, "arm": name, "name": arm_name(name), "from": low, "to": high, "density": density}
        for name in dict.fromkeys([shown, *([ZERO_SHOT.name] if ZERO_SHOT.name in arms else [])])
        for low, high, density in densities(
            [row.level for row in arms[name]], [row.observed or 0.0 for row in arms[name]]
        )
    ]
    names = list(dict.fromkeys(row["name"] for row in rows))
    colour = alt.Color("name:N").scale(
        domain=names, range=[look(study.model_indices.get(model))[0], "var(--ink)"]
    )
    base = alt.Chart(data()).encode(
        x=alt.X("from:Q").scale(domain=[0, 1]).axis(format="%", tickCount=5).title("place in the forecast"),
        x2="to:Q",
        color=colour,
        tooltip=[
            alt.Tooltip("name:N", title="arm"),
            alt.Tooltip("from:Q", format=".0%"),
            alt.Tooltip("to:Q", format=".0%"),
            alt.Tooltip("density:Q", format=".2f"),
        ],
    )
    peak = 1.1 * max(1.0, *(row["density"] for row in rows))
    y = alt.Y("density:Q").scale(domainMin=0, domainMax=peak).axis(title="observed / expected", tickCount=5)
    bars = base.transform_filter(alt.datum.name == names[0]).mark_rect(opacity=0.6)
    layers = [bars.encode(y=y, y2=alt.datum(0))]
    if len(names) > 1:
        strokes = base.transform_filter(alt.datum.name != names[0]).mark_rule(strokeWidth=2)
        layers.append(strokes.encode(y=y))
    level = alt.Chart(data("one")).mark_rule(color="var(--muted)", strokeDash=[4, 4])
    layers.append(level.encode(y="one:Q"))
    own = [row for row in rows if row["arm"] == shown]
    words = "; ".join(f"{percent(row['from'])} to {percent(row['to'])}: {row['density']:.2f}" for row in own)
    return make_figure(
        f"{task.key}_pit-{slug(model)}",
        "pit",
        f"{capital(model_name(model))}: place of the truth (PIT)",
        f"{arm_name(shown)}, observed over expected, between quantiles: {words}.",
        alt.layer(*layers),
        rows,
        task.title,
        300,
        {"one": [{"one": 1.0}]},
    )
