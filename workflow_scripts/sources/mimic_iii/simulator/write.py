"""Tables of a MIMIC-III folder as gzipped CSV, written piece by piece with the same bytes every time."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from isal import igzip, igzip_threaded

from workflow_scripts.sources.mimic_iii.tables import TABLES

_CSV_TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    # Whole seconds, so that times are written without a fraction.
    "time": pa.timestamp("s"),
}
_LEVEL = 1
_BATCH_ROWS = 1 << 16

Column: TypeAlias = np.ndarray | pa.Array | str | int | float
"""Values of one column; a scalar fills it. NaN and NaT are written as nothing."""


def choose(texts: list[str] | list[str | None], codes: np.ndarray) -> pa.Array:
    """Return texts[codes] as an Arrow array; a code of -1 is null."""
    return pa.array(texts, pa.string()).take(pa.array(codes, mask=codes < 0))


def times(seconds: np.ndarray) -> np.ndarray:
    """Return seconds since 1970 as times."""
    return seconds.astype("datetime64[s]")


def dates(seconds: np.ndarray) -> np.ndarray:
    """Return the midnights before seconds since 1970."""
    return times(seconds // 86400 * 86400)


class TableWriter:
    """One open table: adds ROW_ID and the columns that are not given (null), in the release's order."""

    def __init__(self, table: str, stream: IO[bytes]) -> None:
        self.table, self.rows = table, 0
        self._schema = pa.schema([(name, _CSV_TYPES[kind]) for name, kind in TABLES[table].items()])
        upper = pa.schema([(field.name.upper(), field.type) for field in self._schema])
        self._writer = pacsv.CSVWriter(
            stream, upper, write_options=pacsv.WriteOptions(batch_size=_BATCH_ROWS)
        )

    def write(self, columns: Mapping[str, Column], last_subject: int | None = None) -> None:
        """Append rows; with last_subject, only those of subjects up to it."""
        size = next(len(values) for values in columns.values() if isinstance(values, np.ndarray | pa.Array))
        keep = None
        if last_subject is not None and "subject_id" in columns:
            keep = pa.array(np.asarray(columns["subject_id"]) <= last_subject)
            size = pc.sum(keep).as_py() or 0
        row_id = pa.array(np.arange(self.rows + 1, self.rows + size + 1))
        arrays = [row_id]
        for field in list(self._schema)[1:]:
            arrays.append(_column(columns.get(field.name), field.type, size, keep))
        names = [name.upper() for name in self._schema.names]
        self._writer.write_table(pa.table(arrays, names=names))
        self.rows += size

    def close(self) -> None:
        """Write the header if no row was written, and end the CSV text."""
        self._writer.close()


def _column(values: Column | None, kind: pa.DataType, size: int, keep: pa.Array | None) -> pa.Array:
    if values is None:
        return pa.nulls(size, kind)
    if isinstance(values, str | int | float):
        return pa.repeat(pa.scalar(values, kind), size)
    array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    if keep is not None:
        array = array.filter(keep)
    return array.cast(kind)


@contextmanager
def open_tables(folder: Path, tables: list[str], threaded: str) -> Iterator[dict[str, TableWriter]]:
    """Open TABLE.csv.gz of every table; the largest, `threaded`, is compressed in a thread of its own.

    The gzip headers hold neither a time nor a name.
    """
    with ExitStack() as stack:
        writers = {}
        for table in tables:
            path = folder / f"{table.upper()}.csv.gz"
            if table == threaded:
                stream = igzip_threaded.open(path, "wb", compresslevel=_LEVEL, threads=1)
            else:
                raw = stack.enter_context(path.open("wb"))
                stream = igzip.IGzipFile("", "wb", compresslevel=_LEVEL, fileobj=raw, mtime=0)
            stack.enter_context(stream)
            writers[table] = TableWriter(table, cast(IO[bytes], stream))
            stack.callback(writers[table].close)
        yield writers
