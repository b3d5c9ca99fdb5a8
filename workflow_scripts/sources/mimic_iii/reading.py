"""MIMIC-III CSV files as streams of typed Arrow batches, with one clear error for a broken file."""

import csv
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from gzip import BadGzipFile
from io import BufferedIOBase
from pathlib import Path
from typing import IO, TypeVar, cast

import pyarrow as pa
import pyarrow.csv as pacsv
from isal import igzip, igzip_lib, igzip_threaded

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.parallel import map_ahead
from workflow_scripts.sources.mimic_iii.tables import TABLES, match_columns

ARROW_TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    # Ages above 89 are shifted by about 300 years, which 64-bit nanoseconds cannot hold.
    "time": pa.timestamp("us"),
}
_BLOCK_BYTES = 4 << 20
_THREADS = 2
_LONGEST_HEADER = 1 << 16
_LONGEST_LINE = 1 << 24
Result = TypeVar("Result")
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
    return map_table(path, table, columns, lambda batch: batch)


def map_table(
    path: Path, table: str, columns: Sequence[str], work: Callable[[pa.RecordBatch], Result]
) -> Iterator[Result]:
    """Yield work(batch) for the batches of `stream_table`, in their order.

    Blocks of whole lines are parsed and worked on in two threads, while a third one decompresses.
    """
    header = read_header(path, table)
    names = match_columns(path, table, header, columns)
    schema = arrow_schema(table, columns)
    nothing = pa.RecordBatch.from_pylist([], schema=schema)
    conversion = pacsv.ConvertOptions(
        include_columns=list(names.values()),
        column_types={name: ARROW_TYPES[TABLES[table][column]] for column, name in names.items()},
        null_values=[""],
        strings_can_be_null=True,
    )

    def parse(block: memoryview) -> tuple[int, Result]:
        rows = pacsv.read_csv(
            pa.py_buffer(block),
            # One thread for a block, because only then does Arrow know the number of a broken line.
            read_options=pacsv.ReadOptions(use_threads=False, block_size=len(block), column_names=header),
            parse_options=pacsv.ParseOptions(delimiter=",", quote_char='"', double_quote=True),
            convert_options=conversion,
        )
        # A block of empty lines has no batch.
        batch = next(iter(rows.rename_columns(schema.names).to_batches()), nothing)
        return batch.num_rows, work(batch)

    lines = 1  # the header's
    with _explained(path, table, header, lambda: lines), open_bytes(path) as stream:
        for rows, result in map_ahead(parse, _blocks(cast(BufferedIOBase, stream)), _THREADS):
            lines += rows
            yield result


def _blocks(stream: BufferedIOBase) -> Iterator[memoryview]:
    """Yield the lines after the first one, in blocks of whole lines; a block is never written to again."""
    rest = memoryview(b"")
    if b"\r" in stream.readline(_LONGEST_HEADER).rstrip(b"\r\n"):
        raise csv.Error("lines end with a carriage return alone")
    while True:
        data = bytearray(len(rest) + _BLOCK_BYTES)
        buffer = memoryview(data)
        buffer[: len(rest)] = rest
        size = len(rest) + stream.readinto(buffer[len(rest) :])
        if size == len(rest):
            break
        cut = data.rfind(b"\n", len(rest), size) + 1
        if cut:
            yield buffer[:cut]
        rest = buffer[cut:size]
        if len(rest) > _LONGEST_LINE:
            raise csv.Error("a line without end")
    if rest:
        yield rest


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
def _explained(
    path: Path, table: str, header: list[str], lines_before: Callable[[], int] = lambda: 0
) -> Iterator[None]:
    """Turn what readers raise into a UserError; their own messages quote rows and must not get out.

    lines_before: returns the number of lines before the first row that the reader numbers.
    """
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
        raise _content_error(where, table, header, str(error), lines_before(), again) from None


def _content_error(
    where: str, table: str, header: list[str], message: str, lines_before: int, remedy: str
) -> UserError:
    row = re.search(r"Row #(\d+)", message)
    line = f"line {lines_before + int(row[1])}" if row else "a line"
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
