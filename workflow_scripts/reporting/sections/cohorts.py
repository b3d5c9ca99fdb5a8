"""Who is in the study: each cohort's flow chart and Table 1, as describe_cohort made them."""

import csv
import re
from pathlib import Path

from workflow_scripts.evaluation.names import capital, cohort_name
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.attrition import read_attrition
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.study import Study
from workflow_scripts.reporting.words import count
from workflow_scripts.runtime.completeness import require_complete


def cohort_section(study: Study) -> Section:
    """The flow chart and Table 1 of each cohort; small numbers are hidden in both where they were made."""
    blocks = [_block(study, cohort) for cohort in study.cohorts]
    return Section(
        "cohorts",
        "Who was studied",
        blocks,
        "Groups of fewer than 11 patients are shown as <11, and what would give their size away is not shown.",
    )


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
    return Block(
        capital(cohort_name(cohort)),
        "" if chart or table or attrition else text,
        tables=[_table_one(cohort, table)] if table else [],
        drawing=_drawing(chart) if chart else "",
        drawn=_attrition(attrition) if attrition else None,
    )


def _file(study: Study, cohort: str, ending: str) -> Path | None:
    folder = study.sources.cohorts
    path = folder / f"{cohort}.{ending}" if folder else None
    return path if path and path.is_file() else None


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
                for number in (step.stays, step.admissions, step.patients)
            ],
        )
        for step in steps
    ]
    return Table(
        "attrition",
        f"Attrition, {cohort_name(cohort)}",
        heads("left after", "ICU stays", "admissions", "patients"),
        [Group(lines)],
    )
