"""A study of open data as one page of the documentation: Markdown, with a few figures beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.charts import Figure
from workflow_scripts.reporting.known_truth import known_truth_text
from workflow_scripts.reporting.markdown import markdown_table
from workflow_scripts.reporting.page import Section
from workflow_scripts.reporting.parts import Sources, Study, collect_study
from workflow_scripts.reporting.report import TEMPLATES
from workflow_scripts.reporting.results_tables import (
    attrition_table,
    comparison_tables,
    cost_table,
    coverage_table,
    error_tables,
    finding_table,
    horizon_table,
    rank_table,
    transfer_table_of_lora,
    untested_parts,
)
from workflow_scripts.reporting.sections.answer import answer_section, lead
from workflow_scripts.reporting.sections.caveats import caveats
from workflow_scripts.reporting.sections.gaps import gap_section
from workflow_scripts.reporting.sections.pareto import pareto_section
from workflow_scripts.reporting.sections.provenance import provenance_section
from workflow_scripts.reporting.sections.ranks import rank_section
from workflow_scripts.runtime.errors import UserError

FIGURES = ("error-by-rank", "error-and-parameters", "error-and-time")
"""Kinds of figures that the page shows, of the first cohort and vital sign alone."""

FACTS = ("runs", "git commit", "versions", "machine of the last run")


@dataclass(frozen=True)
class ResultsPage:
    """The page's text, and its figures, which lie in the folder that the text names."""

    text: str
    figures: Sequence[Figure]


def make_results_page(
    rows: Sequence[RunRow], sources: Sources, folder: str, known_truth: Mapping[str, Any] | None = None
) -> ResultsPage:
    """Return the page. folder: that of the figures, seen from the page; known_truth: what known_truth.py wrote.

    Raises UserError where a run is of data that are not open: the documentation is public.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    _require_open(rows)
    study = collect_study(rows, sources)
    figures = _figures(study)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    answer, (costs, cost_note) = answer_section(study), cost_table(study)
    text = environment.get_template("results.md.j2").render(
        dataset=study.dataset,
        lead=lead(study),
        caveats=caveats(study),
        fewest_patients=min(row.patients for row in study.sources.statistics.intervals),
        minimum_patients=study.sources.statistics.parameters.minimum_patients,
        confidence=study.sources.statistics.confidence,
        margin=f"{100 * study.sources.statistics.parameters.rank_margin:g} %",
        facts=_facts(study),
        attrition=attrition_table(study),
        rule=answer.lead,
        answers=_said_once(_answers(study, answer)),
        errors=error_tables(study),
        comparisons=[(part.title, *comparison_tables(study, part)) for part in study.parts],
        ranks=rank_table(study),
        untested=untested_parts(study),
        findings=finding_table(study),
        transfer=transfer_table_of_lora(study),
        coverage=coverage_table(study),
        horizon=horizon_table(study),
        costs=costs,
        cost_note=cost_note,
        gaps=_gaps(study),
        figures=[(figure.title, f"{folder}/{figure.name}.svg") for figure in figures],
        known_truth=known_truth_text(known_truth) if known_truth else "",
    )
    return ResultsPage(text, figures)


def _require_open(rows: Sequence[RunRow]) -> None:
    closed = sorted({row.dataset for row in rows} - set(OPEN_DATASETS))
    if closed:
        raise UserError(
            where="the page of results",
            found=f"runs of the data set {', '.join(closed)}",
            expected=f"an open data set ({', '.join(OPEN_DATASETS)}), as the documentation is public",
            remedy="read results/<dataset>/report.html, which stays where the data are",
        )


def _answers(study: Study, answer: Section) -> list[tuple[str, Sequence[str]]]:
    """The answer of each part; where nothing could be compared, its first sentence alone, which says why."""
    compared = [
        any(row.low is not None for row in part.of(study.sources.statistics.intervals))
        for part in study.parts
    ]
    return [
        (block.heading, block.points if known else block.points[:1])
        for block, known in zip(answer.blocks, compared, strict=True)
    ]


def _said_once(parts: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, list[str]]]:
    """Sentences of each part; those that are the same in every part come last, once."""
    everywhere = [sentence for sentence in parts[0][1] if all(sentence in said for _, said in parts)]
    if len(parts) == 1 or not everywhere:
        return [(name, list(said)) for name, said in parts]
    own = [(name, [sentence for sentence in said if sentence not in everywhere]) for name, said in parts]
    return [*((name, said) for name, said in own if said), ("All of these", everywhere)]


def _facts(study: Study) -> str:
    """Which runs, what made them and on what machine."""
    table = provenance_section(study).blocks[0].tables[0]
    facts = {line.name: line.cells[0].text for group in table.groups for line in group.lines}
    return markdown_table(
        ("what", "value"), [[name, facts[name]] for name in FACTS if name in facts], words=True
    )


def _figures(study: Study) -> list[Figure]:
    """Error against rank for each model and two Pareto figures, where there is anything to draw."""
    first = study.parts[0].key
    sections = (rank_section(study), pareto_section(study))
    found = [figure for section in sections for figure in _of(section)]
    return [figure for figure in found if figure.kind in FIGURES and figure.name.startswith(f"{first}_")]


def _of(section: Section) -> list[Figure]:
    return [figure for block in section.blocks for figure in block.figures]


def _gaps(study: Study) -> list[str]:
    """What failed or was not run, or that nothing did."""
    section = gap_section(study, [])
    lines = [
        f"{line.name}: {'; '.join(cell.text for cell in line.cells)}"
        for block in section.blocks
        for table in block.tables
        for group in table.groups
        for line in group.lines
    ]
    return lines or [section.lead]
