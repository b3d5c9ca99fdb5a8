"""What is unusual in the data, as it was found before windows were cut."""

from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.study import Study
from workflow_scripts.windows.findings import findings_file, read_findings


def data_check_section(study: Study) -> Section:
    """The findings of each cohort and vital sign; windows of an older version have none."""
    lines: dict[str, list[Line]] = {}
    missing = []
    for task in study.tasks:
        path = findings_file(study.sources.windows / task.cohort / f"{task.vital}.parquet")
        if not path.is_file():
            missing.append(task.title)
            continue
        for finding in read_findings(path):
            cells = [Cell(finding.found), Cell(finding.expected), Cell(finding.remedy)]
            lines.setdefault(task.title, []).append(
                Line(f"{finding.table.replace('_', ' ')}: {finding.check}", cells)
            )
    groups = [Group(found, title) for title, found in lines.items()]
    table = Table(
        "data-checks", "Data checks", heads("data", "found", "expected", "what to do"), groups, words=True
    )
    return Section(
        "data-checks",
        "Is anything unusual in the data?",
        [Block(tables=[table])] if groups else [],
        "Values, units, times, onsets and deaths were checked before windows were cut; docs/check-data.md says how. "
        + ("" if groups else "Nothing unusual was found."),
        f"Not checked: {', '.join(missing)}." if missing else "",
    )
