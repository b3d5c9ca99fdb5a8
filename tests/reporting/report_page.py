"""Makes the report of a fabricated study and reads it as a reader's program would."""

from dataclasses import replace
from html.parser import HTMLParser
from unittest.mock import patch

from workflow_scripts.evaluation.summary import read_metrics
from workflow_scripts.reporting.report import make_report
from workflow_scripts.reporting.study import Sources


class Page(HTMLParser):
    """Collects elements, ids, and the text of table rows."""

    def __init__(self, html):
        super().__init__()
        self.html, self.elements, self.rows, self.text = html, [], [], ""
        self._silent = self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._silent = tag in ("style", "script")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_data(self, data):
        if self._silent:
            return
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False
        if tag in ("style", "script"):
            self._silent = False

    def found(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def lines(self, name):
        """Cells of all tables' rows that begin with a name."""
        return [[cell.strip() for cell in row] for row in self.rows if row and row[0].strip() == name]

    def section(self, key):
        """The HTML of one section."""
        start = self.html.index(f'<section aria-labelledby="{key}"')
        return self.html[start : self.html.index("</section>", start)]


def sources(study, **changes):
    """The sources of a fabricated study; tables that are not there are empty."""
    cohorts = study.folder / "cohorts"
    return replace(Sources.read(study.folder, study.runs, study.windows, cohorts, study.settings), **changes)


def report_of(study, **changes):
    return make_report(read_metrics(study.metrics), sources(study, **changes))


def page_of(study, **changes):
    """The page with empty drawings: its words need none, and drawing takes most of the time."""
    with patch("workflow_scripts.reporting.charts.render_svg", lambda _: "<svg></svg>"):
        return Page(report_of(study, **changes).html)
