"""Table 1 as an HTML page that needs nothing from outside."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.cohorts.table_one import SMALLEST_GROUP

if TYPE_CHECKING:
    import pandas as pd

_TEMPLATES = Path(__file__).parent / "templates"


def render_table_one(cohort: str, table: "pd.DataFrame") -> str:
    """Return the page; table: as `make_table_one` gives it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    rows = table.to_dict("records")
    for row, before in zip(rows, [None, *rows[:-1]], strict=True):
        row["first"] = before is None or before["variable"] != row["variable"]
    return environment.get_template("table_one.html.j2").render(
        cohort=cohort, rows=rows, smallest=SMALLEST_GROUP
    )
