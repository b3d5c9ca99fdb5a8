"""Extraction: rows one by one on a tiny folder, whole tables against pandas on the real demo, bad input."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.tiny_folder import SMALL, chart_row
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii import reading, vitals
from workflow_scripts.sources.mimic_iii.extraction import CHART_COLUMNS, KEPT_COLUMNS, extract_events
from workflow_scripts.sources.mimic_iii.items import clinical_itemids, load_vital_signs
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters, SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic
from workflow_scripts.sources.mimic_iii.tables import EVENT_TABLES

WriteFolder = Callable[..., Path]
DEFAULT = ExtractionParameters()
KEYS = ["subject_id", "icustay_id", "charttime", "vital"]


def extracted(raw: Path, parameters: ExtractionParameters = DEFAULT) -> tuple[pd.DataFrame, dict[str, int]]:
    """The vital signs and their counts."""
    counts = extract_events(raw, raw.parent / "events", parameters)
    return pd.read_parquet(raw.parent / "events" / "vitals.parquet"), counts["vitals"]


def test_a_heart_rate_arrives_with_its_identifiers_time_and_unit(write_folder: WriteFolder) -> None:
    table, _ = extracted(write_folder())
    assert table.to_dict("records") == [
        {"subject_id": 7, "hadm_id": 70, "icustay_id": 700}
        | {"charttime": pd.Timestamp("2100-01-01 12:00"), "vital": "heart_rate", "value": 80.0}
    ]


def test_headers_may_be_lower_case_and_files_gzipped(write_folder: WriteFolder) -> None:
    table, _ = extracted(write_folder(upper=False, zipped=True))
    assert len(table) == 1


def test_quoted_commas_and_line_ends_do_not_shift_columns(write_folder: WriteFolder) -> None:
    rows = [chart_row(itemid=224032, value="Arm, Right Lower", valuenum=""), chart_row(value='8"0,')]
    table, counts = extracted(write_folder(chartevents=rows))
    assert table["value"].tolist() == [80.0]
    assert counts["dropped_not_a_vital_sign"] == 1


@pytest.mark.parametrize("size", [1, 97, 1000])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_the_size_of_a_block_and_the_files_end_change_nothing(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch, size: int, end: str
) -> None:
    rows = [chart_row(valuenum=60 + i, charttime=f"2100-01-01 {i:02}:00:00") for i in range(20)]
    rows.insert(7, chart_row(itemid=723, value='Arm, "left"'))
    raw = write_folder(chartevents=rows)
    whole, counts = extracted(raw)
    path = raw / "CHARTEVENTS.csv"
    path.write_text(path.read_text().rstrip() + end)
    monkeypatch.setattr(reading, "_BLOCK_BYTES", size)
    blocks, block_counts = extracted(raw)
    pd.testing.assert_frame_equal(whole, blocks)
    assert (len(whole), counts) == (20, block_counts)
    chart = pq.read_table(raw.parent / "events" / "clinical_chart.parquet")
    assert chart["value"].to_pylist()[7] == 'Arm, "left"'


def test_every_row_is_kept_or_dropped_for_one_reason(write_folder: WriteFolder) -> None:
    rows = [
        chart_row(),
        chart_row(),
        chart_row(error=1),
        chart_row(valuenum=""),
        chart_row(valuenum="nan"),
        chart_row(charttime=""),
        chart_row(icustay_id=""),
        chart_row(icustay_id=701),
        chart_row(valuenum=300),
        chart_row(itemid=1),
        chart_row(itemid=646, valuenum=100),
        chart_row(itemid=646, valuenum=100.5),
    ]
    table, counts = extracted(write_folder(chartevents=rows))
    assert table["vital"].tolist() == ["heart_rate", "spo2"]
    assert counts == {
        "read": 12,
        "kept": 2,
        "derived": 0,
        "dropped_not_a_vital_sign": 1,
        "dropped_marked_as_error": 1,
        "dropped_no_value": 2,
        "dropped_no_time": 1,
        "dropped_no_icu_stay": 1,
        "dropped_unknown_icu_stay": 1,
        "dropped_implausible": 2,
        "dropped_duplicate": 1,
        "dropped_inconsistent_blood_pressure": 0,
    }


def test_implausible_values_stay_when_asked(write_folder: WriteFolder) -> None:
    raw = write_folder(chartevents=[chart_row(valuenum=999999)])
    table, _ = extracted(raw, ExtractionParameters(plausible_ranges=False))
    assert table["value"].tolist() == [999999]


@pytest.mark.parametrize(("itemid", "charted"), [(678, 98.6), (223761, 98.6), (676, 37), (223762, 37)])
def test_temperatures_of_both_units_become_degrees_celsius(
    write_folder: WriteFolder, itemid: int, charted: float
) -> None:
    table, _ = extracted(write_folder(chartevents=[chart_row(itemid=itemid, valuenum=charted)]))
    assert table["vital"].tolist() == ["temperature"]
    assert table["value"].tolist() == pytest.approx([37.0])


def test_a_celsius_item_that_holds_fahrenheit_is_implausible(write_folder: WriteFolder) -> None:
    rows = [chart_row(itemid=676, valuenum=98.6), chart_row()]
    table, _ = extracted(write_folder(chartevents=rows))
    assert table["vital"].tolist() == ["heart_rate"]


def test_mean_pressure_is_derived_within_one_time_and_device(write_folder: WriteFolder) -> None:
    rows = [
        chart_row(itemid=51, valuenum=120),  # arterial, systolic
        chart_row(itemid=8368, valuenum=60),  # arterial, diastolic: 60 + (120 - 60) / 3 = 80
        chart_row(itemid=455, valuenum=130),  # cuff, systolic, without a diastolic
        chart_row(itemid=8441, valuenum=70, charttime="2100-01-01 13:00:00"),
    ]
    table, _ = extracted(write_folder(chartevents=rows))
    derived = table[table["vital"] == "mean_blood_pressure_derived"]
    assert derived["value"].tolist() == [80.0]
    assert len(table) == 5


@pytest.mark.parametrize(
    ("systolic", "diastolic", "mean"),
    [(64, 60, None), (50, 60, None), (120, 60, 120), (120, 60, 60), (120, 60, 55)],
)
def test_inconsistent_pressures_go_wholly_unless_asked_to_stay(
    write_folder: WriteFolder, systolic: float, diastolic: float, mean: float | None
) -> None:
    rows = [chart_row(itemid=51, valuenum=systolic), chart_row(itemid=8368, valuenum=diastolic), chart_row()]
    rows += [] if mean is None else [chart_row(itemid=52, valuenum=mean)]
    raw = write_folder(chartevents=rows)
    table, counts = extracted(raw)
    assert table["vital"].tolist() == ["heart_rate"]
    assert counts["dropped_inconsistent_blood_pressure"] == len(rows) - 1
    table, _ = extracted(raw, ExtractionParameters(consistent_blood_pressure=False))
    assert len(table) == len(rows) + 1


def test_a_consistent_triple_just_inside_the_limits_stays(write_folder: WriteFolder) -> None:
    rows = [chart_row(itemid=51, valuenum=65), chart_row(itemid=8368, valuenum=60)]
    rows.append(chart_row(itemid=52, valuenum=61))
    assert len(extracted(write_folder(chartevents=rows))[0]) == 4


def test_ages_above_89_keep_their_birth_three_centuries_ago(write_folder: WriteFolder) -> None:
    raw = write_folder()
    extract_events(raw, raw.parent / "events", DEFAULT)
    dob = pq.read_table(raw.parent / "events" / "patients.parquet")["dob"][0].as_py()
    assert (dob.year, dob.month, dob.day) == (1800, 1, 1)


def test_codes_keep_their_leading_zeros(write_folder: WriteFolder) -> None:
    raw = write_folder()
    extract_events(raw, raw.parent / "events", DEFAULT)
    codes = pq.read_table(raw.parent / "events" / "diagnoses_icd.parquet")["icd9_code"].to_pylist()
    assert codes == ["0389"]


def test_many_buckets_give_the_same_sorted_table_as_one(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays = [
        {"subject_id": subject, "hadm_id": 70 + subject, "icustay_id": 700 - subject}
        | {"dbsource": "carevue", "intime": "2100-01-01 00:00:00", "outtime": "2100-01-04 00:00:00"}
        for subject in range(30, 0, -1)
    ]
    rows = [
        chart_row(icustay_id=stay["icustay_id"], valuenum=60 + hour, charttime=f"2100-01-01 {hour:02}:00:00")
        for hour in range(23, 0, -1)
        for stay in stays
    ]
    raw = write_folder(icustays=stays, chartevents=rows)
    whole, counts = extracted(raw)
    size = (raw / "CHARTEVENTS.csv").stat().st_size
    monkeypatch.setattr(vitals, "_BUCKET_BYTES", {".csv": size // 7})
    spread, spread_counts = extracted(raw)
    pd.testing.assert_frame_equal(whole, spread)
    assert counts == spread_counts
    pd.testing.assert_frame_equal(whole, whole.sort_values(KEYS, ignore_index=True))


def test_the_counts_are_in_the_vitals_schema_metadata(write_folder: WriteFolder) -> None:
    raw = write_folder()
    _, counts = extracted(raw)
    schema = pq.read_schema(raw.parent / "events" / "vitals.parquet")
    assert json.loads(schema.metadata[b"vitalora"]) == {"counts": counts}
    assert schema.remove_metadata() == vitals.VITALS_SCHEMA


# ---- the real demo, recomputed with pandas


@pytest.fixture(scope="module")
def demo_events(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    events = tmp_path_factory.mktemp("demo") / "events"
    extract_events(demo_folder, events, DEFAULT)
    return events


def pandas_table(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{table.upper()}.csv.gz", low_memory=False).rename(columns=str.lower)


def pandas_vitals(folder: Path) -> pd.DataFrame:
    """The same table, written independently: whole file in memory, one step after the other."""
    items = {item.itemid: (name, item) for name, c in load_vital_signs().items() for item in c.items}
    columns = ["subject_id", "hadm_id", "icustay_id", "itemid", "charttime", "valuenum", "error"]
    chart = pandas_table(folder, "chartevents")[columns]
    chart = chart[chart["itemid"].isin(items) & (chart["error"] != 1) & chart["icustay_id"].notna()]
    known = set(pandas_table(folder, "icustays")["icustay_id"])
    chart = chart[chart["valuenum"].notna() & chart["icustay_id"].isin(known)]
    plausible = [
        items[i][1].plausible.holds(v) for i, v in zip(chart["itemid"], chart["valuenum"], strict=True)
    ]
    chart = chart[plausible].copy()
    chart["vital"] = chart["itemid"].map(lambda itemid: items[itemid][0])
    chart["device"] = chart["itemid"].map(lambda itemid: items[itemid][1].device)
    fahrenheit = chart["itemid"].isin([678, 223761])
    chart["value"] = chart["valuenum"].mask(fahrenheit, (chart["valuenum"] - 32) / 1.8).astype("float32")
    # pandas' own parser yields nanoseconds, which end in the year 2262.
    chart["charttime"] = chart["charttime"].to_numpy(dtype="datetime64[us]")
    group = ["subject_id", "hadm_id", "icustay_id", "charttime", "device"]
    chart = chart.drop_duplicates([*group, "vital", "value"])
    pressures = chart.dropna(subset="device").pivot_table(
        index=group, columns="vital", values="value", aggfunc="median"
    )
    systolic, diastolic, mean = (
        pressures[f"{kind}_blood_pressure"] for kind in ("systolic", "diastolic", "mean")
    )
    wrong = (systolic <= diastolic + 4) | (systolic <= mean) | (diastolic >= mean)
    bad = set(pressures.index[wrong])
    chart = chart[[tuple(row) not in bad for row in chart[group].itertuples(index=False)]]
    derived = (diastolic + (systolic - diastolic) / 3)[~wrong].dropna().astype("float32")
    extra = derived.rename("value").reset_index().assign(vital="mean_blood_pressure_derived")
    columns = ["subject_id", "hadm_id", "icustay_id", "charttime", "vital", "value"]
    both = pd.concat([chart[columns], extra[columns]]).astype({"hadm_id": "int64", "icustay_id": "int64"})
    return both.drop_duplicates().sort_values([*KEYS, "value"], ignore_index=True)


@pytest.mark.demo
def test_the_demos_vitals_are_those_that_pandas_finds(demo_folder: Path, demo_events: Path) -> None:
    ours = pd.read_parquet(demo_events / "vitals.parquet")
    theirs = pandas_vitals(demo_folder)
    assert ours["vital"].value_counts().to_dict() == theirs["vital"].value_counts().to_dict()
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It has what the demo lacks: rows without a stay, damped lines, many error flags, years beyond 2262."""
    raw = tmp_path_factory.mktemp("simulated") / "raw"
    raw.mkdir()
    simulate_mimic(SimulatorParameters(patients=40), raw)
    extract_events(raw, raw.parent / "events", DEFAULT)
    return raw


