"""The study's tables, short enough for a page of the documentation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.summary import BreakdownRow, ComparisonRow, FindingRow
from workflow_scripts.evaluation.transfer_plan import transferred_arms
from workflow_scripts.reporting.attrition import read_attrition
from workflow_scripts.reporting.markdown import NEAR, from_report, markdown_table
from workflow_scripts.reporting.page import Group
from workflow_scripts.reporting.parts import Part, Study, kind
from workflow_scripts.reporting.published import FINDINGS
from workflow_scripts.reporting.sections.answer import METHOD, claim
from workflow_scripts.reporting.sections.costs import cost_section
from workflow_scripts.reporting.sections.costs import cost_table as cost_table_of
from workflow_scripts.reporting.sections.headline import headline_section
from workflow_scripts.reporting.sections.transfer import main_rows, transfer_table
from workflow_scripts.reporting.statistics import comparison_part, rank_part
from workflow_scripts.reporting.words import (
    arm_name,
    capital,
    cohort_name,
    count,
    listed,
    model_name,
    number,
    percent,
    signed,
    signed_span,
    subject,
    vital_name,
)

COSTS = (
    "trainable",
    "steps",
    "training",
    "a step",
    "a forecast",
    "whole run",
    "peak memory, MiB",
    "adapter, MiB",
)


def attrition_table(study: Study) -> str:
    """What each step leaves of every cohort; empty where no cohort has such a table."""
    folder = study.sources.cohorts
    paths = {cohort: folder / f"{cohort}.attrition.csv" for cohort in study.cohorts} if folder else {}
    read = {cohort: read_attrition(path)[1] for cohort, path in paths.items() if path.is_file()}
    if not read:
        return ""
    names = ["left after"]
    for cohort in read:
        names += [f"{cohort_name(cohort)}: stays", "patients"]
    steps = list(dict.fromkeys(step.label for found in read.values() for step in found))
    lines = []
    for label in steps:
        cells = [label]
        for found in read.values():
            step = next((step for step in found if step.label == label), None)
            cells += [count(step.stays), count(step.patients)] if step else ["–", "–"]
        lines.append(cells)
    return markdown_table(names, lines)


def error_tables(study: Study) -> list[tuple[str, str, str]]:
    """For each cohort its name, the table of all arms on all vital signs, and what stands in brackets."""
    blocks = [
        block for block in headline_section(study).blocks if block.tables[0].label.startswith("Results, ")
    ]
    return [
        (
            capital(cohort_name(cohort)),
            from_report(block.tables[-1], first="model and arm"),
            _note(block.note),
        )
        for cohort, block in zip(study.cohorts, blocks, strict=True)
    ]


def _note(note: str) -> str:
    """What stands below the report's table, in the signs of this page."""
    return note.replace("Small figures", "In brackets").replace("Underlined", f"`{NEAR}`")


def comparison_tables(study: Study, part: Part) -> tuple[str, list[str]]:
    """What all comparisons of a part come to; LoRA within each model by rank, and models among each other."""
    found = comparison_part(study.sources.statistics, part.cohort, part.vital)
    rows = [row for row in part.of(study.sources.statistics.comparisons) if row.metric == "mse"]
    if found is None:
        return "", []
    if all(row.low is None for row in rows):
        return f"{found.sentence} {capital(rows[0].reason)}.", []
    level = 1 - study.sources.statistics.parameters.confidence
    own = [row for row in rows if row.model == row.against_model]
    others = [row for row in rows if row.model != row.against_model]
    tables = [
        _pivot(
            own,
            "model",
            lambda row: f"{capital(model_name(row.model))} against {arm_name(row.against_arm)}",
            lambda row: arm_name(row.arm),
            level,
        ),
        _pivot(
            others,
            "best on validation",
            lambda row: capital(subject(row.model, row.arm)),
            lambda row: f"against {subject(row.against_model, row.against_arm)}",
            level,
        ),
    ]
    return found.sentence, [table for table in tables if table]


def _pivot(
    rows: Sequence[ComparisonRow],
    first: str,
    line_of: Callable[[ComparisonRow], str],
    column_of: Callable[[ComparisonRow], str],
    level: float,
) -> str:
    if not rows:
        return ""
    cells = {(line_of(row), column_of(row)): _difference(row, level) for row in rows}
    columns = list(dict.fromkeys(column_of(row) for row in rows))
    lines = [
        [name, *(cells.get((name, column), "–") for column in columns)]
        for name in dict.fromkeys(map(line_of, rows))
    ]
    return markdown_table([first, *columns], lines)


