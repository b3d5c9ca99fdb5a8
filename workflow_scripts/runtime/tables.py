"""The one reader of tables from outside: Parquet and text. It gives what is written, or one UserError.

No message holds a cell. Of a file of text not even the names of unknown columns are told: where the header is missing,
they are the first patient's row.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.cells import CellError, first_true
from workflow_scripts.runtime.columns import (
    ColumnKind,
    convert,
    is_of_kind,
    parse,
    text_dictionary,
)
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.text_tables import TextError, is_text_table, read_text_table

Columns = Mapping[str, ColumnKind]

_DAMAGE = (OSError, pa.ArrowException, UnicodeError, MemoryError, OverflowError)
"""What Arrow raises for a file that is cut, overwritten or no Parquet at all."""


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
    _require_file(path, columns, remedy)
    wanted = {**columns, **(optional or {})}
    with refuse_damage(path, columns, remedy):
        if is_text_table(path) and not _is_parquet(path):
            return _read_text(path, columns, wanted, remedy, complete, keep)
        return _read_parquet(path, columns, wanted, remedy, complete, keep)


def check_columns(path: Path, columns: Columns, remedy: str, optional: Columns | None = None) -> None:
    """Raise one UserError that names every missing, repeated and ill-typed column of a Parquet file.

    Further columns and the order of the columns do not matter. Also raises where there is no such file or it
    is no Parquet.
    """
    _require_file(path, columns, remedy)
    with refuse_damage(path, columns, remedy), pq.ParquetFile(path) as file:
        _refuse_wrong_columns(path, file.schema_arrow, columns, {**columns, **(optional or {})}, remedy)


def _require_file(path: Path, columns: Columns, remedy: str) -> None:
    expected = f"one file with {_described(columns)}"
    if path.is_dir():
        found = "a folder (Spark and partitioned data sets write one), one file is expected"
        raise UserError(str(path), found, expected, f"write the table as one file; {remedy}")
    if not path.is_file():
        raise UserError(str(path), "no such file", expected, remedy)


@contextmanager
def refuse_damage(path: Path, columns: Columns, remedy: str) -> Iterator[None]:
    """Turn what Arrow and the file system raise into one UserError; their messages may quote cells."""
    kinds = "a table of text or Parquet" if is_text_table(path) else "Parquet"
    try:
        yield
    except PermissionError:
        raise UserError(str(path), "a file that you may not read", "a readable file", remedy) from None
    except _DAMAGE:
        expected = f"{kinds} with {_described(columns)}"
        raise UserError(
            str(path), "not a complete Parquet file, or a damaged one", expected, remedy
        ) from None


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _described(columns: Columns) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in columns.items())


def _read_parquet(
    path: Path,
    columns: Columns,
    wanted: Columns,
    remedy: str,
    complete: Collection[str],
    keep: tuple[str, str] | None,
) -> pa.Table:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    if not _is_parquet(path):  # Arrow looks at the file's end only.
        raise pa.ArrowInvalid("not the beginning of a Parquet file")
    _refuse_wrong_columns(path, schema, columns, wanted, remedy)
    names = [name for name in wanted if name in schema.names]
    texts = [name for name in names if pa.types.is_string(_plain_text(schema.field(name).type))]
    row = 0
    groups = []
    with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            rows = _kept_rows(file, group, keep)
            if rows is None or first_true(rows) >= 0:
                part = _read_group(file, group, names)
                groups.append(_converted(path, part, wanted, remedy, complete, rows, row))
            row += file.metadata.row_group(group).num_rows
        if not groups:
            empty = file.schema_arrow.empty_table().select(names)
            groups.append(_converted(path, empty, wanted, remedy, (), None, 0))
    return pa.concat_tables(groups).unify_dictionaries()


def _read_group(file: pq.ParquetFile, group: int, names: Sequence[str]) -> pa.Table:
    """Return columns of a row group. Raises ArrowInvalid where they are not as checksums and footer say."""
    part = file.read_row_group(group, columns=names, use_threads=False).select(names)
    part.validate(full=True)
    metadata = file.metadata.row_group(group)
    # Checksums do not cover the pages' headers.
    if part.num_rows != metadata.num_rows:
        raise pa.ArrowInvalid("another number of rows than the footer says")
    for place in range(metadata.num_columns):
        chunk = metadata.column(place)
        if chunk.path_in_schema in names and chunk.statistics is not None:
            nulls = chunk.statistics.null_count if chunk.statistics.has_null_count else None
            if nulls not in (None, part[chunk.path_in_schema].null_count):
                raise pa.ArrowInvalid("another number of nulls than the footer says")
    return part


def _plain_text(kind: pa.DataType) -> pa.DataType:
    """Return string for every type of text that Arrow can read as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
    return pa.string() if is_text else plain


