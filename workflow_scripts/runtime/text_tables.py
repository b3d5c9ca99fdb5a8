"""Reads tables of text (.csv, .psv, .tsv, .gz) strictly: every cell stays as it is written. Imports only pyarrow."""

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

SUFFIXES = (".csv", ".psv", ".tsv", ".txt")

_DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": "tab"}
_BOM_8, _BOMS_16, _GZIP = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff"), b"\x1f\x8b"
_ROWS_AT_ONCE = 65_536


class TextError(Exception):
    """Text that is no table: what was found and expected; never the text itself."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found, self.expected = found, expected


@dataclass(frozen=True)
class TextTable:
    """Some columns of a table of text.

    names: of all columns, in their order; columns: those asked for that are present, string; lines: the line on which
    each row ends; decimal_comma: whether a comma may separate the decimals, because it does not separate columns.
    """

    names: list[str]
    columns: dict[str, pa.ChunkedArray]
    lines: list[int]
    decimal_comma: bool


def is_text_table(path: Path) -> bool:
    """Return whether a file's name is that of a table of text, packed or not."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_text_table(path: Path, wanted: Collection[str]) -> TextTable:
    """Read the wanted columns of a file.

    The text is UTF-8, or UTF-16 with its mark; lines end with LF, CRLF or CR; cells may be quoted, and then hold line
    breaks. What separates the columns is the one of , ; | and tab that gives most of the wanted columns in the header.
    Raises TextError, or OSError where the file cannot be opened.
    """
    text = _decode(path.read_bytes())
    delimiter = max(_DELIMITERS, key=lambda mark: len(set(wanted) & set(_header(text, mark))))
    names = _header(text, delimiter)
    places = {name: names.index(name) for name in wanted if name in names}
    lines: list[int] = []
    chunks: dict[str, list[pa.Array]] = {name: [] for name in places}
    for rows in _batches(text, delimiter, len(names), lines):
        for name, place in places.items():
            chunks[name].append(pa.array([row[place] for row in rows], pa.string()))
    columns = {name: pa.chunked_array(parts, pa.string()) for name, parts in chunks.items()}
    return TextTable(names, columns, lines, delimiter != ",")


def _batches(text: str, delimiter: str, width: int, lines: list[int]) -> Iterator[list[list[str]]]:
    """Give the rows below the header, some thousand at once; the lines where they end are added to `lines`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    header = True
    try:
        for row in reader:
            if not row or header:
                header = header and not row
                continue
            if len(row) != width:
                found = f"line {reader.line_num}: {len(row)} cells where the header has {width}"
                raise TextError(
                    found, f"the same number of cells in every row, separated by {_DELIMITERS[delimiter]}"
                )
            rows.append(row)
            lines.append(reader.line_num)
            if len(rows) == _ROWS_AT_ONCE:
                yield rows
                rows = []
    except csv.Error:
        expected = 'quotation marks around a whole cell, and "" for one within'
        raise TextError(
            f"line {reader.line_num}: a quotation mark out of place or never closed, or a cell of 128 KiB",
            expected,
        ) from None
    yield rows


def _header(text: str, delimiter: str) -> list[str]:
    """Return the names in the first line that is not empty, without blanks around them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [name.strip() for name in next((row for row in reader if row), [])]
    except csv.Error:
        return []


def _decode(content: bytes) -> str:
    """Return a file's text. Raises TextError where it is packed in a damaged way, no Unicode, or holds NUL bytes."""
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise TextError(
                "a damaged gzip file", "a complete gzip file, or one that is not packed"
            ) from None
    encoding = "utf-16" if content.startswith(_BOMS_16) else "utf-8"
    try:
        text = content.removeprefix(_BOM_8).decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TextError(f"line {line}: text that is not {encoding.upper()}", "text in UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TextError(f"line {line}: a NUL character", "text in UTF-8") from None
    if not text.strip():
        raise TextError("an empty file", "a header and rows")
    return text
