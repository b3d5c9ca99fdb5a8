"""The reader of tables from outside gives what is written, or one message without a cell of it."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.tables import read_table

COLUMNS = {"series": "text or integer", "time": "time", "value": "number"}
HEADER = "series,time,value\n"


def read(path: Path, content: bytes | str | pa.Table, **options) -> list[tuple]:
    """Write content to a file, read it, and return its rows."""
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_table(path, COLUMNS, "correct it", **options)
    assert [str(kind) for kind in table.schema.types] == [
        "dictionary<values=string, indices=int32, ordered=0>", "timestamp[us]", "double",
    ]  # fmt: skip
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def found(path: Path, content: bytes | str | pa.Table, **options) -> str:
    """Write content to a file that must be refused, and return what was found."""
    with pytest.raises(UserError) as refused:
        read(path, content, **options)
    assert refused.value.where == str(path)
    assert refused.value.remedy.endswith("correct it")
    return refused.value.found


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    return tmp_path / "table.parquet"


NAMES = [
    "007",
    "7",
    "0012",
    "NA",
    "1e5",
    "1.10",
    "True",
    "nan",
    "null",
    "None",
    "-",
    "2024-01-01",
    " 7",
    "7 ",
]
ROWS = [(name, datetime(2024, 1, 1, hour), 70.0 + hour) for hour, name in enumerate(NAMES)]
PLAIN = HEADER + "".join(f"{name},{time.isoformat()},{value}\n" for name, time, value in ROWS)


# ---- text


def test_only_times_and_values_are_read_as_such_and_names_stay_as_they_are_typed(csv: Path) -> None:
    assert read(csv, PLAIN) == ROWS


@pytest.mark.parametrize(
    "dialect",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.removesuffix("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.replace("series,time,value", "series, time , value").encode(),
        lambda text: text.replace(",", ";").replace(".0\n", ",0\n").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: text.replace(",", "|").encode(),
        lambda text: gzip.compress(text.encode()),
        lambda text: "\n".join(f"x,{line},y" for line in text.splitlines()).encode(),
        lambda text: ('"' + text.replace(",", '","').replace("\n", '"\n"')[:-1]).encode(),
    ],
    ids=[
        *("BOM", "UTF-16", "UTF-16 BE", "CRLF", "CR", "no last line end", "empty lines", "blanks in header"),
        *("decimal commas", "semicolons", "tabs", "pipes", "gzip", "further columns", "quoted"),
    ],
)
def test_every_dialect_gives_the_same_rows(csv: Path, dialect: Callable[[str], bytes]) -> None:
    assert read(csv, dialect(PLAIN)) == ROWS


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
        | st.sampled_from(NAMES),
        min_size=1,
    )
)
def test_a_name_that_pandas_writes_comes_back_whatever_it_is(tmp_path_factory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    table = pd.DataFrame({"series": names, "time": "2024-01-01", "value": 70})
    table.to_csv(folder / "table.csv", index=False, quoting=1, lineterminator="\n")
    table.to_parquet(folder / "table.parquet")
    kinds = {"series": "text or integer"}
    for path in folder.iterdir():
        assert read_table(path, kinds, "")["series"].to_pylist() == names


REFUSED_TEXT = [
    ("", "an empty file"),
    (b"\xef\xbb\xbf\n\n", "an empty file"),
    ("a,2024-01-01,70\nb,2024-01-02,71\n", "no column series, time, value in the header"),
    ("Series,time,value\n", "no column series in the header (Series instead of series)"),
    ("series,time,value,value\na,2024-01-01,7,8\n", "repeated columns: value"),
    (HEADER + "a,2024-01-01,70\na,2024-01-02,71,\n", "line 3: 4 cells where the header has 3"),
    (HEADER + "a,2024-01-01\n", "line 2: 2 cells where the header has 3"),
    (HEADER + '"a\n1",2024-01-01,70\n"a\n2",x,70\n', "line 5, column time: a time that cannot be read"),
    (HEADER + 'a,2024-01-01,70\n"a,2024-01-01,70\n', "line 3: a quotation mark out of place"),
    (HEADER + '"a"b,2024-01-01,70\n', "line 2: a quotation mark out of place"),
    (HEADER.encode() + b"B\xe4tt,2024-01-01,70\n", "line 2: text that is not UTF-8"),
    (("\ufeff" + HEADER).encode("utf-16-le")[:-1], "line 1: text that is not UTF-16"),
    (HEADER + "a,2024-01-01,7\0\n", "line 2: a NUL character"),
    (gzip.compress(PLAIN.encode())[:-9], "a damaged gzip file"),
    (b"\x1f\x8bnothing", "a damaged gzip file"),
    (HEADER + 'a,2024-01-01,"1,070"\n', "line 2, column value: a value that is no number"),
    (HEADER + 'a,2024-01-01,"70,5"\n', "line 2, column value: a value that is no number"),
    (HEADER + "a,2024-01-01,ERROR\n", "line 2, column value: a value that is no number"),
    (
        "series;time;value\na;2024-01-01;1.070,5\n",
        "line 2, column value: a number with a thousands separator",
    ),
    (
        "series;time;value\na;2024-01-01;70,5\na;2024-01-02;1.070\n",
        "line 3, column value: a number with a th",
    ),
    (HEADER + "a,2024-01-01,70\n,2024-01-02,70\n", "line 3, column series: an empty cell"),
    (HEADER + "a,2024-01-01,70\na,,70\n", "line 3, column time: an empty cell"),
    (HEADER + "a,2024-01-01,70\na,2024-01-01T01:00Z,70\n", "line 2, column time: a time without zone beside"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED_TEXT, ids=[message for _, message in REFUSED_TEXT])
def test_text_that_is_no_table_is_refused_by_line(csv: Path, content: bytes | str, message: str) -> None:
    assert found(csv, content, complete=("series", "time")).startswith(message)


NOT_TIMES = ["2024", "20240101", "202401010000", "1704067200", "01/02/2024", "2024-1-1", "2024-02-30", "noon",
             "2024-01-01T24:00", "2024-01-01T00:00:60", "0000-01-01", "10000-01-01", "2024-W01-1"]  # fmt: skip


@pytest.mark.parametrize("time", NOT_TIMES)
def test_a_refused_time_tells_which_forms_are_accepted(csv: Path, time: str) -> None:
    with pytest.raises(UserError, match="column time: a time") as refused:
        read(csv, f"{HEADER}a,2024-01-01,70\na,{time},70\n")
    assert "line 3" in refused.value.found
    assert "2024-03-31T13:00:59.5, with Z or an offset such as +02:00" in refused.value.expected
    assert time not in refused.value.found


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)), st.sampled_from("T "))
def test_python_s_own_times_of_all_years_are_read(tmp_path_factory, time: datetime, between: str) -> None:
    path = tmp_path_factory.mktemp("times") / "table.csv"
    assert read(path, f"{HEADER}a,{time.isoformat(between)},\n") == [("a", time, None)]


@given(
    st.lists(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), min_size=1),
    st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "UTC"]),
)
def test_times_with_offsets_are_told_in_utc_across_the_change_to_summer_time(
    tmp_path_factory, times: list[datetime], zone: str
) -> None:
    folder = tmp_path_factory.mktemp("zones")
    # Offsets of seconds, which zones had in the 19th century, are no ISO 8601.
    local = [time.replace(microsecond=0, tzinfo=UTC).astimezone(ZoneInfo(zone)) for time in times]
    local = [time for time in local if not time.utcoffset() % timedelta(minutes=1)] or [datetime.now(UTC)]
    expected = [time.astimezone(UTC).replace(tzinfo=None) for time in local]
    text = HEADER + "".join(f"a,{time.isoformat()},1\n" for time in local)
    assert [time for _, time, _ in read(folder / "table.csv", text)] == expected
    column = pa.array(local, pa.timestamp("us", zone))
    table = pa.table({"series": ["a"] * len(local), "time": column, "value": [1.0] * len(local)})
    assert [time for _, time, _ in read(folder / "table.parquet", table)] == expected


def test_an_hour_that_the_clock_skips_is_no_gap(csv: Path) -> None:
    lines = [
        "2024-03-31T00:00:00+01:00",
        "2024-03-31 01:00:00 +0100",
        "2024-03-31T03:00+02",
        "2024-03-31T02:00Z",
    ]
    rows = read(csv, HEADER + "".join(f"a,{line},70\n" for line in lines))
    assert [time.isoformat() for _, time, _ in rows] == [
        "2024-03-30T23:00:00", "2024-03-31T00:00:00", "2024-03-31T01:00:00", "2024-03-31T02:00:00",
    ]  # fmt: skip


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_python_s_own(tmp_path_factory, numbers: list[float]) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    rows = "".join(f"a,2024-01-01,{number!r}\n" for number in numbers)
    assert [value for *_, value in read(folder / "table.csv", HEADER + rows)] == numbers
    commas = (HEADER + rows).replace(",", ";").replace(".", ",")
    assert [value for *_, value in read(folder / "comma.csv", commas)] == numbers


@pytest.mark.parametrize("nothing", ["", " ", "NA", "NaN", "nan", "null", "None", "N/A"])
def test_what_stands_for_no_value_is_empty(csv: Path, nothing: str) -> None:
    assert read(csv, f"{HEADER}a,2024-01-01,{nothing}\n") == [("a", datetime(2024, 1, 1), None)]


# ---- Parquet


def table_of(**columns) -> pa.Table:
    """Two rows, with some columns of another type."""
    plain = {
        "series": ["a", "b"],
        "time": [datetime(2024, 1, 1), datetime(2024, 1, 2)],
        "value": [70.5, 71.0],
    }
    return pa.table({**plain, **columns})


TWO = [("a", datetime(2024, 1, 1), 70.5), ("b", datetime(2024, 1, 2), 71.0)]
TEXT, TIME = pa.array(["a", "b"]), pa.array([datetime(2024, 1, 1), datetime(2024, 1, 2)], pa.timestamp("us"))


@pytest.mark.parametrize(
    "columns",
    [
        *({"series": TEXT.cast(kind)} for kind in (pa.large_string(), pa.string_view())),
        {"series": TEXT.dictionary_encode()},
        {"series": TEXT.cast(pa.large_string()).dictionary_encode()},
        *({"time": TIME.cast(pa.timestamp(unit))} for unit in ("s", "ms", "ns")),
        {"time": TIME.cast(pa.timestamp("us", "UTC"))},
        {"time": TIME.cast(pa.date32())},
        {"time": pa.array(["2024-01-01", "2024-01-02 00:00"])},
        {"time": pa.array(["2024-01-01", "2024-01-02"]).dictionary_encode()},
        {"value": np.array([70.5, 71], np.float16)},
        {"value": np.array([70.5, 71], np.float32)},
        {"value": pa.array([Decimal("70.5"), Decimal("71")])},
        {"value": pa.array([70.5, 71.0]).dictionary_encode()},
        {"ward": ["7 West", "8"], "more": [{"nested": 1}, None]},
    ],
    ids=lambda columns: " ".join(f"{name} {getattr(value, 'type', '')}" for name, value in columns.items()),
)
def test_every_type_of_parquet_that_holds_the_same_gives_the_same(parquet: Path, columns: dict) -> None:
    assert read(parquet, table_of(**columns)) == TWO


def test_rows_of_many_groups_are_numbered_through_and_those_that_are_not_kept_are_not_judged(
    tmp_path: Path,
) -> None:
    kinds = {"vital": "text", "time": "timestamp without zone"}
    seconds = [0, 1, 2, 3, 10**12, 5]
    times = pa.array([1000 * second for second in seconds], pa.timestamp("ms"))
    table = pa.table({"vital": list("aabbab"), "time": times})
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=2)
    kept = read_table(tmp_path / "table.parquet", kinds, "", keep=("vital", "b"))
    assert kept["time"].cast(pa.int64()).to_pylist() == [2_000_000, 3_000_000, 5_000_000]
    assert len(read_table(tmp_path / "table.parquet", kinds, "", keep=("vital", "c"))) == 0
    for keep in (None, ("vital", "a")):
        with pytest.raises(UserError, match="row 5, column time: a time outside the years 1 to 9999"):
            read_table(tmp_path / "table.parquet", kinds, "", keep=keep)


def test_the_96_bit_times_of_spark_and_hive_are_read_in_all_years(parquet: Path) -> None:
    """Arrow's own way to nanoseconds would give other centuries, without a word."""
    years = [datetime(2, 1, 1), datetime(9998, 12, 31)]
    pq.write_table(
        table_of(time=pa.array(years, pa.timestamp("us"))), parquet, use_deprecated_int96_timestamps=True
    )
    assert [time for _, time, _ in read(parquet, parquet.read_bytes())] == years


