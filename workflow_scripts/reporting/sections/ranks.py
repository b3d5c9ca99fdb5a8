"""Error against rank, with zero-shot, full fine-tuning and models from scratch as lines; and which rank is enough."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.evaluation.names import arm_name, capital, listed, method_name, model_name
from workflow_scripts.evaluation.summary import RankRow
from workflow_scripts.reporting.charts import (
    MSE_AXIS,
    Figure,
    data,
    error_axis,
    error_tips,
    identity,
    interval_bars,
    make_figure,
    scale_of,
    slug,
)
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.statistics import chosen_rank, rank_thresholds
from workflow_scripts.reporting.study import ForecastTask, Study, is_complete, mse_columns
from workflow_scripts.reporting.themes import COLOURS, look
from workflow_scripts.reporting.words import number, percent, span

NOTE = (
    "Good enough: the smallest rank whose error is within {margin} of the best rank's. Beside it: in which share of "
    "the resamples each rank is that one; where no share is large, the data do not tell the ranks apart."
)


def rank_section(study: Study) -> Section:
    """One figure for each model that has ranks, and the thresholds."""
    blocks: list[Block] = []
    for task in study.tasks:
        figures = [
            figure
            for model in dict.fromkeys(arm.first.model for arm in task.arms if arm.first.rank is not None)
            if (figure := _figure(study, task, model))
        ]
        ranks = rank_thresholds(
            [row for row in task.of(study.sources.statistics.ranks) if row.metric == "mse"]
        )
        settled = any(chosen_rank(rows) for rows in ranks.values())
        if figures or ranks:
            text = _without_threshold(ranks) if ranks and not settled else ""
            tables = [_table(task, ranks)] if settled else []
            note = (
                NOTE.format(margin=f"{100 * study.sources.statistics.parameters.rank_margin:g} %")
                if settled
                else ""
            )
            noted = any(block.note for block in blocks)
            blocks.append(Block(task.title, text, figures=figures, tables=tables, note="" if noted else note))
    return Section(
        "rank",
        "Error against rank",
        blocks,
        "Bars are intervals of each error; all arms share their patients, so two can differ though their bars overlap. "
        "Where alpha and learning rate are the same at every rank, LoRA's step size, alpha / rank, changes too.",
        "" if blocks else "No arm with a rank has a finite error.",
    )


def _row(study: Study, arm: ArmSummary) -> dict[str, Any]:
    names = {"name": arm_name(arm.first.arm), "method": method_name(arm.method), "rank": arm.first.rank}
    return identity(arm.first) | names | mse_columns(study, arm)


def _lines(study: Study, task: ForecastTask, model: str) -> list[dict[str, Any]]:
    """The model's arms without a rank to compare with, and the recommended arm from scratch."""
    own = [arm for arm in task.arms if arm.first.model == model and (arm.arm.is_zero_shot or arm.arm.is_full)]
    rows = [_row(study, arm) for arm in own if is_complete(arm)]
    scratch = recommended([arm for arm in task.arms if arm.kind == "scratch"])
    if scratch:
        name = f"from scratch: {model_name(scratch.first.model)}"
        rows.append(_row(study, scratch) | {"name": name})
    return rows


