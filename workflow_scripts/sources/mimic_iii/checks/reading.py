"""A second look at a table that could not be read as what its columns should be."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from isal import igzip_lib

from workflow_scripts.sources.mimic_iii.reading import open_bytes
from workflow_scripts.sources.mimic_iii.tables import TABLES

_PATTERNS = {
    "integer": r"^[+-]?\d+$",
    "number": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    "time": r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$",
}


_ASCII = bytes(code if code < 128 else ord("?") for code in range(256))


class _AsciiStream:
    """A stream in which bytes that may not be UTF-8 are question marks: Arrow hands damaged lines on as text."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.closed = False

    def readable(self) -> bool:
        """Arrow asks."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._stream.read(size).translate(_ASCII)

    def close(self) -> None:
        """The owner closes the stream itself."""
        self.closed = True


def count_damage(path: Path, table: str, header: Sequence[str]) -> str:
    """Return in words how many lines and values of a whole table are damaged; nothing of their content."""
    lines = 0

    def count_line(_row: object) -> str:
        nonlocal lines
        lines += 1
        return "skip"

    kinds = {name: TABLES[table].get(name.strip().lower(), "text") for name in header}
    typed = [name for name, kind in kinds.items() if kind != "text"]
    wrong = dict.fromkeys(typed, 0)
    try:
        with open_bytes(path) as stream:
            reader = pacsv.open_csv(
                _AsciiStream(stream),
                read_options=pacsv.ReadOptions(use_threads=False),
                parse_options=pacsv.ParseOptions(invalid_row_handler=count_line),
                convert_options=pacsv.ConvertOptions(
                    include_columns=typed,
                    column_types={name: pa.string() for name in typed},
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            for batch in reader:
                for name in typed:
                    fits = pc.match_substring_regex(batch[name], _PATTERNS[kinds[name]])
                    wrong[name] += pc.sum(pc.invert(fits)).as_py() or 0
    except (pa.ArrowException, EOFError, OSError, zlib.error, cast(type[Exception], igzip_lib.error)):
        return ""
    parts = [f"{lines:,} lines with too few or too many fields"] * bool(lines)
    parts += [
        f"{count:,} values of {name.strip().lower()} that are not of kind {kinds[name]}"
        for name, count in wrong.items()
        if count
    ]
    return ", ".join(parts)