def test_a_simulated_folders_vitals_are_those_that_pandas_finds(simulated: Path) -> None:
    vitals = simulated.parent / "events" / "vitals.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(vitals), pandas_vitals(simulated), rtol=1e-6)
    counts = json.loads(pq.read_schema(vitals).metadata[b"vitalora"])["counts"]
    for reason in ("marked_as_error", "no_value", "no_icu_stay", "implausible", "duplicate"):
        assert counts[f"dropped_{reason}"] > 0


def pandas_rows(folder: Path, table: str, columns: list[str]) -> pd.DataFrame:
    """The rows that the dictionary's items select, all as texts, empty fields as None."""
    rows = pd.read_csv(folder / f"{table.upper()}.csv.gz", dtype=str, keep_default_na=False)
    rows = rows.rename(columns=str.lower)[columns]
    if "itemid" in columns:
        rows = rows[rows["itemid"].astype("int64").isin(clinical_itemids(table))]
    return rows.mask(rows == "", other=None).reset_index(drop=True)


def as_texts(rows: pa.Table) -> pd.DataFrame:
    """The values as the CSV has them: whole seconds, nothing for null."""
    seconds = [field.with_type(pa.timestamp("s")) if pa.types.is_timestamp(field.type) else field
               for field in rows.schema]  # fmt: skip
    rows = rows.cast(pa.schema(seconds))
    return pd.DataFrame({name: rows[name].cast(pa.string()).to_pylist() for name in rows.column_names})


