"""Transfer: adapters of one cohort on the test windows of another, as a matrix and as a table of differences."""

from collections.abc import Sequence
from textwrap import wrap

from workflow_scripts.evaluation.names import capital, cohort_name, run_name, vital_name
from workflow_scripts.evaluation.summary import TransferRow
from workflow_scripts.reporting.charts import MSE_AXIS, Figure, data, make_figure, slug, times
from workflow_scripts.reporting.page import Cell, Group, Line, Table, heads
from workflow_scripts.reporting.words import count, number, signed, signed_span, span

LOWER, HIGHER, OPEN, OWN = "lower than its own", "higher than its own", "inconclusive", "own cohort"
UNKNOWN = "not compared"
FILLS = {
    OWN: "var(--grid)",
    LOWER: "var(--best)",
    OPEN: "var(--page)",
    HIGHER: "var(--bad-back)",
    UNKNOWN: "var(--paper)",
}


def main_rows(rows: Sequence[TransferRow]) -> list[TransferRow]:
    """The rows of MSE, or of what is there."""
    metric = "mse" if any(row.metric == "mse" for row in rows) else rows[0].metric if rows else ""
    return [row for row in rows if row.metric == metric]


def verdict(row: TransferRow) -> str:
    """What the interval of the difference from the cohort's own adapter shows, and no more."""
    if row.trained_on == row.evaluated_on:
        return OWN
    if row.above_own_low is None or row.above_own_high is None:
        return UNKNOWN
    return HIGHER if row.above_own_low > 0 else LOWER if row.above_own_high < 0 else OPEN


def shown(row: TransferRow, factor: float) -> str:
    """The error of the cohort's own adapter; of another one's the difference from it."""
    if row.trained_on == row.evaluated_on:
        return number(times(row.value, factor))
    return "–" if row.above_own is None else signed(row.above_own * factor)


def transfer_matrix(table: Sequence[TransferRow]) -> Figure:
    import altair as alt

    first = table[0]
    factor, axis = (1e4, MSE_AXIS) if first.metric == "mse" else (1.0, first.metric)
    rows = [
        {
            "vital": row.vital,
            "model": row.model,
            "arm": row.arm,
            "trained_on": capital(cohort_name(row.trained_on)),
            "evaluated_on": capital(cohort_name(row.evaluated_on)),
            "patients": row.patients,
            "error": times(row.value, factor),
            "above_own": times(row.above_own, factor),
            "low": times(row.above_own_low, factor),
            "high": times(row.above_own_high, factor),
            "shown": shown(row, factor),
            "verdict": verdict(row),
        }
        for row in table
    ]
    drawn = [
        row
        | {
            "from": "\n".join(wrap(str(row["trained_on"]), 18)),
            "to": "\n".join(wrap(str(row["evaluated_on"]), 14)),
        }
        for row in rows
    ]
    base = alt.Chart(data("drawn")).encode(
        x=alt.X("to:N", sort=None).axis(
            title="evaluated on", labelAngle=0, labelLimit=100, domain=False, ticks=False
        ),
        y=alt.Y("from:N", sort=None).axis(title="adapted to", domain=False, ticks=False, labelLimit=130),
        tooltip=[
            alt.Tooltip("trained_on:N", title="adapted to"),
            alt.Tooltip("evaluated_on:N", title="evaluated on"),
            alt.Tooltip("error:Q", title=axis, format=".2f"),
            alt.Tooltip("above_own:Q", title="above its own", format="+.2f"),
            alt.Tooltip("low:Q", title="from", format="+.2f"),
            alt.Tooltip("high:Q", title="to", format="+.2f"),
            alt.Tooltip("patients:Q"),
        ],
    )
    chart = alt.layer(
        base.mark_rect(stroke="var(--line)", strokeWidth=1).encode(
            color=alt.Color("verdict:N")
            .scale(domain=list(FILLS), range=list(FILLS.values()))
            .legend(symbolType="square", symbolStrokeColor="var(--line)", symbolStrokeWidth=1)
        ),
        base.mark_text(fontSize=12.5, color="var(--ink)").encode(text="shown:N"),
    )
    words = "; ".join(
        f"adapted to {cohort_name(row.trained_on)}, evaluated on {cohort_name(row.evaluated_on)}: "
        f"{shown(row, factor)}, {verdict(row)}"
        for row in table
    )
    return make_figure(
        f"all_{slug(first.vital)}_transfer-{slug(first.model, first.arm)}",
        "transfer",
        f"Transfer: {run_name(first.model, first.arm)}",
        f"{axis}; between cohorts, how much above that of the cohort's own adapter. {capital(words)}.",
        chart,
        rows,
        f"{capital(vital_name(first.vital))}, {axis}",
        height=190 + 50 * len({row["trained_on"] for row in rows}),
        more={"drawn": drawn},
    )


def transfer_table(vital: str, table: Sequence[TransferRow], confidence: str) -> Table:
    factor = 1e4 if table[0].metric == "mse" else 1.0

    def difference(value: float | None, low: float | None, high: float | None) -> Cell:
        if value is None:
            return Cell("–")
        ends = signed_span(low * factor, high * factor) if low is not None and high is not None else ""
        return Cell(signed(value * factor), ends)

    lines = [
        Line(
            f"{capital(run_name(row.model, row.arm))}: {cohort_name(row.trained_on)} → "
            f"{cohort_name(row.evaluated_on)}",
            [
                Cell(count(row.patients)),
                Cell(
                    number(times(row.value, factor)),
                    span(times(row.low, factor), times(row.high, factor)),
                ),
                difference(row.above_own, row.above_own_low, row.above_own_high),
                difference(row.above_zero_shot, row.above_zero_shot_low, row.above_zero_shot_high),
            ],
            row.reason,
        )
        for row in table
    ]
    metric = MSE_AXIS if factor > 1 else table[0].metric
    names = ("adapter: adapted to → evaluated on", "patients", metric, "above its own", "above zero-shot")
    return Table(
        "transfer",
        f"Transfer, {vital_name(vital)}",
        heads(*names),
        [Group(lines)],
        f"All differences with {confidence} intervals",
    )
