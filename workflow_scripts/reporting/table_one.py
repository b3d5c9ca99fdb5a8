"""Table 1 as an HTML page that needs nothing from outside."""

from typing import TYPE_CHECKING

from workflow_scripts.reporting.templates import environment
from workflow_scripts.sources.counts import SMALLEST_GROUP

if TYPE_CHECKING:
    import pandas as pd


def render_table_one(cohort: str, table: "pd.DataFrame") -> str:
    """Return the page; table: as `make_table_one` gives it."""
    rows = table.to_dict("records")
    for row, before in zip(rows, [None, *rows[:-1]], strict=True):
        row["first"] = before is None or before["variable"] != row["variable"]
    template = environment(autoescape=True).get_template("table_one.html.j2")
    return template.render(cohort=cohort, rows=rows, smallest=SMALLEST_GROUP)