COPIES = {table: (table, columns) for table, columns in KEPT_COLUMNS.items()}
COPIES["clinical_chart"] = ("chartevents", CHART_COLUMNS)


def check_copy(raw: Path, events: Path, table: str) -> None:
    """The events table holds what pandas selects, in the file's order and with the counts of its rows."""
    source, columns = COPIES[table]
    ours = pq.read_table(events / f"{table}.parquet")
    theirs = pandas_rows(raw, source, columns)
    numbers = [field.name for field in ours.schema if pa.types.is_floating(field.type)]
    for column in numbers:
        pd.testing.assert_series_equal(
            ours[column].to_pandas(), theirs[column].astype(float), check_names=False
        )
    pd.testing.assert_frame_equal(as_texts(ours.drop_columns(numbers)), theirs.drop(columns=numbers))
    counts = json.loads(ours.schema.metadata[b"vitalora"])["counts"]
    read = len(pd.read_csv(raw / f"{source.upper()}.csv.gz", usecols=[0]))
    assert (counts["read"], counts["kept"]) == (read, len(theirs))
    assert counts.get("dropped_other_item", 0) == read - len(theirs)


@pytest.mark.demo
@pytest.mark.parametrize("table", COPIES)
def test_the_demos_tables_are_those_that_pandas_selects(
    demo_folder: Path, demo_events: Path, table: str
) -> None:
    check_copy(demo_folder, demo_events, table)
    assert pq.read_metadata(demo_events / f"{table}.parquet").num_rows > 0


