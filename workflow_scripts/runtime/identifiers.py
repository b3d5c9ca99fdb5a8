"""Identifiers of patients and stays are text: `007` and `7` are two, and none is ever calculated with."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_INTEGER = re.compile(r"-?[1-9][0-9]{0,99}|0", re.ASCII)


def in_order(names: list[str]) -> list[str]:
    """Return identifiers in the order that all tables have: integers by their value, then other text by code point.

    An integer is one that reads the same when it is written again: `7` and `-7`, but neither `007` nor `+7`.
    """
    return sorted(names, key=_place)


def _place(name: str) -> tuple[bool, int, str]:
    return (False, int(name), "") if _INTEGER.fullmatch(name) else (True, 0, name)


def number_names(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct identifiers in order, str [K], and which of them each row has, int64 [N].

    names: str [N]. The same as np.unique with return_inverse, in the order of `in_order`.
    """
    encoded = pa.array(names, pa.string()).dictionary_encode()
    found = encoded.dictionary.to_pylist()
    ordered = in_order(found)
    place = {name: number for number, name in enumerate(ordered)}
    place_of_code = np.fromiter((place[name] for name in found), np.int64, len(found))
    return np.array(ordered, dtype=object), place_of_code[encoded.indices.to_numpy()]


def encode_identifiers(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of integers, whole decimals or text (plain, large, dictionary) as text, encoded.

    Null and the empty text are null.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    names = encoded.dictionary.cast(pa.string())
    codes = encoded.indices
    empty = names.index("").as_py()
    if empty >= 0:
        codes = pc.if_else(pc.equal(codes, empty), None, codes)
    return pa.DictionaryArray.from_arrays(codes, names)


def decode_identifiers(encoded: pa.DictionaryArray) -> np.ndarray:
    """Return the identifier of each row, an array of str [N]; there must be no null."""
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    return names[encoded.indices.to_numpy()]
