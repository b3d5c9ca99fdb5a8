"""The shards of a MEDS data set as one DuckDB view, checked against the schema of meds 0.4.1."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.meds.files import shard_files

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1GiB"
"""Of the query engine, which puts what does not fit into files beside its result."""

_REMEDY = "convert the data again, to meds 0.4 or later"
_OPTIONAL = {"numeric_value": "FLOAT", "hadm_id": "VARCHAR", "icustay_id": "VARCHAR"}
"""Columns that are read where a shard has them."""


@contextmanager
def open_shards(raw: Path, spill: Path, threads: int = 2) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Give a DuckDB connection with the view `events` of all shards.

    Columns: subject_id (integer), time, code, numeric_value, hadm_id and icustay_id (text; NULL where no shard has
    them). spill: an existing folder for what does not fit into memory.
    Raises UserError for a shard that is cut or not as meds says, an event without subject or code, and a subject in two
    shards.
    """
    import duckdb

    files = shard_files(raw)
    present = {name: kind for path in files for name, kind in _checked_columns(path).items()}
    columns = [f"{_column(name, present)}::{kind} AS {name}" for name, kind in _OPTIONAL.items()]
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(spill),
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(config=config) as connection:
        shards = ", ".join(f"'{_escaped(path)}'" for path in files)
        connection.execute(f"""
            CREATE VIEW events AS
            SELECT subject_id, time::TIMESTAMP AS time, code::VARCHAR AS code, {", ".join(columns)}
            FROM read_parquet([{shards}], union_by_name = true, hive_partitioning = false)
        """)
        try:
            _refuse_wrong_rows(connection, raw, shards)
            yield connection
        except duckdb.Error:
            _refuse_damaged_shards(files)
            raise


def _column(name: str, present: dict[str, pa.DataType]) -> str:
    if name not in present:
        return "NULL"
    # Some converters write identifiers as floats where other events have none: 501.0 is the stay 501.
    is_float = name != "numeric_value" and pa.types.is_floating(present[name])
    return f"{name}::BIGINT" if is_float else name


def _checked_columns(path: Path) -> dict[str, pa.DataType]:
    """Return a shard's columns with their types. Raises UserError where one is missing or of another type."""
    expected = "subject_id (integer), time (timestamp without zone), code (text), numeric_value (number)"
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        raise UserError(
            str(path), "not a complete Parquet file", f"Parquet with {expected}", _REMEDY
        ) from None
    kinds = dict(zip(schema.names, schema.types, strict=True))
    missing = [name for name in ("subject_id", "time", "code") if name not in kinds]
    wrong = [f"{name} ({kinds[name]})" for name in kinds if not _is_as_expected(name, kinds[name])]
    repeated = len(schema.names) - len(kinds)
    if missing or wrong or repeated:
        found = [f"missing columns: {', '.join(missing)}"] * bool(missing)
        found += [f"columns of another type: {', '.join(wrong)}"] * bool(wrong)
        found += [f"{repeated} repeated columns"] * bool(repeated)
        raise UserError(str(path), "; ".join(found), expected, _REMEDY)
    return kinds


def _is_as_expected(name: str, kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if name == "subject_id":
        return pa.types.is_integer(kind)
    if name == "time":
        return pa.types.is_timestamp(kind) and kind.tz is None
    if name == "code":
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return name != "numeric_value" or pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _refuse_damaged_shards(files: list[Path]) -> None:
    """Raise UserError for the first shard whose rows cannot be read. Called where a query failed."""
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    file.read_row_group(group)
        except (OSError, pa.ArrowException):
            raise UserError(
                str(path), "a damaged Parquet file", "a file that was written to its end", _REMEDY
            ) from None


def _refuse_wrong_rows(connection: "duckdb.DuckDBPyConnection", raw: Path, shards: str) -> None:
    without_subject, without_code = connection.sql(
        "SELECT count_if(subject_id IS NULL), count_if(code IS NULL) FROM events"
    ).fetchall()[0]
    divided = connection.sql(f"""
        SELECT count(*) FROM (
            SELECT subject_id FROM (
                SELECT DISTINCT subject_id, filename
                FROM read_parquet([{shards}], union_by_name = true, hive_partitioning = false, filename = true)
            ) GROUP BY subject_id HAVING count(*) > 1
        )
    """).fetchall()[0][0]
    if without_subject or without_code or divided:
        raise UserError(
            str(raw / "data"),
            f"{without_subject} events without subject_id, {without_code} without code, {divided} subjects in more "
            "than one shard",
            "subject_id and code in every event, and each subject in one shard",
            "remove a shard that is there twice, or convert the data again",
        )


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
