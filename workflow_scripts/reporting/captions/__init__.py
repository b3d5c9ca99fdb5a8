"""The figures' captions: one text for the page and for Snakemake's report."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

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