def _figure(study: Study, task: ForecastTask, model: str) -> Figure | None:
    import altair as alt

    rows = [_row(study, arm) for arm in task.arms if arm.first.model == model and arm.first.rank is not None]
    if all(row["mse_e4"] is None for row in rows):
        return None
    lines = _lines(study, task, model)
    ranks = sorted({row["rank"] for row in rows})
    scale = scale_of([*rows, *lines], "mse_e4", "low", "high")
    x = alt.X("rank:Q").title("rank").axis(values=ranks, format="d", grid=False)
    x = x.scale(type="log", base=2, domain=[min(ranks) / 1.3, max(ranks) * 1.3], nice=False)
    tooltip = [alt.Tooltip("name:N", title="arm"), *error_tips("mse_e4", MSE_AXIS)]
    colour = _method_colour(study, model, [row["method"] for row in rows])
    base = alt.Chart(data()).encode(x=x, color=colour, tooltip=tooltip)
    y = alt.Y("mse_e4:Q").scale(scale).axis(error_axis(scale, MSE_AXIS))
    layers: list[Any] = []
    if lines:
        dash = alt.StrokeDash("name:N").scale(
            domain=[row["name"] for row in lines], range=[[7, 4], [2, 3], [8, 3, 2, 3]]
        )
        dash = dash.legend(symbolSize=900, symbolStrokeWidth=1.6, symbolStrokeColor="var(--ink)")
        layers.append(
            alt.Chart(data("lines"))
            .mark_rule(strokeWidth=1.6, color="var(--ink)")
            .encode(y=y, strokeDash=dash, tooltip=tooltip)
        )
    layers += [
        *interval_bars(base, rows, "y", {"strokeWidth": 4, "opacity": 0.35}),
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_point(
            filled=True, size=70, opacity=1, shape=look(study.model_indices.get(model))[1]
        ).encode(y=y),
    ]
    if any(row["mse_e4"] is None for row in rows):
        failed = base.transform_filter("!isValid(datum.mse_e4)")
        layers.append(
            failed.mark_text(text="failed", fontSize=11, color="var(--bad)").encode(
                y=alt.value(150), color=alt.value("var(--bad)")
            )
        )
    return make_figure(
        f"{task.key}_error-by-rank-{slug(model)}",
        "error-by-rank",
        f"{capital(model_name(model))}: error against rank",
        _words(rows, lines),
        alt.layer(*layers),
        [*rows, *lines],
        task.title,
        300 + 12 * len(lines),
        {"rows": rows, "lines": lines},
        columns=1,
    )


def _method_colour(study: Study, model: str, methods: Sequence[str]) -> Any:
    import altair as alt

    names = list(dict.fromkeys(methods))
    if len(names) == 1:
        return alt.value(look(study.model_indices.get(model))[0])
    return alt.Color("method:N").scale(
        domain=names, range=[COLOURS[k % len(COLOURS)] for k in range(len(names))]
    )


def _words(rows: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> str:
    def said(row: Mapping[str, Any]) -> str:
        if row["mse_e4"] is None:
            return f"{row['name']}: failed"
        ends = span(row["low"], row["high"], word="to")
        return f"{row['name']}: {number(row['mse_e4'])}" + (f" ({ends})" if ends else "")

    return f"{MSE_AXIS}. {capital('; '.join(said(row) for row in (*rows, *lines)))}."


def _without_threshold(ranks: Mapping[str, Sequence[RankRow]]) -> str:
    """Why no model of a task has a rank that is good enough."""
    reasons: dict[str, list[str]] = {}
    for name, rows in ranks.items():
        reasons.setdefault(rows[0].reason or "there is no threshold", []).append(name)
    said = [f"{listed(names)}: {reason}" for reason, names in reasons.items()]
    return f"No rank is called good enough. {'; '.join(said)}."


def _table(task: ForecastTask, ranks: Mapping[str, Sequence[RankRow]]) -> Table:
    columns = sorted({row.rank for rows in ranks.values() for row in rows})
    lines = []
    for name, rows in ranks.items():
        chosen, shares = chosen_rank(rows), {row.rank: row.share for row in rows}
        cells = [Cell(f"rank {chosen}" if chosen else "–")]
        for rank in columns:
            share = shares.get(rank)
            cells.append(
                Cell("–" if share is None else percent(share), mark="best" if rank == chosen else "")
            )
        lines.append(Line(name, cells, rows[0].reason))
    names = ("model and method", "good enough", *(f"rank {rank}" for rank in columns))
    return Table("rank-thresholds", f"Rank thresholds, {task.title}", heads(*names), [Group(lines)])
