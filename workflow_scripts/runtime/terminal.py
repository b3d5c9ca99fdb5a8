"""What a command prints: tables fitted to the terminal and its colours there, plain text in a pipe or a file."""

import io
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNLIMITED = 10_000
"""Columns of a pipe or a file: no table is as wide, so nothing is wrapped."""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int] = ()) -> "Table":
    """A table without lines; without any heading it has no head.

    numbers: places of the columns that are aligned right. Texts are shown as they are: brackets are no markup.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 1), show_header=any(headings), header_style="bold")
    for place, heading in enumerate(headings):
        made.add_column(Text(heading), justify="right" if place in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def as_text(*parts: "str | Table", width: int = UNLIMITED) -> str:
    """Texts and tables one below the other as plain text; tables are at most so wide, texts are never wrapped."""
    from rich.console import Console

    written = io.StringIO()
    console = Console(file=written, width=width, color_system=None, force_terminal=False)
    _print(console, parts)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def show(*parts: "str | Table", width: int = UNLIMITED) -> None:
    """Print texts and tables, in a pipe or a file as `as_text` writes them."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        _print(console, parts)
    else:
        print(as_text(*parts, width=width))


def _print(console: "Console", parts: Iterable["str | Table"]) -> None:
    for part in parts:
        console.print(part, markup=False, highlight=False, emoji=False, soft_wrap=isinstance(part, str))
