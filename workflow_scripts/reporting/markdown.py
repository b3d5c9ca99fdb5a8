"""The report's sections as Markdown: marks become bold or a sign, and a figure that is no file becomes its words."""

from collections.abc import Iterable, Iterator, Mapping

from workflow_scripts.reporting.page import Block, Cell, Fold, Group, Line, Section, Table

SIGNS = {"below": "In brackets", "recommended": "`†`"}

UNFOLDABLE = ("metrics", "comparisons", "transfer")
"""Tables that are folded here too; all else that the HTML page folds is left to it."""


def section_text(section: Section, files: Mapping[str, str] | None = None) -> str:
    """A section with its title. files: name of a figure -> its file; of all other figures the words are shown."""
    lead = section.lead if section.blocks or not section.missing else ""
    parts = [f"## {section.title}", lead, section.missing]
    parts += [part for block in section.blocks for part in _block(block, files or {})]
    return "\n\n".join(filter(None, parts))


def table_text(table: Table) -> str:
    """A table; numbers are aligned right, words left; a group's name is written in front of its lines."""
    rows = [[_name(group, line), *map(_cell, line.cells)] for group in table.groups for line in group.lines]
    rule = "|".join(["---", *["---" if table.words else "---:"] * (table.columns - 1)])
    return "\n".join([_row(_headings(table)), f"|{rule}|", *map(_row, rows)])


def _block(block: Block, files: Mapping[str, str]) -> Iterator[str]:
    yield f"### {block.heading}" if block.heading else ""
    yield block.text
    yield "\n".join(f"- {point}" for point in block.points)
    yield from map(_fold, block.folds)
    figures = [] if block.folded else block.figures
    yield "\n".join(f"![{one.title}]({files[one.name]})" for one in figures if one.name in files)
    yield "\n".join(f"- {one.title}: {one.words}" for one in figures if one.name not in files)
    for table in [*([block.drawn] if block.drawn else []), *block.tables]:
        yield from _shown(table)
    yield " ".join([*(f"{SIGNS[sign]}: {meaning}." for sign, meaning in block.signs.items()), block.note])


def _shown(table: Table) -> Iterator[str]:
    if not table.folded:
        remarked = [(group, line) for group in table.groups for line in group.lines if line.remark]
        yield table_text(table)
        yield "\n".join(f"- {_name(group, line)}: {line.remark}" for group, line in remarked)
    elif table.name in UNFOLDABLE:
        yield _folded(table.folded, table)


def _fold(fold: Fold) -> str:
    marks = ", ".join(f"{mark.text} × {mark.below}" if mark.below else mark.text for mark in fold.marks)
    table = _folded("Claims", fold.table) if fold.table else ""
    return "\n\n".join(filter(None, (f"**{fold.text}** {marks}", fold.below, table)))


def _folded(summary: str, table: Table) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{table_text(table)}\n\n</details>"


def _cell(cell: Cell) -> str:
    """A cell with its interval beside it; the best and what is claimed are bold, what is recommended has a sign."""
    text = f"**{cell.text}**" if cell.mark in ("best", "good", "bad") else cell.text
    text += "†" if cell.recommended else ""
    return f"{text} ({cell.below})" if cell.below else text


def _headings(table: Table) -> list[str]:
    """The headings of all columns, where there are two rows of them with both."""
    names = [head.text for head in table.heads[-1]]
    if len(table.heads) == 1:
        return names
    above = [head.text for head in table.heads[0] for _ in range(head.span)]
    return [f"{upper}: {name}" if upper else name for upper, name in zip(above, names, strict=True)]


def _name(group: Group, line: Line) -> str:
    return ", ".join(filter(None, (group.name, "" if group.name and line.implied else line.name)))


def _row(cells: Iterable[str]) -> str:
    shown = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"
