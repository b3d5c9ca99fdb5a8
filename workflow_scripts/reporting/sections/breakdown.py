"""Where the error comes from: by horizon step, by hours from onset, by patient group."""

from collections.abc import Sequence

from workflow_scripts.evaluation.names import capital, run_name
from workflow_scripts.evaluation.summary import BreakdownRow
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.sections.breakdown_figures import TITLES, level_figure, level_name, preferred
from workflow_scripts.reporting.study import Study


def horizon_section(study: Study) -> Section:
    """Error by how far ahead the forecast looks."""
    return _section(study, "horizon", "Error by how far ahead", ("horizon_step",))


def onset_section(study: Study) -> Section:
    """Error by the time from the cohort's onset to the forecast's start."""
    return _section(study, "onset", "Error by hours from onset", ("hours_from_onset",))


def group_section(study: Study) -> Section:
    """Error by patient group, with counts."""
    return _section(study, "groups", "Error by patient group", ("sex", "age_band", "icu_type", "hospital"))


def _section(study: Study, key: str, title: str, dimensions: Sequence[str]) -> Section:
    """A block for each task; one block for all tasks where each has but one figure."""
    blocks = []
    for task in study.tasks:
        rows = [row for row in task.of(study.sources.breakdown) if row.dimension in dimensions]
        tables = [preferred([row for row in rows if row.dimension == dimension]) for dimension in dimensions]
        figures = [figure for table in tables if table and (figure := level_figure(study, task, table))]
        note = _hidden([row for row in rows if row.value is None])
        if figures or note:
            blocks.append(Block(task.title, figures=figures, note=note))
    missing = "" if blocks else "The table of groups (breakdown.csv) has nothing of this."
    if len(dimensions) == 1 and blocks:
        blocks = [Block(figures=[one for block in blocks for one in block.figures], note=_together(blocks))]
    return Section(key, title, blocks, missing=missing)


def _together(blocks: Sequence[Block]) -> str:
    """The notes of several tasks; what they have in common is said once."""
    if len({block.note for block in blocks}) == 1:
        return blocks[0].note
    return " ".join(
        f"{block.heading}: {block.note[0].lower()}{block.note[1:]}" for block in blocks if block.note
    )


def _hidden(rows: Sequence[BreakdownRow]) -> str:
    """Which groups have no value, a sentence for each reason."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(capital(row.reason or "no value"), []).append(_group(row))
    return " ".join(f"{why}: {', '.join(dict.fromkeys(named))}." for why, named in groups.items())


def _group(row: BreakdownRow) -> str:
    """A group's name; a dimension that the data do not have is a row without a level."""
    named = level_name(row.level) if row.level else TITLES[row.dimension]
    return named if row.patients is None or not row.model else f"{named} ({run_name(row.model, row.arm)})"
