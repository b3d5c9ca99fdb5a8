"""The kinds of columns of a table from outside, and their conversion to one type each. Imports only pyarrow."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.runtime.cells import (
    CellError,
    first_failing,
    first_true,
    parse_numbers,
    parse_times,
    parser,
    with_points,
    within_years,
    without_nan,
)
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
        column = with_points(column)
    return _KINDS[kind].parse(column)


def text_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of text as a dictionary of string."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.dictionary(pa.int32(), pa.string()))
    return column.cast(pa.string()).dictionary_encode()


def _identifiers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([encode_identifiers(column)])


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        expected = "integers of at most 64 bits with a sign"
        raise CellError(first_failing(column, pa.int64()), "an integer that is too large", expected) from None


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return without_nan(column.cast(pa.float64(), safe=False))


def _timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"), safe=False)
    if pa.types.is_null(column.type):
        return column.cast(pa.timestamp("us"))
    return within_years(column)


def _durations(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        # Fractions of a microsecond are cut.
        return column.cast(pa.duration("us"), safe=column.type != pa.duration("ns"))
    except pa.ArrowInvalid:
        raise CellError(0, "a duration that is too long", "durations of less than 290,000 years") from None


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return parse_times(column) if _is_text(column.type) else _timestamps(column)


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


def _is_true_or_false(kind: pa.DataType) -> bool:
    return pa.types.is_boolean(kind) or pa.types.is_integer(kind)


def _bools(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type):
        row = first_true(pc.and_(pc.not_equal(column, 0), pc.not_equal(column, 1)))
        if row >= 0:
            raise CellError(row, _NEITHER, _TRUE_OR_FALSE)
    return column.cast(pa.bool_())


_NEITHER, _TRUE_OR_FALSE = "neither true nor false", "true, false, 1 or 0"

_KINDS: Mapping[ColumnKind, _Kind] = {
    "text or integer": _Kind(_is_identifier, _identifiers, _identifiers),
    "integer": _Kind(
        pa.types.is_integer,
        _whole_numbers,
        parser(pa.int64(), "a value that is no integer", "integers of at most 64 bits with a sign"),
    ),
    "number": _Kind(_is_number, _numbers, parse_numbers),
    "true/false": _Kind(_is_true_or_false, _bools, parser(pa.bool_(), _NEITHER, _TRUE_OR_FALSE)),
    "text": _Kind(_is_text, text_dictionary, _identifiers),
    "timestamp without zone": _Kind(_is_local_timestamp, _timestamps, parse_times),
    "duration": _Kind(
        pa.types.is_duration, _durations, parser(pa.duration("us"), "a duration", "no durations in text")
    ),
    "time": _Kind(_is_time, _times, parse_times),
}
