"""Cells of text as times, numbers, integers and true or false, strictly. Imports only pyarrow."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

TIMES = (
    "times as 2024-03-31, 2024-03-31 13:00, 2024-03-31T13:00:59.5, with Z or an offset such as +02:00 at all of them "
    "or at none, in the years 1 to 9999"
)
_NUMBERS = "numbers as 70, 70.5, 7e1 (70,5 where columns are separated by ;), without thousands separators"
_NO_VALUE = ["", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None"]
"""What stands for no number in text."""

_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Years 1 to 9999, in seconds since 1970."""
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ZONE = r"[T ]\d\d(:\d\d){0,2}(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$"


class CellError(Exception):
    """A cell that cannot be converted: its row, counted from 0, what was found and expected; never the cell itself."""

    def __init__(self, row: int, found: str, expected: str) -> None:
        super().__init__(row, found, expected)
        self.row, self.found, self.expected = row, found, expected


def first_true(mask: pa.ChunkedArray) -> int:
    """Return the first row that is true, or -1; null counts as false."""
    return pc.index(mask, pa.scalar(True)).as_py()


def within_years(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return timestamps of any unit in microseconds, those with a zone in UTC; only years 1 to 9999 are taken."""
    moments, unit = column.cast(pa.int64()), column.type.unit
    if unit != "ns":  # These reach from 1677 to 2262 only.
        low, high = (limit * _PER_SECOND[unit] for limit in (_FIRST_SECOND, _LAST_SECOND + 1))
        row = first_true(pc.or_(pc.less(moments, low), pc.greater_equal(moments, high)))
        if row >= 0:
            raise CellError(row, "a time outside the years 1 to 9999", TIMES)
    return moments.cast(pa.timestamp(unit)).cast(pa.timestamp("us"), safe=False)


def parse_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as timestamp[us], in UTC where it says zones. Raises CellError."""
    text = _trimmed(column.cast(pa.string()))
    text = pc.replace_substring_regex(text, r" ([+-]\d\d:?\d\d)$", r"\1")
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d{1,3}(Z|[+-][\d:]+)?$", r"\1\2")
    zoned = pc.match_substring_regex(text, _ZONE)
    with_zone = first_true(zoned) >= 0
    if with_zone and first_true(pc.invert(zoned)) >= 0:
        raise CellError(first_true(pc.invert(zoned)), "a time without zone beside times with one", TIMES)
    kind = pa.timestamp("us", "UTC" if with_zone else None)
    try:
        return within_years(text.cast(kind))
    except pa.ArrowInvalid:
        raise CellError(first_failing(text, kind), "a time that cannot be read", TIMES) from None


def without_nan(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers with null instead of NaN."""
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def parse_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as float64; empty text and what stands for no number is null. Raises CellError."""
    text = _trimmed(column)
    text = pc.if_else(pc.is_in(text, pa.array(_NO_VALUE)), pa.scalar(None, pa.string()), text)
    try:
        return without_nan(text.cast(pa.float64()))
    except pa.ArrowInvalid:
        row = first_failing(text, pa.float64())
        raise CellError(row, "a value that is no number", _NUMBERS) from None


def with_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers with a decimal comma with a point instead; a column with both is refused."""
    comma = pc.match_substring(column, ",")
    wrong = pc.or_(
        pc.and_(comma, pc.invert(pc.match_substring_regex(column, r"^\s*[+-]?\d*,\d*([eE][+-]?\d+)?\s*$"))),
        pc.and_(pc.match_substring(column, "."), pa.scalar(first_true(comma) >= 0)),
    )
    if first_true(wrong) >= 0:
        found = "a number with a thousands separator, or points and commas in one column"
        raise CellError(first_true(wrong), found, _NUMBERS)
    return pc.replace_substring(column, ",", ".")


def parser(kind: pa.DataType, found: str, expected: str) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    """Return a function that casts text to a type; what cannot be cast raises CellError with these words."""

    def parse_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
        text = _trimmed(column)
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            raise CellError(first_failing(text, kind), found, expected) from None

    return parse_column


def _trimmed(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text without blanks around it; empty text becomes null."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def first_failing(column: pa.ChunkedArray, kind: pa.DataType) -> int:
    """Return the first row of a column whose cast fails."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).cast(kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
