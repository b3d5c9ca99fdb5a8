"""What a file says, whatever its form: as text, and as a complaint where it is a table of rows."""

import base64
import binascii
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_COLUMNS = {
    "subject_id",
    "hadm_id",
    "icustay_id",
    "stay_id",
    "patient_id",
    "patientunitstayid",
    "charttime",
    "intime",
    "outtime",
}
ROWS = "table with a row for each stay or patient"
NOTEBOOK = "notebook with outputs"
UNREAD = "not readable by the guard"

_LARGEST = 256 * 2**20
"""Bytes of one file, or of what is packed in it."""
_METADATA = ".snakemake/metadata"
_TABLE_SUFFIXES = {".csv", ".tsv", ".txt"}
_SQLITE, _GZIP, _ZIP, _PARQUET, _ARROW, _NUMPY = (
    b"SQLite format 3\0", b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"ARROW1", b"\x93NUMPY",
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A part of a file: its text, whether that is prose (else raw bytes), and complaints about its form."""

    text: str
    prose: bool = True
    complaints: tuple[str, ...] = ()


def read_pieces(name: str, content: bytes, path: Path | None = None) -> Iterator[Piece]:
    """Read a file's content by its form. path: the file itself, where there is one (SQLite needs it)."""
    if len(content) > _LARGEST:
        yield Piece("", complaints=(UNREAD,))
    elif content.startswith(_SQLITE):
        # The raw bytes too: deleted rows stay in the file until their place is used again.
        yield _raw(content)
        yield from _database(path)
    elif content.startswith(_GZIP):
        yield from _unpacked(name.removesuffix(".gz"), gzip.GzipFile(fileobj=io.BytesIO(content)))
    elif content.startswith(_ZIP):
        yield from _archive(content)
    elif content.startswith(_PARQUET):
        yield from _parquet(content)
    elif content.startswith((_ARROW, _NUMPY)):
        yield Piece(_raw(content).text, prose=False, complaints=(UNREAD,))
    elif name.endswith(".safetensors"):
        length = int.from_bytes(content[:8], "little")
        yield Piece(content[8 : 8 + length].decode("utf-8", "replace"))
    else:
        yield _text(name, content)


def plain_name(path: str) -> str:
    """A path with the names that Snakemake keeps in base64 made readable."""
    head, found, last = path.partition(f"{_METADATA}/")
    try:
        return (
            head + found + base64.urlsafe_b64decode(last.replace("@", "").replace("/", "")).decode()
            if found
            else path
        )
    except (binascii.Error, UnicodeDecodeError):
        return path


def _raw(content: bytes) -> Piece:
    return Piece(content.decode("latin-1"), prose=False)


def _text(name: str, content: bytes) -> Piece:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return _raw(content)
    if "\0" in text:
        return _raw(content)
    suffix = Path(name).suffix.lower()
    if suffix == ".ipynb" and _has_outputs(text):
        return Piece(text, complaints=(NOTEBOOK,))
    if suffix in _TABLE_SUFFIXES and _is_table_of_rows(text):
        return Piece(text, complaints=(ROWS,))
    return Piece(text)


def _is_table_of_rows(text: str) -> bool:
    header = text.partition("\n")[0].lower().replace('"', "")
    columns = [header.split(mark) for mark in ",;\t" if mark in header]
    return any(ROW_COLUMNS & {name.strip() for name in names} for names in columns)


def _has_outputs(text: str) -> bool:
    try:
        return any(cell.get("outputs") for cell in json.loads(text).get("cells", []))
    except (ValueError, AttributeError):
        return False


def _database(path: Path | None) -> Iterator[Piece]:
    if path is None:
        yield Piece("", complaints=(UNREAD,))
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda value: value.decode("utf-8", "replace")
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            for table in tables:
                escaped = table.replace('"', '""')
                rows = connection.execute(f'SELECT * FROM "{escaped}"')
                names = [column[0] for column in rows.description]
                complaints = (ROWS,) if ROW_COLUMNS & {name.lower() for name in names} else ()
                yield Piece("\n".join(_row(names, row) for row in rows), complaints=complaints)
    except sqlite3.Error:
        yield Piece("", complaints=(UNREAD,))


def _row(names: list[str], row: tuple[object, ...]) -> str:
    texts = (value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in row)
    return "\n".join(f"{name}={value}" for name, value in zip(names, texts, strict=True)) + "\n"


def _unpacked(name: str, stream: io.BufferedIOBase) -> Iterator[Piece]:
    """What is packed, up to the limit; never written anywhere."""
    try:
        content = stream.read(_LARGEST + 1)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, RuntimeError):
        yield Piece("", complaints=(UNREAD,))
        return
    packed_again = content.startswith((_SQLITE, _GZIP, _ZIP))
    yield from [Piece("", complaints=(UNREAD,))] if packed_again else read_pieces(name, content)


def _archive(content: bytes) -> Iterator[Piece]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                yield Piece("", complaints=(UNREAD,))
                return
            for member in archive.infolist():
                yield Piece(member.filename)
                with archive.open(member) as stream:
                    yield from _unpacked(member.filename, stream)  # type: ignore[arg-type]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
        yield Piece("", complaints=(UNREAD,))


def _parquet(content: bytes) -> Iterator[Piece]:
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowInvalid):
        yield Piece("", complaints=(UNREAD,))
        return
    by_name = ROW_COLUMNS & {name.lower() for name in table.column_names}
    by_kind = any(
        pa.types.is_temporal(field.type) or pa.types.is_nested(field.type) for field in table.schema
    )
    yield Piece(str(table.schema.metadata or ""), complaints=(ROWS,) if by_name or by_kind else ())
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_integer(column.type):
            yield Piece("\n".join(map(str, np.unique(column.drop_null().to_numpy()).tolist())))
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield Piece("\n".join(f"{name}={value}" for value in column.unique().to_pylist()))
