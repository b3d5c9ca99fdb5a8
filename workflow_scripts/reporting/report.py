"""The report as one HTML page, and its figures as files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.names import cohort_name, dataset_name
from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.reporting import themes
from workflow_scripts.reporting.captions import caption
from workflow_scripts.reporting.charts import Figure
from workflow_scripts.reporting.contents import Contents, collect_contents
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.sections.answer import lead
from workflow_scripts.reporting.sections.cohorts import cohort_size
from workflow_scripts.reporting.study import Sources
from workflow_scripts.reporting.templates import environment
from workflow_scripts.runtime.files import atomic_folder

LARGEST_FIGURES = 3_000_000
"""Characters of figures on the page, which stays below 5 MB with the charts' script and the tables."""
MOST_ROWS = 60
"""Rows of a figure's data on the page; the CSV beside the report has all."""
SIGNS = {"below": "Small figures", "recommended": "Underlined"}


@dataclass(frozen=True)
class Report:
    """The page, and the figures on it."""

    html: str
    figures: Sequence[Figure]

    def write_figures(self, folder: Path) -> None:
        """Write each figure as <name>.svg and its data as <name>.csv, in place of the folder's earlier files."""
        with atomic_folder(folder) as temporary:
            for figure in self.figures:
                (temporary / f"{figure.name}.svg").write_text(figure.file_svg, encoding="utf-8")
                (temporary / f"{figure.name}.csv").write_text(figure.csv, encoding="utf-8")


def make_report(rows: Sequence[RunRow], sources: Sources) -> Report:
    """Return the report: one HTML page that needs nothing from outside, and its figures.

    Raises UserError where a windows file, the shown forecasts or the latest run's record are missing or broken.
    """
    contents = collect_contents(rows, sources)
    return Report(_html(contents), contents.figures)


def _html(contents: Contents) -> str:
    study, figures = contents.study, contents.figures
    sizes = [(cohort_name(cohort), cohort_size(study, cohort)) for cohort in study.cohorts]
    return (
        environment(autoescape=True)
        .get_template("report.html.j2")
        .render(
            dataset=dataset_name(study.dataset),
            lead=lead(study),
            cohorts=[f"{name}: {size}" if size else name for name, size in sizes],
            caveats=contents.caveats,
            answer=contents.answer,
            sections=contents.sections,
            signs=SIGNS,
            themes={"light": themes.LIGHT, "dark": themes.DARK, "print": themes.PRINT},
            look=themes.look,
            drawn=_drawn(figures),
            spec=_spec,
            captions=_captions,
            data=_data,
            script=_bundle() if figures else "",
        )
    )


def _captions(block: Block, section: Section) -> tuple[str, Mapping[str, str]]:
    """What a block's figures show: one caption for all, or each at the first figure that it describes.

    Of blocks whose figures share one caption, only the first has it.
    """
    first: dict[str, str] = {}
    for figure in block.figures:
        first.setdefault(caption(figure.kind), figure.name)
    if len(first) > 1:
        return "", {name: text for text, name in first.items()}
    kinds = {figure.kind for figure in block.figures}
    teller = next(other for other in section.blocks if kinds & {figure.kind for figure in other.figures})
    return (next(iter(first)) if teller is block else ""), {}


def _drawn(figures: Sequence[Figure]) -> set[str]:
    """Names of the figures that the page has room for, in their order."""
    names, size = set(), 0
    for figure in figures:
        size += len(figure.svg) + len(_spec(figure))
        if size <= LARGEST_FIGURES:
            names.add(figure.name)
    return names


def _spec(figure: Figure) -> str:
    """The live chart's JSON, safe inside a script element."""
    return json.dumps(figure.spec, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")


def _data(figure: Figure) -> Mapping[str, Any]:
    """A figure's data as texts: columns that say the same in every row are left out."""
    rows = figure.rows
    names = [name for name in rows[0] if name not in ("cohort", "vital", "model_name", "row")]
    kept = [name for name in names if len(rows) == 1 or len({str(row[name]) for row in rows}) > 1]
    shown = [[_said(row[name]) for name in kept] for row in rows[:MOST_ROWS]]
    return {"names": [name.replace("_", " ") for name in kept], "rows": shown, "left": len(rows) - len(shown)}


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from vl-convert: no network."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