def _difference(row: ComparisonRow, level: float) -> str:
    """The difference with its interval, and the corrected p-value; bold where it is claimed."""
    if row.low is None or row.high is None or row.p_holm is None:
        return row.reason or "–"
    text = signed((row.difference or 0) * 1e4)
    text = text if claim(row, level) in ("open", "same") else f"**{text}**"
    return f"{text} ({signed_span(row.low * 1e4, row.high * 1e4)}; {p_value(row.p_holm)})"


def p_value(p: float) -> str:
    """Three decimals say enough."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def rank_table(study: Study) -> str:
    """Which rank is good enough, for every part; empty where ranks are not compared."""
    parts = [(part, rank_part(study.sources.statistics, part.cohort, part.vital)) for part in study.parts]
    known = [(part, ranks) for part, ranks in parts if ranks]
    if not known:
        return ""
    columns = sorted({rank for _, ranks in known for rank in ranks.ranks})
    lines = []
    for part, ranks in known:
        for line in (line for line in ranks.lines if any(share != "–" for share in line.shares)):
            shares = dict(zip(ranks.ranks, line.shares, strict=True))
            chosen = f"rank {line.chosen}" if line.chosen else "–"
            lines.append([part.title, line.subject, chosen, *(shares.get(rank, "–") for rank in columns)])
    if not lines:
        return ""
    names = ("where", "model and method", "smallest good enough", *(f"rank {rank}" for rank in columns))
    return markdown_table(names, lines)


def finding_table(study: Study) -> str:
    """The verdicts on each finding; what could not be tested for one reason has one line."""
    lines, untested = [], _untested(study)
    tested = [row for row in study.sources.findings if (row.cohort, row.vital) not in untested]
    for finding, words in FINDINGS.items():
        own = [row for row in tested if row.finding == finding]
        lines.append([f"**{finding}. {words}**", "", "", ""])
        lines += [_tested(study, row) for row in own if row.low is not None or row.verdict != "not tested"]
        lines += _not_tested(study, [row for row in own if row.low is None and row.verdict == "not tested"])
        if not own:
            lines.append(["", "", "", "not tested"])
    return markdown_table(("where", "compared", "found here", "verdict"), lines, words=True)


def untested_parts(study: Study) -> str:
    """Where no finding could be tested, and why; empty where each part has one that could."""
    found = _untested(study).items()
    return "; ".join(f"{_named(study, *part)}: {reason}" for part, reason in found)


def _untested(study: Study) -> dict[tuple[str, str], str]:
    """Cohort and vital sign -> the reason of the first finding, where none of them has an interval."""
    parts: dict[tuple[str, str], list[FindingRow]] = {}
    for row in study.sources.findings:
        parts.setdefault((row.cohort, row.vital), []).append(row)
    return {part: rows[0].reason for part, rows in parts.items() if all(row.low is None for row in rows)}


def _tested(study: Study, row: FindingRow) -> list[str]:
    verdict = f"**{row.verdict}**" if row.verdict in ("agrees", "disagrees") else row.verdict
    reason = f": {row.reason}" if row.reason else ""
    return [_where(study, row), row.subject, row.found + _ends(row), verdict + reason]


def _ends(row: FindingRow) -> str:
    """The interval and the corrected p-value; finding 7 speaks of ranks and slopes, the others of shares."""
    if row.low is None or row.high is None:
        return ""
    ends = f"{number(row.low)} to {number(row.high)}"
    if row.finding != 7:
        ends = f"{signed(100 * row.low, 1)} to {signed(100 * row.high, 1)} %"
    return f" ({ends})" if row.p_holm is None else f" ({ends}; {p_value(row.p_holm)})"


def _not_tested(study: Study, rows: Sequence[FindingRow]) -> list[list[str]]:
    reasons = dict.fromkeys(row.reason for row in rows)
    return [
        [
            "; ".join(dict.fromkeys(_where(study, row) for row in rows if row.reason == reason)),
            "; ".join(dict.fromkeys(_claim_of(row) for row in rows if row.reason == reason)),
            "",
            f"not tested: {reason}",
        ]
        for reason in reasons
    ]


def _claim_of(row: FindingRow) -> str:
    """The claim without the arms that were compared."""
    claim_text, colon, arms = row.subject.rpartition(": ")
    named = colon and "-" in arms.partition(" against ")[0]
    return claim_text if named and " against " in arms else row.subject


def _where(study: Study, row: FindingRow) -> str:
    return _named(study, row.cohort, row.vital)


def _named(study: Study, cohort: str, vital: str) -> str:
    return vital_name(vital) + (f", {cohort_name(cohort)}" if len(study.cohorts) > 1 else "")


def transfer_table_of_lora(study: Study) -> tuple[str, str]:
    """LoRA adapters of one cohort on another's windows, and why some are not shown; empty without a transfer."""
    moved = [row for row in main_rows(study.sources.transfer) if row.trained_on != row.evaluated_on]
    rows = [row for row in moved if Arm.parse(row.arm).method == METHOD]
    shown = [row for row in rows if row.value is not None]
    hidden = dict.fromkeys(
        f"{vital_name(row.vital)}, {cohort_name(row.trained_on)} → {cohort_name(row.evaluated_on)}: {row.reason}"
        for row in rows
        if row.value is None
    )
    note = f"Not shown: {'; '.join(hidden)}." if hidden else ""
    tables = {
        vital: transfer_table(
            vital, [row for row in shown if row.vital == vital], study.sources.statistics.confidence
        )
        for vital in dict.fromkeys(row.vital for row in shown)
    }
    if not tables:
        return "", note
    groups = [Group(table.groups[0].lines, capital(vital_name(vital))) for vital, table in tables.items()]
    whole = replace(next(iter(tables.values())), groups=groups)
    return from_report(whole), note


