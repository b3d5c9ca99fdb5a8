"""Who is in the study: each cohort's flow chart and Table 1, as describe_cohort made them."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from workflow_scripts.cohorts.table_one import FEWER
from workflow_scripts.evaluation.names import capital, cohort_name, dataset_name, listed, vital_name
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.attrition import AttritionStep, read_attrition, read_selection
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.study import Study
from workflow_scripts.reporting.words import count, percent
from workflow_scripts.runtime.completeness import require_complete
from workflow_scripts.sources.counts import SMALLEST_GROUP
from workflow_scripts.windows.selection_table import SelectionRow


def cohort_section(study: Study) -> Section:
    """The flow chart and Table 1 of each cohort; small numbers are hidden in both where they were made."""
    blocks = [*_reading(study), *(_block(study, cohort) for cohort in study.cohorts)]
    return Section(
        "cohorts",
        "Who was studied",
        blocks,
        "Groups of fewer than 11 patients are shown as <11, and what would give their size away is not shown.",
    )


def _reading(study: Study) -> list[Block]:
    """What was found in the raw files and what was done about it; of data that are not open, no count below 11."""
    counts = study.sources.reading.get("counts")
    if not counts:
        return []
    is_open = study.dataset in OPEN_DATASETS
    lines = [
        Line(words, [Cell(count(number) if is_open or not 0 < number < SMALLEST_GROUP else FEWER)])
        for words, number in counts.items()
    ]
    table = Table("reading", "The raw files", heads("found in the raw files", "number"), [Group(lines)])
    return [Block(capital(dataset_name(study.dataset)), tables=[table])]


def cohort_size(study: Study, cohort: str) -> str:
    """The included stays and patients, in words; of data that are not open, only where the flow chart has them too."""
    path = _file(study, cohort, "attrition.csv")
    if not path:
        return ""
    steps = read_attrition(path)[1]
    last = steps[-1]
    if study.dataset not in OPEN_DATASETS and any(step.patients < 11 for step in steps[-2:]):
        return ""
    return f"{count(last.stays)} ICU stays of {count(last.patients)} patients"


def _block(study: Study, cohort: str) -> Block:
    chart, table = _file(study, cohort, "consort.svg"), _file(study, cohort, "table_one.csv")
    attrition = _file(study, cohort, "attrition.csv") if study.dataset in OPEN_DATASETS else None
    text = "No description of this cohort was given: its data are not MIMIC-III's tables."
    windows = _selections(study, cohort)
    sentences = ["" if chart or table or attrition else text, selection_sentence(study, cohort)]
    tables = [_table_one(cohort, table)] if table else []
    if windows and study.dataset in OPEN_DATASETS:
        tables.append(_selection_table(cohort, windows))
    return Block(
        capital(cohort_name(cohort)),
        " ".join(filter(None, sentences)),
        tables=tables,
        drawing=_drawing(chart) if chart else "",
        drawn=_attrition(attrition) if attrition else None,
    )


def selection_sentence(study: Study, cohort: str) -> str:
    """Who is not studied, or not until their end, in numbers; of data that are not open, only where none is small."""
    path = _file(study, cohort, "attrition.csv")
    steps = read_attrition(path)[1] if path else []
    losses = [
        _Loss(NO_STAY.get(after.step, after.label), before, after)
        for before, after in pairwise(steps)
        if after.step != "definition"
    ]
    windows = _selections(study, cohort)
    losses += [
        _Loss(f"without a window of {vital_name(vital)}", rows[0], rows[-1])
        for vital, rows in windows.items()
    ]
    shown = [loss for loss in losses if loss.stays]
    if study.dataset not in OPEN_DATASETS and any(loss.is_small for loss in shown):
        return "Some rules leave out so few patients that their numbers are only in the tables of attrition."
    found = []
    if shown:
        found.append(f"Not studied are stays {'; '.join(loss.words for loss in shown)}.")
    cut = [
        f"{percent((rows[-1].cut_windows or 0) / (rows[-1].windows or 1))} of the windows of {vital_name(vital)}"
        for vital, rows in windows.items()
    ]
    if cut:
        found.append(f"Discharge or death cuts the horizon of {listed(cut)}.")
    return " ".join(found)


NO_STAY = {
    "share_of_patients": "of patients outside the random share",
    "adult": "of patients who are too young or of unknown age",
    "first_stay": "after the patient's first",
    "stay_length": "that are too short",
    "charted_values": "with too few charted values",
}
"""Step of the cohort -> which stays it leaves out."""


@dataclass(frozen=True)
class _Loss:
    """What one rule leaves out."""

    name: str
    before: AttritionStep | SelectionRow
    after: AttritionStep | SelectionRow

    @property
    def stays(self) -> int:
        return self.before.stays - self.after.stays

    @property
    def deaths(self) -> int:
        return (self.before.deaths or 0) - (self.after.deaths or 0)

    @property
    def is_small(self) -> bool:
        """Whether the numbers are of fewer than 11 patients."""
        lost = (self.stays, self.deaths, self.before.patients - self.after.patients)
        return any(0 < number < SMALLEST_GROUP for number in (*lost, self.after.patients))

    @property
    def words(self) -> str:
        dead = f", {count(self.deaths)} of {count(self.before.deaths or 0)} deaths" if self.deaths else ""
        return f"{self.name} ({count(self.stays)} of {count(self.before.stays)}{dead})"


def _file(study: Study, cohort: str, ending: str) -> Path | None:
    folder = study.sources.cohorts
    path = folder / f"{cohort}.{ending}" if folder else None
    return path if path and path.is_file() else None


def _selections(study: Study, cohort: str) -> dict[str, list[SelectionRow]]:
    """Vital sign -> what each rule for windows left; those without such a table are left out."""
    vitals = [task.vital for task in study.tasks if task.cohort == cohort]
    paths = {vital: study.sources.windows / cohort / f"{vital}.attrition.csv" for vital in vitals}
    return {vital: read_selection(path) for vital, path in paths.items() if path.is_file()}


def _selection_table(cohort: str, windows: Mapping[str, Sequence[SelectionRow]]) -> Table:
    groups = [
        Group(
            [
                Line(
                    row.rule.replace("_", " "),
                    [
                        Cell("–" if number is None else count(number))
                        for number in (row.stays, row.patients, row.deaths, row.windows, row.cut_windows)
                    ],
                )
                for row in rows
            ],
            capital(vital_name(vital)),
        )
        for vital, rows in windows.items()
    ]
    names = ("windows left after", "ICU stays", "patients", "deaths", "windows", "with a cut horizon")
    return Table("selection", f"Selection of windows, {cohort_name(cohort)}", heads(*names), groups)


def _drawing(path: Path) -> str:
    """The flow chart without what names it a file of its own."""
    return re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", path.read_text(encoding="utf-8")).strip()


def _table_one(cohort: str, path: Path) -> Table:
    require_complete(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    groups: dict[str, list[Line]] = {}
    for row in rows:
        cells = [Cell(row[name]) for name in ("included", "excluded", "missing")]
        groups.setdefault(row["variable"], []).append(Line(row["level"], cells))
    made = []
    for variable, lines in groups.items():
        single = len(lines) == 1 and not lines[0].name
        made.append(Group([Line(variable, lines[0].cells)]) if single else Group(lines, variable))
    return Table(
        "table-one",
        f"Table 1, {cohort_name(cohort)}",
        heads("Table 1: ICU stays", "included", "excluded", "missing"),
        made,
    )


def _attrition(path: Path) -> Table:
    cohort, steps = read_attrition(path)
    lines = [
        Line(
            step.label,
            [
                Cell("–" if number is None else count(number))
                for number in (step.stays, step.admissions, step.patients, step.deaths)
            ],
        )
        for step in steps
    ]
    return Table(
        "attrition",
        f"Attrition, {cohort_name(cohort)}",
        heads("left after", "ICU stays", "admissions", "patients", "deaths"),
        [Group(lines)],
    )
