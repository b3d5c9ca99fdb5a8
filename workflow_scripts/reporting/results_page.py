"""A study of open data as a page of the documentation: the report's sections in Markdown, a few figures beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.charts import Figure
from workflow_scripts.reporting.contents import Contents, collect_contents
from workflow_scripts.reporting.known_truth import known_truth_text
from workflow_scripts.reporting.markdown import section_text
from workflow_scripts.reporting.sections.answer import lead
from workflow_scripts.reporting.study import Sources
from workflow_scripts.reporting.templates import environment
from workflow_scripts.runtime.errors import UserError

FIGURES = ("error-by-rank", "error-and-parameters", "error-and-time")
"""Kinds of figures that the page shows, of the first cohort and vital sign alone."""

LEFT_OUT = ("examples",)
"""Sections that the page does not have: single windows of patients stay in the report."""


@dataclass(frozen=True)
class ResultsPage:
    """The page's text, and its figures, which are in the folder that the text names."""

    text: str
    figures: Sequence[Figure]


def make_results_page(
    rows: Sequence[RunRow], sources: Sources, folder: str, known_truth: Mapping[str, Any] | None = None
) -> ResultsPage:
    """Return the page. folder: that of the figures, seen from the page; known_truth: what known_truth.py wrote.

    Raises UserError where a run is of data that are not open: the documentation is public.
    """
    _require_open(rows)
    contents = collect_contents(rows, sources)
    figures = _figures(contents)
    files = {figure.name: f"{folder}/{figure.name}.svg" for figure in figures}
    sections = [contents.answer, *(one for one in contents.sections if one.key not in LEFT_OUT)]
    statistics = sources.statistics
    text = (
        environment(autoescape=False)
        .get_template("results.md.j2")
        .render(
            dataset=contents.study.dataset,
            lead=lead(contents.study),
            caveats=contents.caveats,
            fewest_patients=min(row.patients for row in statistics.intervals),
            minimum_patients=statistics.parameters.minimum_patients,
            sections=[section_text(section, files) for section in sections],
            known_truth=known_truth_text(known_truth) if known_truth else "",
        )
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


def _figures(contents: Contents) -> list[Figure]:
    """Error against rank for each model and two Pareto figures, where there is anything to draw."""
    first = contents.study.tasks[0]
    return [
        figure for figure in contents.figures if figure.kind in FIGURES and figure.subtitle == first.title
    ]