def _kept_rows(file: pq.ParquetFile, group: int, keep: tuple[str, str] | None) -> pa.ChunkedArray | None:
    if keep is None:
        return None
    column = _read_group(file, group, [keep[0]])[keep[0]]
    if pa.types.is_null(column.type):
        return pc.is_valid(column)
    return pc.equal(text_dictionary(column), keep[1])


def _converted(
    path: Path,
    part: pa.Table,
    wanted: Columns,
    remedy: str,
    complete: Collection[str],
    rows: pa.ChunkedArray | None,
    before: int,
) -> pa.Table:
    """Return a row group's columns as their kinds. rows: which are kept; before: rows of the groups before."""
    if rows is not None:
        numbers = pc.indices_nonzero(rows)
        part = part.filter(rows)
    found = {}
    for name in part.column_names:
        try:
            found[name] = convert(part[name], wanted[name])
            _refuse_empty(found[name], name in complete)
        except CellError as bad:
            row = before + (bad.row if rows is None else numbers[bad.row].as_py())
            raise _bad_cell(path, name, f"row {row + 1}", bad, remedy) from None
    return pa.table(found)


def _read_text(
    path: Path,
    columns: Columns,
    wanted: Columns,
    remedy: str,
    complete: Collection[str],
    keep: tuple[str, str] | None,
) -> pa.Table:
    expected = f"columns {_described(columns)}"
    try:
        text = read_text_table(path, wanted)
    except TextError as bad:
        raise UserError(str(path), bad.found, f"{bad.expected}; {expected}", remedy) from None
    missing = [name for name in columns if name not in text.names]
    repeated = [name for name in wanted if text.names.count(name) > 1]
    if missing or repeated:
        close = [
            f"{near[0]} instead of {name}"
            for name in missing
            if (near := get_close_matches(name, text.names, 1)) and near[0].lower() == name
        ]
        problems = [f"no column {', '.join(missing)} in the header"] * bool(missing)
        problems += [f"({', '.join(close)})"] * bool(close)
        problems += [f"repeated columns: {', '.join(repeated)}"] * bool(repeated)
        raise UserError(str(path), " ".join(problems), expected, remedy)
    found = {}
    for name, column in text.columns.items():
        try:
            found[name] = parse(column, wanted[name], text.decimal_comma)
            _refuse_empty(found[name], name in complete)
        except CellError as bad:
            raise _bad_cell(path, name, f"line {text.lines[bad.row]}", bad, remedy) from None
    table = pa.table(found)
    return table if keep is None else table.filter(pc.equal(table[keep[0]], keep[1]))


def _refuse_empty(column: pa.ChunkedArray, is_complete: bool) -> None:
    if is_complete and column.null_count:
        raise CellError(first_true(pc.is_null(column)), "an empty cell", "no empty cell in this column")


def _bad_cell(path: Path, name: str, place: str, bad: CellError, remedy: str) -> UserError:
    return UserError(str(path), f"{place}, column {name}: {bad.found}", bad.expected, remedy)


def _refuse_wrong_columns(
    path: Path, schema: pa.Schema, columns: Columns, wanted: Columns, remedy: str
) -> None:
    names: Sequence[str] = schema.names
    missing = [name for name in columns if name not in names]
    repeated = [name for name in wanted if names.count(name) > 1]
    wrong = [
        f"{name} ({schema.field(name).type})"
        for name, kind in wanted.items()
        if names.count(name) == 1 and not is_of_kind(kind, schema.field(name).type)
    ]
    problems = [f"missing columns: {', '.join(missing)}"] * bool(missing)
    problems += [f"repeated columns: {', '.join(repeated)}"] * bool(repeated)
    problems += [f"columns of another type: {', '.join(wrong)}"] * bool(wrong)
    if problems:
        described = {name: kind for name, kind in wanted.items() if name in columns or name in names}
        raise UserError(str(path), "; ".join(problems), _described(described), remedy)
