"""The report's tables as Markdown: marks become bold, italics or a sign, and nothing is folded."""

from collections.abc import Iterable, Sequence

from workflow_scripts.reporting.page import Cell, Table
from workflow_scripts.reporting.words import arm_name

UNNAMED = (arm_name("baseline"), arm_name("trained"))
"""Arms that go without saying, as a model has no other like them."""

NEAR = "~"
"""Behind a value that is not distinguishable from the best."""


def markdown_table(names: Sequence[str], lines: Iterable[Sequence[str]], words: bool = False) -> str:
    """A table; numbers are set to the right, words to the left."""
    rule = "|".join(["---", *["---" if words else "---:"] * (len(names) - 1)])
    rows = [_row(names), f"|{rule}|", *map(_row, lines)]
    return "\n".join(rows)


def from_report(table: Table, kept: Sequence[str] = (), first: str = "") -> str:
    """A table of the report; kept: headings of the columns to keep, all where there are none."""
    names = _names(table)
    places = [place for place, name in enumerate(names) if place == 0 or not kept or name in kept]
    lines = [
        [_name(group.name, line.name), *(cell_text(line.cells[place - 1]) for place in places[1:])]
        for group in table.groups
        for line in group.lines
    ]
    return markdown_table([first or names[0], *(names[place] for place in places[1:])], lines, table.words)


def cell_text(cell: Cell) -> str:
    """A cell with its interval beside it; the best is bold, what is near it has a sign."""
    text = f"**{cell.text}**" if cell.mark == "best" else cell.text
    text += NEAR if cell.mark == "near" else ""
    return f"{text} ({cell.below})" if cell.below else text


def _names(table: Table) -> list[str]:
    """The headings of all columns, where there are two rows of them with both."""
    names = [head.text for head in table.heads[-1]]
    if len(table.heads) == 1:
        return names
    above = [head.text for head in table.heads[0] for _ in range(head.span)]
    return [f"{upper}: {name}" if upper else name for upper, name in zip(above, names, strict=True)]


def _name(group: str, line: str) -> str:
    """A model and its arm, where that does not go without saying."""
    return group if group and line in UNNAMED else f"{group}, {line}" if group else line


def _row(cells: Iterable[str]) -> str:
    shown = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"
