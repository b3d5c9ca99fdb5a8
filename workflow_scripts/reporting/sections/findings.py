"""The seven findings of arXiv 2405.10216 beside what was found here, and published errors of earlier models."""

from collections import Counter
from collections.abc import Sequence

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.names import (
    arm_name,
    capital,
    cohort_name,
    counted,
    is_implied,
    model_name,
    run_name,
    vital_name,
)
from workflow_scripts.evaluation.summary import PER_DOUBLING, RANK, FindingRow
from workflow_scripts.reporting.page import Block, Cell, Fold, Group, Head, Line, Section, Table, heads
from workflow_scripts.reporting.published import FINDINGS, PUBLISHED
from workflow_scripts.reporting.study import ForecastTask, Study, mean
from workflow_scripts.reporting.words import number, probability, signed_percent

PUBLISHED_METRICS = (("mse", 1e4), ("mape_paper", 1.0), ("dtw", 1e3))
PUBLISHED_VITALS = (("mean_blood_pressure_derived", "mean_blood_pressure"), ("heart_rate",))
"""The columns of the published table; the first name that a study has is taken."""

MARKS = {"agrees": "good", "disagrees": "bad", "undecided": "", "not tested": "muted"}
"""The verdicts in the order in which they are shown."""
MOST_REASONS = 3
"""Reasons that are named above the findings; each claim has its own."""

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
    """One line for each finding, its verdicts first and its claims folded; and the published numbers."""
    rows = study.sources.findings
    folds = [
        _fold(study, f"{number}. {words}", [row for row in rows if row.finding == number])
        for number, words in FINDINGS.items()
    ]
    blocks = [
        Block(points=_untested(rows), folds=folds),
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


def _fold(study: Study, finding: str, rows: Sequence[FindingRow]) -> Fold:
    """How often each verdict was reached, and below it each claim."""
    counts = Counter(row.verdict for row in rows)
    marks = [
        Cell(verdict, str(counts[verdict]) if len(rows) > 1 else "", mark)
        for verdict, mark in MARKS.items()
        if counts[verdict]
    ]
    if not rows:
        return Fold([Cell("not tested", mark="muted")], finding, "findings.csv has nothing of it.")
    reasons = {row.reason for row in rows}
    below = f"{capital(reasons.pop())}." if len(reasons) == 1 and rows[0].reason else ""
    return Fold(marks, finding, below, _table(study, finding, rows, reasoned=not below))


def _untested(rows: Sequence[FindingRow]) -> list[str]:
    """How many claims could not be tested, for each reason."""
    reasons = Counter(row.reason for row in rows if row.verdict == "not tested").most_common()
    said = [
        f"{count} of {len(rows)} claims could not be tested: {reason}."
        for reason, count in reasons[:MOST_REASONS]
    ]
    rest = sum(count for _, count in reasons[MOST_REASONS:])
    return said + [f"{rest} of {len(rows)} claims could not be tested for other reasons."] * bool(rest)


def _table(study: Study, finding: str, rows: Sequence[FindingRow], reasoned: bool) -> Table:
    groups = []
    for vital, cohort in dict.fromkeys((row.vital, row.cohort) for row in rows):
        where = capital(vital_name(vital)) if vital else "All vital signs"
        where += f", {cohort_name(cohort)}" if cohort and len(study.cohorts) > 1 else ""
        own = [row for row in rows if (row.vital, row.cohort) == (vital, cohort)]
        groups.append(Group([_line(row, reasoned) for row in own], where))
    found = "found here" if rows[0].finding == 7 else "error of the first against the second"
    confidence = study.sources.statistics.confidence
    names = heads("verdict", "claim", f"{found} ({confidence} interval)")
    return Table("claims", f"Claims of finding {finding}", names, groups, words=True, verdicts=True)


def _line(row: FindingRow, reasoned: bool) -> Line:
    counts = []
    if row.value is not None:
        counts = [f"{row.patients:,} patients", counted(row.seeds, "seed")]
    if row.p_holm is not None:
        counts.append(f"p {probability(row.p_holm)} (Holm, {row.claims} claims)")
    said = [", ".join(counts), row.reason if reasoned else ""]
    compared = [_names(row.arms), _names(row.against)]
    cells = [
        Cell(capital(row.claim), " against ".join(filter(None, compared))),
        Cell(_found(row), capital("; ".join(filter(None, said)))),
    ]
    return Line(row.verdict, cells, mark=MARKS.get(row.verdict, ""))


def _names(arms: str) -> str:
    """The arms of a column in words: `Chronos-T5 nano (LoRA, rank 4), MOIRAI nano (zero-shot)`."""
    pairs = [name.split(" ") for name in arms.split("; ") if name]
    return ", ".join(
        model_name(model) if is_implied(Arm.parse(arm)) else f"{model_name(model)} ({arm_name(arm)})"
        for model, arm in pairs
    )


def _found(row: FindingRow) -> str:
    """A share of the other error in percent; of finding 7 a rank, or the change per doubling of it."""
    if row.value is None:
        return "–"
    value, low, high = (
        "" if each is None else f"{each:g}" if row.measure == RANK else signed_percent(each)
        for each in (row.value, row.low, row.high)
    )
    ends = f" ({low} to {high})" if low and high else ""
    if row.measure == RANK:
        return f"rank {value}{ends}"
    return f"{value}{ends}" + (" per doubling of the rank" if row.measure == PER_DOUBLING else "")


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
        if here := _here([task for task in study.tasks if task.cohort == cohort]):
            groups.append(Group(here, f"Here, {cohort_name(cohort)}"))
    return Table("published", "Published errors", [first, second], groups)


def _here(tasks: Sequence[ForecastTask]) -> list[Line]:
    """The arms trained from scratch in one cohort, with the metrics of the published table."""
    arms = {
        (task.vital, arm.first.model, arm.first.arm): arm
        for task in tasks
        for arm in task.arms
        if arm.kind == "scratch"
    }
    vitals = [
        next((name for name in names if name in {task.vital for task in tasks}), "")
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
                Line(
                    capital(run_name(model, name)), [Cell("without"), *(Cell(number(one)) for one in values)]
                )
            )
    return lines