def _main_arms(part: Part) -> list[ArmSummary]:
    """Of each foundation model zero-shot and of each method the arm that is also transferred."""
    arms = [arm for arm in part.arms if kind(arm) == "foundation"]
    parsed = [Arm.parse(name) for name in dict.fromkeys(arm.first.arm for arm in arms)]
    chosen = {arm.name for arm in transferred_arms(parsed)} | {"zero-shot"}
    return [arm for arm in arms if arm.first.arm in chosen]


def _by_part(study: Study, cell: Callable[[Part, ArmSummary], str]) -> str:
    """A line for each of the main arms, a column for each part."""
    cells = {
        (capital(subject(arm.first.model, arm.first.arm)), part.title): cell(part, arm)
        for part in study.parts
        for arm in _main_arms(part)
    }
    names = list(dict.fromkeys(name for name, _ in cells))
    titles = [title for title in (part.title for part in study.parts) if _any_number(cells, title)]
    lines = [[name, *(cells.get((name, title), "–") for title in titles)] for name in names]
    return markdown_table(["model and arm", *titles], lines)


def _any_number(cells: Mapping[tuple[str, str], str], title: str) -> bool:
    return any(text.strip("– →") for (_, at), text in cells.items() if at == title)


def coverage_table(study: Study) -> str:
    """Share of the observed values within the 80 % interval."""

    def cell(_: Part, arm: ArmSummary) -> str:
        row, value = study.interval(arm, "coverage_80"), arm.mean("coverage_80")
        if value is None:
            return "–"
        if row is None or row.low is None or row.high is None:
            return percent(value)
        return f"{percent(value)} ({percent(row.low)} to {percent(row.high)})"

    return _by_part(study, cell)


def horizon_table(study: Study) -> str:
    """The mean absolute error at the first, the middle and the last step; empty without a breakdown."""
    rows = [row for row in study.sources.breakdown if row.dimension == "horizon_step" and row.metric == "mae"]
    if not rows:
        return ""
    last = max(int(row.level) for row in rows)
    steps = dict.fromkeys(str(step) for step in (1, (last + 1) // 2, last))

    def cell(part: Part, arm: ArmSummary) -> str:
        own = {
            row.level: row
            for row in part.of(rows)
            if (row.model, row.arm) == (arm.first.model, arm.first.arm)
        }
        return " → ".join(_shown(own.get(step)) for step in steps)

    return f"Steps {listed(list(steps))}.\n\n{_by_part(study, cell)}"


def _shown(row: BreakdownRow | None) -> str:
    return "–" if row is None or row.value is None or not isfinite(row.value) else number(row.value, 1)


def cost_table(study: Study) -> tuple[str, str]:
    """The table of costs, and what the numbers are of."""
    section = cost_section(study)
    return from_report(cost_table_of(study, study.parts[0]), COSTS), section.lead
