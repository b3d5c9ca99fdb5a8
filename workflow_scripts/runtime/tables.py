"""Checks that a Parquet file holds the columns that its reader needs. Imports only pyarrow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError

ColumnKind = Literal["text or integer", "integer", "number", "true/false", "text", "timestamp without zone"]


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_identifier(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return _is_text(kind) or pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)


def _is_local_timestamp(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is None


_CHECKS: dict[ColumnKind, Callable[[pa.DataType], bool]] = {
    "text or integer": _is_identifier,
    "integer": pa.types.is_integer,
    "number": _is_number,
    "true/false": pa.types.is_boolean,
    "text": _is_text,
    "timestamp without zone": _is_local_timestamp,
}


def check_columns(path: Path, columns: Mapping[str, ColumnKind], remedy: str) -> None:
    """Raise one UserError that names every missing and every ill-typed column of a Parquet file.

    Further columns and the order of the columns do not matter. Also raises where there is no such file or it
    is no Parquet.
    """
    expected = ", ".join(f"{name} ({kind})" for name, kind in columns.items())
    if not path.is_file():
        raise UserError(str(path), "no such file", f"a Parquet file with {expected}", remedy)
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid):
        raise UserError(
            str(path), "not a complete Parquet file", f"Parquet with {expected}", remedy
        ) from None
    missing = [name for name in columns if name not in schema.names]
    wrong = [
        f"{name} ({schema.field(name).type})"
        for name, kind in columns.items()
        if name in schema.names and not _CHECKS[kind](schema.field(name).type)
    ]
    problems = [f"missing columns: {', '.join(missing)}"] * bool(missing)
    problems += [f"columns of another type: {', '.join(wrong)}"] * bool(wrong)
    if problems:
        raise UserError(str(path), "; ".join(problems), expected, remedy)
