"""Identifiers of patients and stays are text, whatever the file has."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.runtime.identifiers import (
    decode_identifiers,
    encode_identifiers,
    in_order,
    number_names,
)
from workflow_scripts.sources.contract import read_measurements, read_stays

TRICKY = [
    "007",
    "7",
    "0012",
    "NA",
    "1e5",
    "1.10",
    "True",
    "nan",
    "None",
    "-7",
    "+7",
    "7 ",
    " 7",
    "7.0",
    "٧",
    "床7",
]
"""Names that a reader of CSV files would change, or take for each other."""


@given(st.lists(st.integers(-(10**30), 10**30)))
def test_integers_keep_the_order_of_numbers(numbers: list[int]) -> None:
    assert in_order([str(number) for number in numbers]) == [str(number) for number in sorted(numbers)]


@given(st.lists(st.text() | st.integers().map(str) | st.sampled_from(TRICKY)), st.randoms())
def test_the_order_is_that_of_the_names_and_not_of_the_rows(names: list[str], random) -> None:
    shuffled = random.sample(names, len(names))
    assert in_order(shuffled) == in_order(names)
    assert sorted(in_order(names)) == sorted(names)


@given(st.lists(st.text() | st.sampled_from(TRICKY), min_size=1))
def test_numbered_names_are_those_of_numpy_in_another_order(names: list[str]) -> None:
    distinct, number = number_names(np.array(names, dtype=object))
    assert distinct[number].tolist() == names
    assert sorted(distinct.tolist()) == np.unique(np.array(names, dtype=object)).tolist()


BIG = 2**63 + 1001


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array([1, -1], pa.int8()), ["1", "-1"]),
        (pa.array([BIG, 2**64 - 1], pa.uint64()), ["9223372036854776809", "18446744073709551615"]),
        (pa.array([Decimal(10**30), Decimal(7)], pa.decimal128(38, 0)), ["1" + "0" * 30, "7"]),
        (pa.array(["007", "7"], pa.string()), ["007", "7"]),
        (pa.array(["007", "7"], pa.large_string()), ["007", "7"]),
        (pa.array(["007", "7"]).dictionary_encode(), ["007", "7"]),
        (pa.array([12, 13], pa.int64()).dictionary_encode(), ["12", "13"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_integers_of_any_width_and_every_kind_of_text_are_read_as_they_are_written(
    column: pa.Array, names: list[str], tmp_path: Path
) -> None:
    hours = pa.array(pd.date_range("2130-05-17", periods=3, freq="h").astype("datetime64[us]"))
    cohort = {
        "subject_id": column,
        "icustay_id": column,
        "intime": hours[:2],
        "outtime": hours[1:],
        "died_in_hospital": [False, True],
        "included": [True, True],
        "onset": pa.nulls(2, pa.timestamp("us")),
    }
    vital = pa.array(["spo2", "spo2"])
    pq.write_table(pa.table(cohort), tmp_path / "cohort.parquet")
    pq.write_table(
        pa.table({"icustay_id": column, "charttime": hours[:2], "vital": vital, "value": [96.0, 97.0]}),
        tmp_path / "vitals.parquet",
    )
    stays = read_stays(tmp_path / "cohort.parquet")
    values = read_measurements(tmp_path / "vitals.parquet", "spo2")
    assert sorted(stays.icustay_id) == sorted(stays.subject_id) == sorted(names)
    assert stays.died_in_hospital[stays.icustay_id == names[1]].tolist() == [True]
    assert values.icustay_ids[values.stay].tolist() == names
    assert values.value.tolist() == [96.0, 97.0]


@given(st.lists(st.none() | st.text() | st.sampled_from([*TRICKY, ""]), min_size=1))
def test_no_name_becomes_another_and_the_empty_one_is_none(names: list[str | None]) -> None:
    encoded = encode_identifiers(pa.chunked_array([pa.array(names, pa.string())]))
    assert encoded.to_pylist() == [name or None for name in names]
    known = [name for name in names if name]
    assert (
        decode_identifiers(encode_identifiers(pa.chunked_array([pa.array(known, pa.string())]))).tolist()
        == known
    )
