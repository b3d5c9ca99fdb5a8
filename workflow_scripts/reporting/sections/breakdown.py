"""Where the error comes from: by horizon step, by hours from onset, by patient group."""

from collections.abc import Sequence

from workflow_scripts.evaluation.summary import BreakdownRow
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.parts import Study
from workflow_scripts.reporting.sections.breakdown_figures import TITLES, level_name, part_figure, preferred
from workflow_scripts.reporting.words import capital, subject


def horizon_section(study: Study) -> Section:
    """Error by how far ahead the forecast looks."""
    return _section(study, "horizon", "Error by how far ahead", ("horizon_step",))


def onset_section(study: Study) -> Section:
    """Error by the time from the cohort's onset to the forecast's start."""
    return _section(study, "onset", "Error by hours from onset", ("hours_from_onset",))


def group_section(study: Study) -> Section:
    """Error by patient group, with counts."""
    return _section(study, "groups", "Error by patient group", ("sex", "age_band", "icu_type"))


def _section(study: Study, key: str, title: str, dimensions: Sequence[str]) -> Section:
    """A block for each part; one block for all parts where each has but one figure."""
    blocks = []
    for part in study.parts:
        rows = [row for row in part.of(study.sources.breakdown) if row.dimension in dimensions]
        tables = [preferred([row for row in rows if row.dimension == dimension]) for dimension in dimensions]
        figures = [figure for table in tables if table and (figure := part_figure(study, part, table))]
        hidden = dict.fromkeys(_hidden(row) for row in rows if row.value is None)
        if figures or hidden:
            note = f"{capital('; '.join(hidden))}." if hidden else ""
            blocks.append(Block(part.title, figures=figures, note=note))
    missing = "" if blocks else "The table of parts (breakdown.csv) has nothing of this."
    if len(dimensions) == 1 and blocks:
        notes = [
            f"{block.heading}: {block.note[0].lower()}{block.note[1:]}" for block in blocks if block.note
        ]
        blocks = [Block("", figures=[one for block in blocks for one in block.figures], note=" ".join(notes))]
    return Section(key, title, blocks, missing=missing)


def _hidden(row: BreakdownRow) -> str:
    """Why a part has no value; a dimension that the data do not have is a row without a level."""
    named = level_name(row.level) if row.level else TITLES[row.dimension]
    arm = f" ({subject(row.model, row.arm)})" if row.model and "not shown" not in row.reason else ""
    return f"{named}{arm}: {row.reason or 'no value'}"
