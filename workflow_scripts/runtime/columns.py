"""The kinds of columns of a table from outside, and their conversion to one type each. Imports only pyarrow."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.runtime.identifiers import encode_identifiers

ColumnKind = Literal[
    "text or integer",
    "integer",
    "number",
    "true/false",
    "text",
    "timestamp without zone",
    "time",
    "duration",
]
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


class _Kind(NamedTuple):
    """accepts: whether a type of Arrow is of this kind; convert: of such a column; parse: of a column of text."""

    accepts: Callable[[pa.DataType], bool]
    convert: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    parse: Callable[[pa.ChunkedArray], pa.ChunkedArray]


def is_of_kind(kind: ColumnKind, stored: pa.DataType) -> bool:
    """Return whether a stored type is of a kind; a dictionary is of its values' kind, and nulls alone are of any."""
    plain = stored.value_type if pa.types.is_dictionary(stored) else stored
    return pa.types.is_null(plain) or _KINDS[kind].accepts(plain)


def convert(column: pa.ChunkedArray, kind: ColumnKind) -> pa.ChunkedArray:
    """Return a typed column as its kind's one type, without dictionaries except for text.

    text, text or integer: dictionary of string; integer: int64; number: float64, NaN becomes null; true/false: bool;
    times: timestamp[us], those with a zone in UTC; duration: duration[us]. Raises CellError.
    """
    if pa.types.is_dictionary(column.type) and not _is_text(column.type.value_type):
        column = column.cast(column.type.value_type)
    return _KINDS[kind].convert(column)


def parse(column: pa.ChunkedArray, kind: ColumnKind, decimal_comma: bool = False) -> pa.ChunkedArray:
    """Return a column of text as its kind's one type (see convert); empty text is null. Raises CellError."""
    if kind == "number" and decimal_comma:
        column = _with_points(column)
    return _KINDS[kind].parse(column)


def text_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of text as a dictionary of string."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.dictionary(pa.int32(), pa.string()))
    return column.cast(pa.string()).dictionary_encode()


def first_true(mask: pa.ChunkedArray) -> int:
    """Return the first row that is true, or -1; null counts as false."""
    return pc.index(mask, pa.scalar(True)).as_py()


def _identifiers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([encode_identifiers(column)])


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        expected = "integers of at most 64 bits with a sign"
        raise CellError(
            _first_failing(column, pa.int64()), "an integer that is too large", expected
        ) from None


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    numbers = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def _timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"), safe=False)
    if pa.types.is_null(column.type):
        return column.cast(pa.timestamp("us"))
    return _within_years(column)


def _durations(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        # Fractions of a microsecond are cut.
        return column.cast(pa.duration("us"), safe=column.type != pa.duration("ns"))
    except pa.ArrowInvalid:
        raise CellError(0, "a duration that is too long", "durations of less than 290,000 years") from None


def _within_years(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return timestamps of any unit in microseconds, those with a zone in UTC; only years 1 to 9999 are taken."""
    moments, unit = column.cast(pa.int64()), column.type.unit
    if unit != "ns":  # These reach from 1677 to 2262 only.
        low, high = (limit * _PER_SECOND[unit] for limit in (_FIRST_SECOND, _LAST_SECOND + 1))
        row = first_true(pc.or_(pc.less(moments, low), pc.greater_equal(moments, high)))
        if row >= 0:
            raise CellError(row, "a time outside the years 1 to 9999", TIMES)
    return moments.cast(pa.timestamp(unit)).cast(pa.timestamp("us"), safe=False)


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return _parsed_times(column) if _is_text(column.type) else _timestamps(column)


def _parsed_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    text = _trimmed(column.cast(pa.string()))
    text = pc.replace_substring_regex(text, r" ([+-]\d\d:?\d\d)$", r"\1")
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d{1,3}(Z|[+-][\d:]+)?$", r"\1\2")
    zoned = pc.match_substring_regex(text, _ZONE)
    with_zone = first_true(zoned) >= 0
    if with_zone and first_true(pc.invert(zoned)) >= 0:
        raise CellError(first_true(pc.invert(zoned)), "a time without zone beside times with one", TIMES)
    kind = pa.timestamp("us", "UTC" if with_zone else None)
    try:
        return _within_years(text.cast(kind))
    except pa.ArrowInvalid:
        raise CellError(_first_failing(text, kind), "a time that cannot be read", TIMES) from None


def _parsed_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = _trimmed(column)
    text = pc.if_else(pc.is_in(text, pa.array(_NO_VALUE)), pa.scalar(None, pa.string()), text)
    try:
        return _numbers(text.cast(pa.float64()))
    except pa.ArrowInvalid:
        row = _first_failing(text, pa.float64())
        raise CellError(row, "a value that is no number", _NUMBERS) from None


def _with_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
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


def _parsed(kind: pa.DataType, found: str, expected: str) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    def parse_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
        text = _trimmed(column)
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            raise CellError(_first_failing(text, kind), found, expected) from None

    return parse_column


def _trimmed(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text without blanks around it; empty text becomes null."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _first_failing(column: pa.ChunkedArray, kind: pa.DataType) -> int:
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


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_identifier(kind: pa.DataType) -> bool:
    return _is_text(kind) or pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _is_local_timestamp(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is None


def _is_time(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind) or _is_text(kind)


def _as_bool(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.bool_())


_KINDS: Mapping[ColumnKind, _Kind] = {
    "text or integer": _Kind(_is_identifier, _identifiers, _identifiers),
    "integer": _Kind(
        pa.types.is_integer,
        _whole_numbers,
        _parsed(pa.int64(), "a value that is no integer", "integers of at most 64 bits with a sign"),
    ),
    "number": _Kind(_is_number, _numbers, _parsed_numbers),
    "true/false": _Kind(
        pa.types.is_boolean, _as_bool, _parsed(pa.bool_(), "neither true nor false", "true, false, 1 or 0")
    ),
    "text": _Kind(_is_text, text_dictionary, text_dictionary),
    "timestamp without zone": _Kind(_is_local_timestamp, _timestamps, _parsed_times),
    "duration": _Kind(
        pa.types.is_duration, _durations, _parsed(pa.duration("us"), "a duration", "no durations in text")
    ),
    "time": _Kind(_is_time, _times, _parsed_times),
}