@pytest.mark.parametrize("table", COPIES)
def test_a_simulated_folders_tables_are_those_that_pandas_selects(simulated: Path, table: str) -> None:
    check_copy(simulated, simulated.parent / "events", table)


def test_every_events_table_is_written_with_its_types(write_folder: WriteFolder) -> None:
    raw = write_folder()
    extract_events(raw, raw.parent / "events", DEFAULT)
    assert {path.stem for path in (raw.parent / "events").glob("[!.]*")} == set(EVENT_TABLES)
    chart = pq.read_schema(raw.parent / "events" / "clinical_chart.parquet")
    assert {field.name: str(field.type) for field in chart} == {
        "subject_id": "int64",
        "hadm_id": "int64",
        "icustay_id": "int64",
        "charttime": "timestamp[us]",
        "itemid": "int64",
        "value": "string",
        "valuenum": "double",
        "error": "int64",
    }


def test_a_row_can_be_a_vital_sign_and_clinical_or_neither(write_folder: WriteFolder) -> None:
    # Heart rate is both; the verbal score of an intubated patient is a word; a skin site is neither.
    rows = [
        chart_row(icustay_id="", error=1),
        chart_row(itemid=723, value="1.0 ET/Trach", valuenum=1),
        chart_row(itemid=224032, value="Arm, Right Lower", valuenum=""),
    ]
    raw = write_folder(chartevents=rows)
    counts = extract_events(raw, raw.parent / "events", DEFAULT)
    chart = pq.read_table(raw.parent / "events" / "clinical_chart.parquet").to_pylist()
    assert [(row["icustay_id"], row["itemid"], row["value"], row["error"]) for row in chart] == [
        (None, 211, "80", 1),
        (700, 723, "1.0 ET/Trach", None),
    ]
    assert counts["clinical_chart"] == {"read": 3, "kept": 2, "dropped_other_item": 1}
    assert counts["vitals"]["dropped_not_a_vital_sign"] == 2


