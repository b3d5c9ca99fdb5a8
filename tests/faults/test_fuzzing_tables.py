"""Tables from outside that are damaged or extreme: read as they are, or refused without a cell of theirs.

The quick profile tries some dozen cases of each; the full catalogue (`-m faults`) above ten thousand in all.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from tests.helpers.fuzzing import damaged
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.contract import check_tables, read_measurements, read_patients, read_stays
from workflow_scripts.windows.series import read_series

CANARIES = ["CANARY-4711", "770077001", "88.125625", "2157-03-09"]
"""An identifier of text, one of digits, a value and a date: no message may hold one."""

HOURS = [datetime(2157, 3, 9, 1) + timedelta(hours=hour) for hour in range(24)]
SERIES = "series,time,value\n" + "".join(
    f"{name},{time.isoformat()},{88.125625 if hour % 3 else 70 + hour}\n"
    for name in CANARIES[:2]
    for hour, time in enumerate(HOURS)
)
VITALS = pa.table(
    {
        "icustay_id": CANARIES[:1] * 24 + CANARIES[1:2] * 24,
        "charttime": pa.array(HOURS * 2, pa.timestamp("us")),
        "vital": ["heart_rate", "spo2"] * 24,
        "value": [88.125625, 71.0] * 24,
    }
)
STAYS = pa.table(
    {
        "subject_id": pa.array([770077001, 770077002]),
        "icustay_id": CANARIES[:2],
        "intime": pa.array(HOURS[:2], pa.timestamp("us")),
        "outtime": pa.array(HOURS[-2:], pa.timestamp("us")),
        "died_in_hospital": [True, False],
        "included": [True, True],
        "onset": pa.array([None, HOURS[3]], pa.timestamp("us")),
    }
)


def tell_nothing(action: Callable[[], object]) -> Any:
    """Return what an action gives, or None where it is refused; no message may hold a canary."""
    message = ""
    try:
        return action()
    except UserError as error:
        message = str(error)
    finally:
        assert [canary for canary in CANARIES if canary in message] == []
    return None


def measured(path: Path) -> list[tuple]:
    """Return stay, microseconds and value of every heart rate of a table."""
    found = read_measurements(path, "heart_rate")
    return list(zip(found.icustay_ids[found.stay], found.time.tolist(), found.value.tolist(), strict=True))


@pytest.mark.parametrize("name", ["series.csv", "series.psv", "series.csv.gz"])
def test_damaged_text(attempt, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = SERIES.replace(",", "|") if name.endswith("psv") else SERIES

    def read(content: bytes) -> None:
        path.write_bytes(content)
        tell_nothing(lambda: read_series(path, context=6))

    attempt(damaged(whole.encode(), len(whole)), read, share=0.5)


def same_footer(content: bytes, whole: bytes) -> bool:
    """Whether two files have the same length and the same footer, which no checksum covers."""
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    return len(content) == len(whole) and content[-footer:] == whole[-footer:]


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_damaged_parquet(attempt, tmp_path: Path, compression: str, version: str) -> None:
    """A file that says its checksums gives what it held, wherever within its pages it is damaged."""
    written = {"compression": compression, "data_page_version": version, "write_page_checksum": True}
    contents, expected = {}, {}
    for table, name in ((VITALS, "vitals"), (STAYS, "stays")):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path, row_group_size=30, **written)
        contents[path] = path.read_bytes()
    vitals, stays = contents
    expected = measured(vitals)

    @st.composite
    def cases(draw: st.DrawFn) -> tuple[Path, bytes]:
        path = draw(st.sampled_from([vitals, stays]))
        return path, draw(damaged(contents[path], len(contents[path])))

    def read(case: tuple[Path, bytes]) -> None:
        path, content = case
        path.write_bytes(content)
        if path == vitals:
            found = tell_nothing(lambda: measured(path))
            assert found in (None, expected) or not same_footer(content, contents[path])
        else:
            tell_nothing(lambda: read_stays(path))
            tell_nothing(lambda: read_patients(path))
        tell_nothing(lambda: check_tables(vitals, stays, ["heart_rate"]))
        path.write_bytes(contents[path])

    attempt(cases(), read, share=0.5)


INTEGERS = {
    kind: st.integers(np.iinfo(kind).min, np.iinfo(kind).max) | st.sampled_from([0, np.iinfo(kind).max])
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


@st.composite
def identifiers(draw: st.DrawFn, count: int) -> pa.Array:
    """A column of identifiers of any type that can hold them, and of some that cannot."""
    kind = draw(st.sampled_from([*INTEGERS, "decimal", "string", "large_string", "string_view", "double"]))
    if kind == "double":
        return pa.array(draw(st.lists(st.floats(), min_size=count, max_size=count)), pa.float64())
    cells: st.SearchStrategy[Any] = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if kind == "decimal":
        cells = st.integers(-(10**30), 10**30).map(Decimal)
    elif kind in INTEGERS:
        cells = INTEGERS[kind]
    stored = pa.decimal128(38, 0) if kind == "decimal" else getattr(pa, kind)()
    column = pa.array(draw(st.lists(st.none() | cells, min_size=count, max_size=count)), stored)
    plain = kind == "string_view" or not draw(st.booleans())
    return column if plain else column.dictionary_encode()


@st.composite
def times(draw: st.DrawFn, count: int) -> pa.Array:
    """A column of timestamps of any unit, with cells from the whole of 64 bits."""
    unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
    zone = draw(st.sampled_from([None, None, None, "Europe/Berlin"]))
    # Parquet has no seconds: they are written as milliseconds, which not all of them can be.
    limit = 2**63 // 1000 - 1 if unit == "s" else 2**63 - 1
    usual = st.integers(0, 10**9).map(
        lambda second: second * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    )
    cells = st.lists(st.none() | usual | st.integers(-limit, limit), min_size=count, max_size=count)
    return pa.array(draw(cells), pa.timestamp(unit, zone))


@st.composite
def extreme_tables(draw: st.DrawFn) -> pa.Table:
    """A table of vital signs with columns of extreme cells, of other types, repeated or missing."""
    count = draw(st.integers(0, 6))
    number = draw(st.sampled_from(["float16", "float32", "float64", "int64", "uint64"]))
    cells = INTEGERS.get(number, st.floats(width=int(number[-2:])) if number.startswith("float") else None)
    vital = draw(st.lists(st.sampled_from(["heart_rate", "spo2", None]), min_size=count, max_size=count))
    columns = {
        "icustay_id": draw(identifiers(count)),
        "charttime": draw(times(count)),
        "vital": pa.array(vital, pa.string()),
        "value": pa.array(np.array(draw(st.lists(cells, min_size=count, max_size=count)), number)),
    }
    names = list(columns)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        change = draw(st.sampled_from(["drop", "repeat", "rename"]))
        name = draw(st.sampled_from(names))
        if change == "drop":
            names.remove(name)
        elif change == "repeat":
            names.append(name)
    return pa.Table.from_arrays([columns[name] for name in names], names=names)


def in_microseconds(moment: int, unit: str) -> int:
    """A moment in microseconds since 1970; of nanoseconds the fraction of a microsecond is cut."""
    factor, divisor = {"s": (10**6, 1), "ms": (10**3, 1), "us": (1, 1), "ns": (1, 10**3)}[unit]
    return abs(moment) * factor // divisor * (1 if moment >= 0 else -1)


def in_python(table: pa.Table) -> list[tuple]:
    """The rows of heart rate that belong to a grid, by Python's own integers, decimals and floats."""
    unit = table["charttime"].type.unit
    ids = table["icustay_id"].to_pylist()
    moments = table["charttime"].cast(pa.int64()).to_pylist()
    rows = zip(ids, moments, table["vital"].to_pylist(), table["value"].to_pylist(), strict=True)
    return [
        (str(stay), in_microseconds(moment, unit), float(value))
        for stay, moment, vital, value in rows
        if vital == "heart_rate" and stay not in (None, "") and moment is not None and np.isfinite(value)
    ]


def test_extreme_tables(attempt, tmp_path: Path) -> None:
    """What is read is what Python makes of the same cells; the rest is refused."""
    path = tmp_path / "vitals.parquet"

    def read(table: pa.Table) -> None:
        pq.write_table(table, path, version="2.6")
        found = measured(path)
        assert sorted(found) == sorted(in_python(table))

    attempt(extreme_tables(), read)
