"""The seven findings of arXiv 2405.10216 beside what was found here, and published errors of earlier models."""

from collections.abc import Sequence

from workflow_scripts.evaluation.summary import FindingRow
from workflow_scripts.reporting.page import Block, Cell, Group, Head, Line, Section, Table, heads
from workflow_scripts.reporting.parts import Study
from workflow_scripts.reporting.published import FINDINGS, PUBLISHED
from workflow_scripts.reporting.words import capital, cohort_name, number, probability, signed, vital_name

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
            tables=[_published()],
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


def _published() -> Table:
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
    return Table("Published errors", [first, second], [Group(lines)])
