"""Reads Parquet files strictly: what checksums, footer and types say must be so. Imports only pyarrow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.cells import CellError, first_true
from workflow_scripts.runtime.columns import convert, is_of_kind, text_dictionary
from workflow_scripts.runtime.table_request import Request, describe


def is_parquet(path: Path) -> bool:
    """Return whether a file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def read_parquet(request: Request) -> pa.Table:
    """Read what is asked of a file. Raises UserError, and what Arrow raises for a damaged file."""
    schema = check_parquet(request)
    names = [name for name in request.wanted if name in schema.names]
    texts = [name for name in names if pa.types.is_string(_plain_text(schema.field(name).type))]
    row = 0
    groups = []
    with _open(request.path, read_dictionary=texts, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            rows = _kept_rows(file, group, request.keep)
            if rows is None or first_true(rows) >= 0:
                groups.append(_converted(request, _read_group(file, group, names), rows, row))
            row += file.metadata.row_group(group).num_rows
        if not groups:
            groups.append(_converted(request, file.schema_arrow.empty_table().select(names), None, 0))
    return pa.concat_tables(groups).unify_dictionaries()


def check_parquet(request: Request) -> pa.Schema:
    """Return a file's schema. Raises UserError for missing, repeated and ill-typed columns."""
    if not is_parquet(request.path):  # Arrow looks at the file's end only.
        raise pa.ArrowInvalid("not the beginning of a Parquet file")
    with _open(request.path) as file:
        schema = file.schema_arrow
    names: Sequence[str] = schema.names
    missing = [name for name in request.columns if name not in names]
    repeated = [name for name in request.wanted if names.count(name) > 1]
    wrong = [
        f"{name} ({schema.field(name).type})"
        for name, kind in request.wanted.items()
        if names.count(name) == 1 and not is_of_kind(kind, schema.field(name).type)
    ]
    problems = [f"missing columns: {', '.join(missing)}"] * bool(missing)
    problems += [f"repeated columns: {', '.join(repeated)}"] * bool(repeated)
    problems += [f"columns of another type: {', '.join(wrong)}"] * bool(wrong)
    if problems:
        wanted = request.wanted.items()
        described = {name: kind for name, kind in wanted if name in request.columns or name in names}
        raise request.error("; ".join(problems), describe(described))
    return schema


def _open(path: Path, **options: Any) -> pq.ParquetFile:
    """Open a Parquet file. The 96-bit times of Spark and Hive would be other centuries in nanoseconds."""
    return pq.ParquetFile(path, coerce_int96_timestamp_unit="us", **options)


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


def _kept_rows(file: pq.ParquetFile, group: int, keep: tuple[str, str] | None) -> pa.ChunkedArray | None:
    if keep is None:
        return None
    column = _read_group(file, group, [keep[0]])[keep[0]]
    if pa.types.is_null(column.type):
        return pc.is_valid(column)
    return pc.equal(text_dictionary(column), keep[1])


def _converted(request: Request, part: pa.Table, rows: pa.ChunkedArray | None, before: int) -> pa.Table:
    """Return a row group's columns as their kinds. rows: which are kept; before: rows of the groups before."""
    if rows is not None:
        numbers = pc.indices_nonzero(rows)
        part = part.filter(rows)
    found = {}
    for name in part.column_names:
        try:
            found[name] = convert(part[name], request.wanted[name])
            request.refuse_empty(name, found[name])
        except CellError as bad:
            row = before + (bad.row if rows is None else numbers[bad.row].as_py())
            raise request.cell_error(name, f"row {row + 1}", bad) from None
    return pa.table(found)


def _plain_text(kind: pa.DataType) -> pa.DataType:
    """Return string for every type of text that Arrow can read as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
    return pa.string() if is_text else plain