REFUSED_PARQUET = [
    (table_of().drop_columns("time"), "missing columns: time"),
    (table_of().append_column("value", pa.array([1, 2])), "repeated columns: value"),
    (table_of(series=[1.0, 2.0]), "columns of another type: series (double)"),
    (table_of(value=TEXT, time=[1, 2]), "columns of another type: time (int64), value (string)"),
    (table_of(series=[b"a", b"b"]), "columns of another type: series (binary)"),
    (table_of(time=pa.array([0, 2**62], pa.timestamp("ms"))), "row 2, column time: a time outside the years"),
    (
        table_of(time=pa.array([0, -(2**62)], pa.timestamp("us"))),
        "row 2, column time: a time outside the years",
    ),
    (table_of(time=pa.array([0, None], pa.timestamp("us"))), "row 2, column time: an empty cell"),
    (table_of(series=["a", ""]), "row 2, column series: an empty cell"),
    (table_of(time=["2024-01-01", "soon"]), "row 2, column time: a time that cannot be read"),
]


@pytest.mark.parametrize(("table", "message"), REFUSED_PARQUET, ids=[name for _, name in REFUSED_PARQUET])
def test_parquet_of_another_form_is_refused_by_row(parquet: Path, table: pa.Table, message: str) -> None:
    assert found(parquet, table, complete=("series", "time")).startswith(message)


def test_a_cut_an_empty_and_an_overwritten_file_are_refused(parquet: Path) -> None:
    pq.write_table(table_of(), parquet, write_page_checksum=True, compression="none")
    whole = parquet.read_bytes()
    for content in (b"", whole[:4], whole[:-1], whole[: len(whole) // 2], b"PAR1" + b"x" * 60 + b"PAR1"):
        assert "not a complete Parquet file" in found(parquet, content)
    place = whole.index(np.float64(70.5).tobytes())
    changed = whole[:place] + np.float64(70.25).tobytes() + whole[place + 8 :]
    assert "a damaged one" in found(parquet, changed), "the page's checksum tells"


def test_a_folder_is_refused_and_says_who_writes_one(tmp_path: Path) -> None:
    pq.write_to_dataset(table_of(), tmp_path / "table.parquet", partition_cols=["series"])
    with pytest.raises(UserError, match="one file is expected"):
        read_table(tmp_path / "table.parquet", COLUMNS, "")


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_table(tmp_path / "table.parquet", COLUMNS, "")


def test_parquet_under_the_name_of_a_csv_file_is_read_as_what_it_is(csv: Path) -> None:
    assert read(csv, table_of()) == TWO
