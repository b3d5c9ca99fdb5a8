"""The figures' captions: one text for the page and for Snakemake's report; and the labels that they have there."""

import re
from functools import cache
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from workflow_scripts.evaluation.names import capital, cohort_name, vital_name

BETWEEN_COHORTS = "Between cohorts"
CAPTIONS = Path(__file__).parent / "figures.rst"


@cache
def caption(kind: str) -> str:
    """The caption of a kind of figure, as figures.rst has it for Snakemake's wildcard `figure`."""
    from jinja2 import Template

    wildcards = SimpleNamespace(figure=kind)
    text = Template(CAPTIONS.read_text(encoding="utf-8")).render(
        snakemake=SimpleNamespace(wildcards=wildcards)
    )
    return " ".join(text.split())


SECTIONS = {
    "error-by-arm": "Results at a glance",
    "events-reliability": "Bedside events",
    "events-decision": "Bedside events",
    "error-by-rank": "Error against rank",
    "error-and-memory": "What a smaller error costs",
    "error-and-time": "What a smaller error costs",
    "error-and-parameters": "What a smaller error costs",
    "forecast": "Example forecasts",
    "calibration": "Calibration",
    "pit": "Calibration",
    "error-by-hours-ahead": "Error by how far ahead",
    "error-by-hours-from-onset": "Error by hours from onset",
    "error-by-sex": "Error by patient group",
    "error-by-age": "Error by patient group",
    "error-by-first-icu": "Error by patient group",
    "error-by-cohort": BETWEEN_COHORTS,
    "transfer": BETWEEN_COHORTS,
}
"""Kind of a figure -> the title of its section on the page."""


def section_of(figure: str) -> str:
    """The title of a figure's section. figure: its kind, and after a dash what it is of."""
    return next(title for kind, title in SECTIONS.items() if f"{figure}-".startswith(f"{kind}-"))


def category(wildcards: Any) -> str:
    """Snakemake's category of a figure: its cohort in words."""
    section = section_of(wildcards.figure)
    return section if section == BETWEEN_COHORTS else capital(cohort_name(wildcards.part.replace("-", "_")))


def subcategory(wildcards: Any) -> str:
    """Snakemake's subcategory of a figure: its vital sign in words."""
    return capital(vital_name(wildcards.sign.replace("-", "_")))


def labels(wildcards: Any, output: Any) -> dict[str, str]:
    """Snakemake's labels of a figure: its section on the page, and the title in its file."""
    path = Path(output.figures, f"{wildcards.part}_{wildcards.sign}_{wildcards.figure}.svg")
    title = re.search("<title>(.*?)</title>", path.read_text(encoding="utf-8"))
    shown = unescape(title[1]) if title else wildcards.figure
    return {"section": section_of(wildcards.figure), "figure": shown.rpartition(", ")[0] or shown}
