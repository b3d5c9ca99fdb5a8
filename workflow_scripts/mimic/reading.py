"""MIMIC-III CSV files as streams of typed Arrow batches, with one clear error for a broken file."""

import csv
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.csv as pacsv
from isal import igzip, igzip_lib, igzip_threaded

from workflow_scripts.mimic.tables import TABLES, match_columns
from workflow_scripts.runtime.errors import UserError

ARROW_TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    # Ages above 89 are shifted by about 300 years, which 64-bit nanoseconds cannot hold.
    "time": pa.timestamp("us"),
}
_BLOCK_BYTES = 2 << 20
_LONGEST_HEADER = 1 << 16
# The library's stub calls this class an instance.
_ISAL_ERROR = cast(type[Exception], igzip_lib.error)


def arrow_schema(table: str, columns: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of some columns of a MIMIC-III table."""
    return pa.schema([(column, ARROW_TYPES[TABLES[table][column]]) for column in columns])


def stream_table(path: Path, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the needed columns of a plain or gzipped CSV in bounded memory, under their lower-case names.

    Empty fields are null. Rows keep the file's order.
    Raises UserError, without content of rows, for a cut or corrupt gzip file, a missing column, a line with
    too few or too many fields, a value that is not of its column's type, and text that is not UTF-8.
    """
    header = read_header(path, table)
    names = match_columns(path, table, header, columns)
    with _explained(path, table, header), open_bytes(path) as stream:
        reader = pacsv.open_csv(
            stream,
            # One thread, because only then does Arrow know the number of a broken line.
            read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(delimiter=",", quote_char='"', double_quote=True),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(names.values()),
                column_types={name: ARROW_TYPES[TABLES[table][column]] for column, name in names.items()},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        schema = arrow_schema(table, columns)
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def read_table(path: Path, table: str, columns: Sequence[str]) -> pa.Table:
    """Read the needed columns of a small table whole.

    Raises UserError as `stream_table` does, and where the table has no row.
    """
    rows = pa.Table.from_batches(stream_table(path, table, columns), schema=arrow_schema(table, columns))
    if rows.num_rows == 0:
        raise empty_table(path, table)
    return rows


def empty_table(path: Path, table: str) -> UserError:
    """Return the error for a table without rows."""
    return UserError(
        f"table {table.upper()}, {path}",
        "a header and no row",
        "at least one row",
        "put the complete table of MIMIC-III v1.4 there",
    )


def open_bytes(path: Path) -> IO[bytes]:
    """Open a plain or gzipped file for reading its content."""
    if path.name.lower().endswith(".gz"):
        return cast(IO[bytes], igzip_threaded.open(path, "rb", threads=1))
    return path.open("rb")


def read_header(path: Path, table: str) -> list[str]:
    """Return the names in the first line of a CSV; raises UserError where it cannot be read."""
    with _explained(path, table, []):
        opener = igzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")
        with opener as stream:
            line = stream.readline(_LONGEST_HEADER).decode("utf-8-sig")
        return next(csv.reader(re.split(r"[\r\n]", line)[:1]), [])


@contextmanager
def _explained(path: Path, table: str, header: list[str]) -> Iterator[None]:
    """Turn what readers raise into a UserError; their own messages quote rows and must not get out."""
    where = f"table {table.upper()}, {path}"
    again = "get the file again, and compare its SHA-256 with the release's SHA256SUMS.txt"
    try:
        yield
    except (EOFError, BadGzipFile, zlib.error, _ISAL_ERROR) as error:
        found = "the gzip file ends too early" if isinstance(error, EOFError) else "not a sound gzip file"
        raise UserError(where, found, "a complete gzip file", again) from None
    except OSError as error:
        raise UserError(
            where,
            f"it cannot be read: {error.strerror}",
            "a readable file",
            "check its permissions and the disk",
        ) from None
    except UnicodeDecodeError:
        raise UserError(where, "a header line that is not UTF-8 text", "CSV text in UTF-8", again) from None
    except (pa.ArrowException, csv.Error) as error:
        raise _content_error(where, table, header, str(error), again) from None


def _content_error(where: str, table: str, header: list[str], message: str, remedy: str) -> UserError:
    row = re.search(r"Row #(\d+)", message)
    line = f"line {row[1]}" if row else "a line"
    widths = re.search(r"Expected (\d+) columns, got (\d+)", message)
    if widths:
        fields = f"{widths[1]} fields, as in the header line"
        return UserError(where, f"{line}: {widths[2]} fields", fields, remedy)
    column = re.search(r"CSV column #(\d+)", message)
    if column is None:
        return UserError(where, "lines that are not CSV records", "one record in each line", remedy)
    name = header[int(column[1])].lower()
    kind = TABLES[table].get(name, "text")
    expected = "UTF-8 text" if kind == "text" else f"{'an' if kind == 'integer' else 'a'} {kind}"
    return UserError(
        where, f"{line}, column {name}: a value that is not {expected}", f"{expected} or nothing", remedy
    )
