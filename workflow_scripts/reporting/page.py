"""What a report is made of: sections of blocks, each with text, figures and tables.

Sections say nothing of how they are drawn: html.py and markdown.py each draw all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from workflow_scripts.reporting.charts import Figure

Signs = Mapping[Literal["below", "recommended"], str]
"""What a text below a value, and a value of a recommended arm, mean in a table."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a small text below it, and a mark: best, good, bad or muted.

    recommended: whether it is of an arm that validation recommends.
    """

    text: str
    below: str = ""
    mark: str = ""
    recommended: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table. remark: a sentence below it; failed: whether it reports a failure; mark: of its name.

    implied: whether the name adds nothing to that of its group, as of a baseline's only arm.
    """

    name: str
    cells: Sequence[Cell]
    remark: str = ""
    failed: bool = False
    mark: str = ""
    implied: bool = False


@dataclass(frozen=True)
class Group:
    """Rows below one heading; without a name they have none. index: of the model, for its colour and marker."""

    lines: Sequence[Line]
    name: str = ""
    index: int | None = None


@dataclass(frozen=True)
class Head:
    """A cell of the table's head; span: how many columns it heads."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class Table:
    """A table. name: what it holds, the same in every part of a study; label: its name for those who cannot see it.

    heads: one or two rows; the last has a cell for each column. folded: the words to unfold it by; empty: shown.
    words: whether the cells are text, to be wrapped and set to the left. verdicts: whether their rows begin with one.
    sortable: whether a click on a head sorts the rows by that column.
    """

    name: str
    label: str
    heads: Sequence[Sequence[Head]]
    groups: Sequence[Group]
    folded: str = ""
    words: bool = False
    verdicts: bool = False
    sortable: bool = False

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return sum(head.span for head in self.heads[-1])


@dataclass(frozen=True)
class Fold:
    """A line that unfolds into a table: short words with their marks, a text, a small text below it."""

    marks: Sequence[Cell]
    text: str
    below: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Block:
    """A part of a section: heading, sentences, lines that unfold, figures, tables, a note.

    folded: the words to unfold the figures by; empty: shown. signs: what a text `below` a value and that of a
    recommended arm mean. drawing: an SVG document's text; drawn: the table that says the same where no drawing can be
    shown.
    """

    heading: str = ""
    text: str = ""
    points: Sequence[str] = ()
    folds: Sequence[Fold] = ()
    figures: Sequence[Figure] = ()
    folded: str = ""
    tables: Sequence[Table] = ()
    signs: Signs = field(default_factory=dict)
    note: str = ""
    drawing: str = ""
    drawn: Table | None = None


@dataclass(frozen=True)
class Section:
    """A section of the page. missing: why it is empty, or what it lacks."""

    key: str
    title: str
    blocks: Sequence[Block] = ()
    lead: str = ""
    missing: str = ""

    @property
    def figures(self) -> list[Figure]:
        """All its figures."""
        return [figure for block in self.blocks for figure in block.figures]


def heads(*names: str) -> list[list[Head]]:
    """One row of heads."""
    return [[Head(name) for name in names]]


def facts_table(name: str, label: str, facts: Sequence[tuple[str, str]], folded: str = "") -> Table:
    """Names and values, one pair a row."""
    lines = [Line(fact, [Cell(value)]) for fact, value in facts]
    return Table(name, label, heads("what", "value"), [Group(lines)], folded, words=True)
