"""Headers, and a second look at a table that could not be read as what its columns should be."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from workflow_scripts.mimic.reading import open_bytes
from workflow_scripts.mimic.tables import TABLES

_PATTERNS = {
    "integer": r"^[+-]?\d+$",
    "number": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    "time": r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$",
}


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
                stream,
                read_options=pacsv.ReadOptions(use_threads=False),
                parse_options=pacsv.ParseOptions(invalid_row_handler=count_line),
                # As bytes, because damaged text may not be UTF-8.
                convert_options=pacsv.ConvertOptions(
                    include_columns=typed,
                    column_types={name: pa.binary() for name in typed},
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            for batch in reader:
                for name in typed:
                    fits = pc.match_substring_regex(batch[name], _PATTERNS[kinds[name]])
                    wrong[name] += pc.sum(pc.invert(fits)).as_py() or 0
    except (pa.ArrowException, EOFError, OSError):
        return ""
    parts = [f"{lines:,} lines with too few or too many fields"] * bool(lines)
    parts += [
        f"{count:,} values of {name.strip().lower()} that are not of kind {kinds[name]}"
        for name, count in wrong.items()
        if count
    ]
    return ", ".join(parts)