def test_items_that_the_dictionary_lacks_are_dropped_and_counted(write_folder: WriteFolder) -> None:
    raw = write_folder()
    counts = extract_events(raw, raw.parent / "events", DEFAULT)
    assert pq.read_table(raw.parent / "events" / "labevents.parquet")["itemid"].to_pylist() == [50821]
    assert counts["labevents"] == {"read": 2, "kept": 1, "dropped_other_item": 1}


# ---- bad input


def failure(raw: Path) -> UserError:
    """The error of an extraction, after checking that it left nothing behind."""
    events = raw.parent / "events"
    with pytest.raises(UserError) as raised:
        extract_events(raw, events, DEFAULT)
    assert not events.exists() or list(events.iterdir()) == []
    return raised.value


def test_missing_tables_are_named_all_at_once(write_folder: WriteFolder) -> None:
    error = failure(write_folder(patients=None, labevents=None, chartevents=None))
    assert "PATIENTS, LABEVENTS, CHARTEVENTS" in error.found


@pytest.mark.parametrize("table", ["icustays", "chartevents", "procedures_icd", "labevents"])
def test_an_empty_table_is_refused(write_folder: WriteFolder, table: str) -> None:
    error = failure(write_folder(**{table: []}))
    assert (table.upper() in error.where, error.found) == (True, "a header and no row")


def test_a_file_of_zero_bytes_is_refused(write_folder: WriteFolder) -> None:
    raw = write_folder()
    (raw / "PATIENTS.csv").write_bytes(b"")
    assert "no column subject_id" in failure(raw).found


def test_a_missing_column_is_refused(write_folder: WriteFolder) -> None:
    raw = write_folder()
    path = raw / "CHARTEVENTS.csv"
    path.write_text(path.read_text().replace("VALUENUM", "VALUENUMBER"))
    assert "no column valuenum" in failure(raw).found


@pytest.mark.parametrize(
    ("change", "found"), [("80,,,", "line 3: 13 fields"), ("80,,,,,,,", "line 3: 17 fields")]
)
def test_a_line_with_a_wrong_number_of_fields_is_located(
    write_folder: WriteFolder, change: str, found: str
) -> None:
    raw = write_folder(chartevents=[chart_row(), chart_row()])
    path = raw / "CHARTEVENTS.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[1].replace("80,,,,,", change)
    path.write_text("\n".join(lines) + "\n")
    error = failure(raw)
    assert (error.found, error.expected) == (found, "15 fields, as in the header line")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_broken_line_is_located_beyond_the_first_block(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 200)
    rows = [chart_row(value="Arm, Right") for _ in range(99)]
    rows[77] = chart_row(valuenum="8O")
    error = failure(write_folder(zipped=zipped, chartevents=rows))
    assert error.found == "line 79, column valuenum: a value that is not a number"


