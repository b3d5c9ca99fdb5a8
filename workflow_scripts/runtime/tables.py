"""The one reader of tables from outside: Parquet and text. It gives what is written, or one UserError.

No message holds a cell. Of a file of text not even the names of unknown columns are told: where the header is missing,
they are the first patient's row.
"""

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.runtime.cells import CellError
from workflow_scripts.runtime.columns import ColumnKind, parse
from workflow_scripts.runtime.parquet_tables import check_parquet, is_parquet, read_parquet
from workflow_scripts.runtime.table_request import Columns, Request, refuse_damage
from workflow_scripts.runtime.text_tables import TextError, TextTable, is_text_table, read_text_table

__all__ = ["ColumnKind", "Columns", "check_columns", "read_table", "refuse_damage"]


def read_table(
    path: Path,
    columns: Columns,
    remedy: str,
    optional: Columns | None = None,
    complete: Collection[str] = (),
    keep: tuple[str, str] | None = None,
) -> pa.Table:
    """Read columns of a Parquet file or a table of text (.csv, .psv, .tsv, .txt, also packed as .gz).

    columns: name and kind of those that must be present; optional: of those that may be. complete: columns without
    empty cells. keep: a column of text and the value of the rows that are read; the others are skipped. Further
    columns and the order of the columns do not matter. Types of the result: see columns.convert.
    Raises UserError, with the column and the first row or line concerned, for a file that is no complete table,
    missing, repeated or ill-typed columns, and cells that cannot be read.
    """
    request = Request(path, columns, remedy, optional or {}, complete, keep)
    request.require_file()
    with refuse_damage(path, columns, remedy):
        is_text = is_text_table(path) and not is_parquet(path)
        return _read_text(request) if is_text else read_parquet(request)


def check_columns(path: Path, columns: Columns, remedy: str) -> None:
    """Raise one UserError that names every missing, repeated and ill-typed column of a Parquet file.

    Further columns and the order of the columns do not matter. Also raises where there is no such file or it
    is no Parquet.
    """
    request = Request(path, columns, remedy)
    request.require_file()
    with refuse_damage(path, columns, remedy):
        check_parquet(request)


def _read_text(request: Request) -> pa.Table:
    try:
        text = read_text_table(request.path, request.wanted)
    except TextError as bad:
        raise request.error(bad.found, f"{bad.expected}; columns {request.described}") from None
    _refuse_wrong_header(request, text)
    found = {}
    for name, column in text.columns.items():
        try:
            found[name] = parse(column, request.wanted[name], text.decimal_comma)
            request.refuse_empty(name, found[name])
        except CellError as bad:
            raise request.cell_error(name, f"line {text.lines[bad.row]}", bad) from None
    table = pa.table(found)
    return table if request.keep is None else table.filter(pc.equal(table[request.keep[0]], request.keep[1]))


def _refuse_wrong_header(request: Request, text: TextTable) -> None:
    missing = [name for name in request.columns if name not in text.names]
    repeated = [name for name in request.wanted if text.names.count(name) > 1]
    close = [
        f"{near[0]} instead of {name}"
        for name in missing
        if (near := get_close_matches(name, text.names, 1)) and near[0].lower() == name
    ]
    problems = [f"no column {', '.join(missing)} in the header"] * bool(missing)
    problems += [f"({', '.join(close)})"] * bool(close)
    problems += [f"repeated columns: {', '.join(repeated)}"] * bool(repeated)
    if problems:
        raise request.error(" ".join(problems), f"columns {request.described}")
