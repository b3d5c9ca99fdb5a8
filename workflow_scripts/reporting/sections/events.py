"""Bedside events: does a forecast foresee them better than the last value and a logistic regression?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workflow_scripts.evaluation.events.baselines import BASELINES, LAST_VALUE, LAST_VALUE_LOGISTIC, LOGISTIC
from workflow_scripts.evaluation.events.judging import NO_AREA
from workflow_scripts.evaluation.events.rows import EventCurveRow, EventRow
from workflow_scripts.evaluation.names import capital, listed, run_name, vital_name
from workflow_scripts.reporting.charts import Figure, data, make_figure, slug
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.study import ForecastTask, Study, recommended_arms
from workflow_scripts.reporting.themes import look
from workflow_scripts.reporting.words import (
    number,
    percent,
    probability,
    signed,
    signed_percent,
    signed_span,
    span,
)

LABELS = {
    "last-value": "last value",
    "last-value-logistic": "last value, logistic",
    "context-mean": "mean of the context",
    "last-value-and-changes": "last value and usual changes",
    "logistic-regression": "logistic regression",
    "prevalence": "prevalence",
    "all": "all",
    "none": "none",
}
"""Baselines of events, and acting always or never, in words."""

LEAD = (
    "Onsets: the last value is fresh and not in the event, the value at the lead is. Shown are the recommended arms "
    "and the baselines, on identical windows; probabilities come from the quantiles, with exponential tails beyond the "
    "outermost. A gain is claimed where the interval of the paired difference from the logistic regression excludes 0 "
    "and Holm's p-value is below {level:.2g}. events.csv has all arms, events within a time, sustained events and "
    "severer conditions; nothing is shown of fewer than 11 patients with, or without, an event."
)

NUMBERS = ("AUROC", "AUPRC", "Brier skill", "Brier × 10⁻³ above logistic", "p (Holm)")


def event_section(study: Study) -> Section:
    """A table for each event, and a figure of reliability and net benefit where there are enough events."""
    blocks = [block for task in study.tasks for block in _blocks(study, task)]
    missing = "" if blocks else "No vital sign of this study shows an event, or events were not judged."
    lead = LEAD.format(level=study.sources.statistics.level) if blocks else ""
    return Section("events", "Bedside events", blocks, lead, missing)


def _blocks(study: Study, task: ForecastTask) -> list[Block]:
    rows = task.of(study.sources.events)
    blocks = []
    for event in dict.fromkeys(row.event for row in rows):
        own = [row for row in rows if row.event == event]
        condition = own[0].condition
        main = [
            row
            for row in own
            if row.condition == condition and (row.population, row.form) in (("onset", "at"), ("", ""))
        ]
        heading = f"{capital(event)}: {vital_name(task.vital)} {condition} {task.unit}"
        if task.several_cohorts:
            heading += f", {task.title}"
        blocks.append(_block(study, task, heading, main))
    return blocks


def _block(study: Study, task: ForecastTask, heading: str, rows: Sequence[EventRow]) -> Block:
    names = {(arm.first.model, arm.first.arm) for arm in recommended_arms(task)}
    hidden: dict[str, list[int]] = {}
    tables: list[Table] = []
    for lead in dict.fromkeys(row.lead_minutes for row in rows):
        own = [row for row in rows if row.lead_minutes == lead]
        if not own[0].model:
            hidden.setdefault(own[0].reason, []).append(lead)
            continue
        shown = [row for row in own if row.model in BASELINES or (row.model, row.arm) in names]
        counts = (
            f"{own[0].windows:,} windows of {own[0].patients:,} patients, {own[0].events:,} events of "
            f"{own[0].patients_with_event:,} patients, prevalence {percent(own[0].prevalence or 0.0, 1)}"
        )
        tables.append(_table(study, f"{capital(_time(lead))} ahead: {counts}", shown, bool(tables)))
    figures = [
        figure
        for curve in ("reliability", "decision")
        if (figure := _figure(study, task, rows, names, curve))
    ]
    text = " ".join(_not_shown(leads, reason) for reason, leads in hidden.items())
    return Block(heading, text, figures=figures, tables=tables)


def _not_shown(leads: Sequence[int], reason: str) -> str:
    ahead = f" {listed([_time(lead) for lead in leads])} ahead" if all(leads) else ""
    return f"Not shown{ahead}: {reason}."


def _time(minutes: int) -> str:
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def event_name(row: EventRow | EventCurveRow) -> str:
    """An arm, or a baseline of events, in words."""
    return LABELS[row.model] if row.arm == "event-baseline" else run_name(row.model, row.arm)


def _table(study: Study, title: str, rows: Sequence[EventRow], folded: bool) -> Table:
    level = study.sources.statistics.level
    lines = [_line(row, level) for row in sorted(rows, key=lambda row: row.model in BASELINES)]
    heading = heads("model and arm" if folded else title, *NUMBERS)
    if any(row.reason == NO_AREA for row in rows):
        lines[-1] = replace(lines[-1], remark=f"{capital(NO_AREA)}.")
    return Table("events", title, heading, [Group(lines)], title if folded else "")


def _line(row: EventRow, level: float) -> Line:
    difference, p = Cell("–"), Cell("–")
    if row.above_logistic is not None and row.model != LOGISTIC:
        ends = signed_span((row.above_logistic_low or 0) * 1e3, (row.above_logistic_high or 0) * 1e3)
        mark = ""
        if row.p_holm is not None:
            p = Cell(probability(row.p_holm))
            mark = _claim(row, level)
        difference = Cell(signed(row.above_logistic * 1e3), ends, mark)
    cells = [
        Cell(number(row.auroc, 3), span(row.auroc_low, row.auroc_high, 3)),
        Cell(number(row.auprc, 3), span(row.auprc_low, row.auprc_high, 3)),
        Cell("–" if row.brier_skill is None else signed_percent(row.brier_skill)),
        difference,
        p,
    ]
    # That there are too few events for an AUROC is said once, below the table.
    return Line(capital(event_name(row)), cells, row.reason if row.reason != NO_AREA else "")


def _claim(row: EventRow, level: float) -> str:
    """`good` or `bad` where a difference is claimed: by its interval and its corrected p-value together."""
    if row.p_holm is None or row.p_holm >= level:
        return ""
    if (row.above_logistic_high or 0) < 0:
        return "good"
    return "bad" if (row.above_logistic_low or 0) > 0 else ""


def _figure(
    study: Study, task: ForecastTask, rows: Sequence[EventRow], names: set[tuple[str, str]], curve: str
) -> Figure | None:
    """One curve of the recommended arms and the baselines, at the shortest lead that has it."""
    import altair as alt

    events = {row.event for row in rows}
    compared = (LOGISTIC, LAST_VALUE_LOGISTIC, "all", "none")
    points = [
        row
        for row in task.of(study.sources.event_curves)
        if row.curve == curve
        and row.event in events
        and ((row.model, row.arm) in names or row.model in compared)
    ]
    if not any((row.model, row.arm) in names for row in points):
        return None
    lead = min(row.lead_minutes for row in points)
    points = [row for row in points if row.lead_minutes == lead]
    drawn = [{"name": capital(event_name(row)), "x": row.x, "y": row.y} for row in points]
    titles = {
        "reliability": ("Reliability", "predicted probability", "share with the event"),
        "decision": ("Net benefit", "threshold of the probability", "net benefit"),
    }
    title, x, y = titles[curve]
    order = list(dict.fromkeys(row["name"] for row in drawn))
    base = alt.Chart(data()).encode(
        x=alt.X("x:Q").axis(title=x, format="%"),
        y=alt.Y("y:Q").axis(title=y),
        color=alt.Color("name:N").scale(domain=order, range=_colours(study, points)),
        tooltip=[
            alt.Tooltip("name:N", title="arm"),
            alt.Tooltip("x:Q", format=".2f"),
            alt.Tooltip("y:Q", format=".3f"),
        ],
    )
    layers: list[Any] = [base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=40)]
    more: dict[str, Sequence[Mapping[str, Any]]] = {}
    if curve == "reliability":
        more = {"ideal": [{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 1.0}]}
        ideal = alt.Chart(data("ideal")).mark_line(color="var(--muted)", strokeDash=[4, 4])
        layers.insert(0, ideal.encode(x="x:Q", y="y:Q"))
    event = next(iter(events))
    said = "; ".join(f"{row['name']} {row['x']:.2f}: {row['y']:.3f}" for row in drawn[:12])
    return make_figure(
        f"{task.key}_events-{slug(event)}-{curve}",
        f"events-{curve}",
        f"{title} of {event}, {_time(lead)} ahead",
        f"{title}: {said}.",
        alt.layer(*layers),
        drawn,
        task.title,
        more=more,
        columns=1,
    )


def _colours(study: Study, points: Sequence[EventCurveRow]) -> list[str]:
    fixed = {LOGISTIC: "var(--ink)", LAST_VALUE_LOGISTIC: "var(--muted)", LAST_VALUE: "var(--muted)"}
    arms = dict.fromkeys((row.model, row.arm) for row in points)
    return [
        look(study.model_indices.get(model))[0]
        if arm != "event-baseline"
        else fixed.get(model, "var(--line)")
        for model, arm in arms
    ]
