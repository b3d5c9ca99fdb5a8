"""The seven findings of arXiv 2405.10216 beside what was found here, and published errors of earlier models."""

from collections.abc import Sequence

from workflow_scripts.evaluation.summary import FindingRow
from workflow_scripts.reporting.page import Block, Cell, Group, Head, Line, Section, Table, heads
from workflow_scripts.reporting.parts import Part, Study, kind, mean
from workflow_scripts.reporting.published import FINDINGS, PUBLISHED
from workflow_scripts.reporting.words import (
    capital,
    cohort_name,
    number,
    probability,
    signed,
    subject,
    vital_name,
)

PUBLISHED_METRICS = (("mse", 1e4), ("mape_paper", 1.0), ("dtw", 1e3))
PUBLISHED_VITALS = (("mean_blood_pressure_derived", "mean_blood_pressure"), ("heart_rate",))
"""The columns of the published table; the first name that a study has is taken."""

MARKS = {"agrees": "good", "disagrees": "bad"}
CORRECTED = (
    "A verdict holds after Holm's correction over all claims about a vital sign in a cohort; the intervals are not "
    "corrected. The answer at the top is corrected over all comparisons, which are more: it can leave open what has a "
    "verdict here."
)
NOTE = (
    "Source: secondary notes on the group's earlier work (arXiv 2306.14016 and 2311.04770); N-BEATS agrees with the "
    "abstract of arXiv 2306.14016. Their MAPE divides by the forecast (our mape_paper). The tables of arXiv "
    "2405.10216, the study of LoRA itself, were not available; its findings are in our words, after secondary notes."
)


def finding_section(study: Study) -> Section:
    """One group of rows for each finding, and the published numbers."""
    rows = study.sources.findings
    tables = [_table(study, rows)] if rows else []
    blocks = [
        Block(tables=tables),
        Block(
            "Published errors of models trained from scratch",
            "These are not targets: the notes that quote them say that the authors ran on eICU-CRD with a value every "
            "5 minutes and windows of 6 + 3 hours, split by window so that one stay can be in training and in test. "
            "MIMIC-III is charted about hourly, and this project splits by patient unless told otherwise.",
            tables=[_published(study)],
            note=NOTE,
        ),
    ]
    missing = "" if rows else "There is no table of findings (findings.csv), or it is empty."
    return Section(
        "findings",
        "The paper's seven findings beside ours",
        blocks if rows else blocks[1:],
        CORRECTED if rows else "",
        missing,
    )


def _table(study: Study, rows: Sequence[FindingRow]) -> Table:
    groups = []
    for finding, words in FINDINGS.items():
        own = [row for row in rows if row.finding == finding]
        lines = [_line(study, row) for row in own] or [
            Line("not in the table", [Cell(""), Cell(""), Cell("not tested")])
        ]
        groups.append(Group(lines, f"{finding}. {words}"))
    confidence = study.sources.statistics.confidence
    return Table(
        "The paper's findings beside ours",
        heads("where", "found here", f"difference ({confidence} interval)", "verdict"),
        groups,
        words=True,
    )


def _line(study: Study, row: FindingRow) -> Line:
    where = [capital(vital_name(row.vital)) if row.vital else "All vital signs"]
    where += [cohort_name(row.cohort)] if row.cohort and len(study.cohorts) > 1 else []
    where += [row.subject] if row.subject else []
    ends = " to ".join(_value(row.finding, end) for end in (row.low, row.high) if end is not None)
    value = _value(row.finding, row.value)
    counted = []
    if row.value is not None:
        counted = [f"{row.patients:,} patients", f"{row.seeds} seed{'s' if row.seeds != 1 else ''}"]
    if row.p_holm is not None:
        counted.append(f"p {probability(row.p_holm)} (Holm, {row.claims} claims)")
    cells = [
        Cell(row.found or "–"),
        Cell(f"{value} ({ends})" if ends else value, ", ".join(counted)),
        Cell(row.verdict, row.reason, MARKS.get(row.verdict, "")),
    ]
    return Line(", ".join(where), cells)


def _value(finding: int, value: float | None) -> str:
    """A share of the other error as a percentage; finding 7 speaks of ranks, and of changes per doubling."""
    if value is None:
        return "–"
    return number(value) if finding == 7 else f"{signed(100 * value, 1)} %"


def _published(study: Study) -> Table:
    """What was published, and below it the same metrics of the models that were trained from scratch here."""
    names = ("MSE × 10⁻⁴", "MAPE %", "DTW × 10⁻³")
    first = [Head("", 2), Head("Mean blood pressure", 3), Head("Heart rate", 3)]
    second = [Head("model"), Head("covariates"), *(Head(name) for name in names * 2)]
    lines = [
        Line(
            row.model,
            [
                Cell(row.covariates),
                *(Cell(f"{value:.2f}") for value in row.mean_blood_pressure + row.heart_rate),
            ],
        )
        for row in PUBLISHED
    ]
    groups = [Group(lines, "Published, other patients")]
    for cohort in study.cohorts:
        if here := _here([part for part in study.parts if part.cohort == cohort]):
            groups.append(Group(here, f"Here, {cohort_name(cohort)}"))
    return Table("Published errors", [first, second], groups)


def _here(parts: Sequence[Part]) -> list[Line]:
    """The arms trained from scratch in one cohort, with the metrics of the published table."""
    arms = {
        (part.vital, arm.first.model, arm.first.arm): arm
        for part in parts
        for arm in part.arms
        if kind(arm) == "scratch"
    }
    vitals = [
        next((name for name in names if name in {part.vital for part in parts}), "")
        for names in PUBLISHED_VITALS
    ]
    lines = []
    for model, name in dict.fromkeys((model, name) for _, model, name in arms):
        found = [arms.get((vital, model, name)) for vital in vitals]
        values = [
            None if arm is None or (value := mean(arm, metric)) is None else value * factor
            for arm in found
            for metric, factor in PUBLISHED_METRICS
        ]
        if any(value is not None for value in values):
            lines.append(
                Line(capital(subject(model, name)), [Cell("without"), *(Cell(number(one)) for one in values)])
            )
    return lines