def test_lines_that_end_with_a_carriage_return_alone_are_refused(write_folder: WriteFolder) -> None:
    raw = write_folder()
    path = raw / "CHARTEVENTS.csv"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\r"))
    assert failure(raw).found == "lines that are not CSV records"


def test_a_bad_number_is_located_without_being_quoted(write_folder: WriteFolder) -> None:
    error = failure(write_folder(chartevents=[chart_row(), chart_row(valuenum="8O.secret")]))
    assert error.found == "line 3, column valuenum: a value that is not a number"
    assert "secret" not in str(error)


def test_a_bad_time_is_located_without_being_quoted(write_folder: WriteFolder) -> None:
    error = failure(write_folder(chartevents=[chart_row(charttime="01/02/2100")]))
    assert error.found == "line 2, column charttime: a value that is not a time"
    assert "2100" not in str(error)


def test_text_that_is_not_utf8_is_refused(write_folder: WriteFolder) -> None:
    raw = write_folder()
    path = raw / "ADMISSIONS.csv"
    path.write_bytes(path.read_bytes().replace(b"UNKNOWN", b"UNKN\xe9WN"))
    assert failure(raw).found == "line 2, column ethnicity: a value that is not UTF-8 text"


def test_a_short_line_that_is_not_utf8_is_located_too(write_folder: WriteFolder) -> None:
    raw = write_folder(chartevents=[chart_row(), chart_row()])
    path = raw / "CHARTEVENTS.csv"
    path.write_bytes(path.read_bytes() + b"7,\xe9\xff,1\n")
    assert failure(raw).found == "line 4: 3 fields"


def test_a_truncated_gzip_file_is_refused(write_folder: WriteFolder) -> None:
    raw = write_folder(zipped=True, chartevents=[chart_row(valuenum=50 + i % 99) for i in range(9999)])
    path = raw / "CHARTEVENTS.csv.gz"
    path.write_bytes(path.read_bytes()[:-500])
    assert failure(raw).found == "the gzip file ends too early"


def test_a_flipped_bit_in_a_gzip_file_is_refused(write_folder: WriteFolder) -> None:
    raw = write_folder(zipped=True, chartevents=[chart_row(valuenum=50 + i % 99) for i in range(9999)])
    path = raw / "CHARTEVENTS.csv.gz"
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # within the stored CRC
    path.write_bytes(bytes(data))
    assert failure(raw).found == "not a sound gzip file"


def test_a_plain_file_named_gz_is_refused(write_folder: WriteFolder) -> None:
    raw = write_folder()
    (raw / "PATIENTS.csv").rename(raw / "PATIENTS.csv.gz")
    assert failure(raw).found == "not a sound gzip file"


@pytest.mark.parametrize(("table", "key"), [("patients", "subject_id"), ("icustays", "icustay_id")])
def test_a_repeated_primary_key_is_refused(write_folder: WriteFolder, table: str, key: str) -> None:
    error = failure(write_folder(**{table: SMALL[table] * 2}))
    assert error.found == f"1 repeated and 0 empty values of its key {key}"


def test_a_failure_keeps_the_events_of_the_last_success(write_folder: WriteFolder) -> None:
    raw = write_folder()
    extracted(raw)
    before = (raw.parent / "events" / "vitals.parquet").read_bytes()
    (raw / "CHARTEVENTS.csv").write_text("broken")
    with pytest.raises(UserError):
        extract_events(raw, raw.parent / "events", DEFAULT)
    assert (raw.parent / "events" / "vitals.parquet").read_bytes() == before


def test_the_step_ends_with_one_message_and_exit_code_1(write_folder: WriteFolder, tmp_path: Path) -> None:
    raw = write_folder(zipped=True)
    (raw / "ICUSTAYS.csv.gz").write_bytes(gzip.compress(b"ROW_ID\n1\n"))
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"code": "", "parameters": {"extraction": {}}}))
    command = [sys.executable, "-m", "workflow_scripts.steps.extract_events", "--raw", str(raw)]
    command += ["--settings", str(settings), "--events", str(tmp_path / "events")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: table ICUSTAYS")
    assert "Traceback" not in result.stderr
