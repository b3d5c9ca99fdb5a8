"""What is asked of a table from outside, and the words in which it is refused."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.runtime.cells import CellError, first_true
from workflow_scripts.runtime.columns import ColumnKind
from workflow_scripts.runtime.errors import UserError

Columns = Mapping[str, ColumnKind]

_DAMAGE = (OSError, pa.ArrowException, UnicodeError, MemoryError, OverflowError)
"""What Arrow raises for a file that is cut, overwritten or no Parquet at all."""


@dataclass(frozen=True)
class Request:
    """Columns of one file.

    columns: name and kind of those that must be present; optional: of those that may be; complete: those without empty
    cells; keep: a column of text and the value of the rows that are read; remedy: what the user is to do.
    """

    path: Path
    columns: Columns
    remedy: str
    optional: Columns = field(default_factory=dict)
    complete: Collection[str] = ()
    keep: tuple[str, str] | None = None

    @property
    def wanted(self) -> dict[str, ColumnKind]:
        """All columns that are read where they are present."""
        return {**self.columns, **self.optional}

    @property
    def described(self) -> str:
        """The columns that must be present, for messages."""
        return describe(self.columns)

    def error(self, found: str, expected: str) -> UserError:
        """Return the error that refuses the file."""
        return UserError(str(self.path), found, expected, self.remedy)

    def cell_error(self, name: str, place: str, bad: CellError) -> UserError:
        """Return the error that refuses a cell. place: its row or line."""
        return self.error(f"{place}, column {name}: {bad.found}", bad.expected)

    def refuse_empty(self, name: str, column: pa.ChunkedArray) -> None:
        """Raise CellError for an empty cell of a column that is to be complete."""
        if name in self.complete and column.null_count:
            raise CellError(first_true(pc.is_null(column)), "an empty cell", "no empty cell in this column")

    def require_file(self) -> None:
        """Raise UserError where there is no file."""
        expected = f"one file with {self.described}"
        if self.path.is_dir():
            found = "a folder (Spark and partitioned data sets write one), one file is expected"
            remedy = f"write the table as one file; {self.remedy}"
            raise UserError(str(self.path), found, expected, remedy)
        if not self.path.is_file():
            raise self.error("no such file", expected)


def describe(columns: Columns) -> str:
    """Return columns with their kinds, for messages."""
    return ", ".join(f"{name} ({kind})" for name, kind in columns.items())


@contextmanager
def refuse_damage(path: Path, columns: Columns, remedy: str) -> Iterator[None]:
    """Turn what Arrow and the file system raise into one UserError; their messages may quote cells."""
    try:
        yield
    except PermissionError:
        raise UserError(str(path), "a file that you may not read", "a readable file", remedy) from None
    except _DAMAGE:
        found = "not a complete Parquet file, or a damaged one"
        raise UserError(str(path), found, f"Parquet with {describe(columns)}", remedy) from None
