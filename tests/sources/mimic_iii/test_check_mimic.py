"""The check of a MIMIC-III folder: silent on the real demo, and every planted damage in one report."""

import csv
import gzip
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.tiny_folder import SMALL, chart_row
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.checks.assertions import event_assertions
from workflow_scripts.sources.mimic_iii.checks.database import count_events, open_tables
from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Report
from workflow_scripts.sources.mimic_iii.checks.folder import check_folder
from workflow_scripts.sources.mimic_iii.checks.releases import DEMO, RELEASE_ROWS, SIMULATED
from workflow_scripts.sources.mimic_iii.checks.row_ids import RowIds
from workflow_scripts.sources.mimic_iii.checks.units import VALUE_COLUMNS, judge_units, unit_items
from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic
from workflow_scripts.sources.mimic_iii.tables import TABLES

Row = dict[str, str]


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    simulate_mimic(SimulatorParameters(patients=24), folder)
    return folder


class Damaged:
    """A copy of the simulated folder of which tables can be changed row by row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, table: str) -> Path:
        return self.folder / f"{table.upper()}.csv.gz"

    def change(self, table: str, change: Callable[[list[Row]], Any]) -> None:
        """Apply a function that changes the rows in place."""
        with gzip.open(self.path(table), "rt", newline="") as stream:
            rows = list(csv.DictReader(stream))
        names = list(rows[0])
        change(rows)
        self.write(table, names, [[row[name] for name in names] for row in rows])

    def write(self, table: str, names: list[str], rows: list[list[str]]) -> None:
        with gzip.open(self.path(table), "wt", newline="", compresslevel=1) as stream:
            csv.writer(stream).writerows([names, *rows])

    def set(self, table: str, column: str, value: str | Callable[[Row], str], share: float = 1.0) -> None:
        """Give a column a new value in the first rows of a table."""

        def change(rows: list[Row]) -> None:
            for row in rows[: int(share * len(rows))]:
                row[column] = value if isinstance(value, str) else value(row)

        self.change(table, change)

    def report(self) -> Report:
        return check_folder(self.folder)


@pytest.fixture
def damaged(clean_folder: Path, tmp_path: Path) -> Damaged:
    shutil.copytree(clean_folder, tmp_path / "raw")
    return Damaged(tmp_path / "raw")


@pytest.fixture(scope="module")
def demo_report(demo_folder: Path) -> Report:
    return check_folder(demo_folder)


def about(findings: list[Finding], table: str, check: str) -> str:
    """Return what was found by one check of one table."""
    return "; ".join(f.found for f in findings if (f.table, f.check) == (table, check))


@pytest.mark.demo
def test_the_real_demo_is_recognised_and_has_neither_errors_nor_warnings(demo_report: Report) -> None:
    report = demo_report
    assert report.release == DEMO
    assert report.findings == []
    # Published: 100 patients, 129 admissions, 136 ICU stays, 758,355 chart events.
    assert [report.rows[t] for t in ("patients", "admissions", "icustays", "chartevents")] == [
        100, 129, 136, 758_355,
    ]  # fmt: skip


@pytest.mark.demo
def test_row_counts_of_the_demo_are_those_that_pandas_counts(demo_folder: Path, demo_report: Report) -> None:
    counted = {
        table: len(pd.read_csv(demo_folder / f"{table.upper()}.csv.gz", usecols=["row_id"]))
        for table in TABLES
        if table != "chartevents"
    }
    assert counted.items() <= demo_report.rows.items()
    assert counted.items() <= RELEASE_ROWS[DEMO].items()


def test_a_simulated_folder_is_recognised_and_has_no_errors(clean_folder: Path) -> None:
    report = check_folder(clean_folder)
    assert report.release == SIMULATED
    assert report.errors == []


def test_every_damage_is_in_one_report(damaged: Damaged) -> None:
    damaged.path("services").unlink()
    damaged.change("patients", lambda rows: rows.append(rows[0]))
    damaged.set("icustays", "OUTTIME", "2400-01-01 00:00:00", share=0.2)
    damaged.set("diagnoses_icd", "HADM_ID", "123456", share=0.5)
    damaged.set("labevents", "VALUENUM", "n/a", share=0.01)
    damaged.set("d_items", "DBSOURCE", "hospital")
    content = damaged.path("prescriptions").read_bytes()
    damaged.path("prescriptions").write_bytes(content[: len(content) // 2])
    report = damaged.report()
    assert about(report.errors, "services", "table") == "no file"
    assert "1 repeated" in about(report.errors, "patients", "key subject_id")
    assert "end before they begin" in about(report.errors, "icustays", "dates")
    assert "none that ADMISSIONS holds" in about(report.errors, "diagnoses_icd", "reference hadm_id")
    assert "of valuenum that are not of kind number" in about(report.errors, "labevents", "file")
    assert "have another source system" in about(report.errors, "d_items", "items")
    assert "ends too early" in about(report.errors, "prescriptions", "file")


def test_all_damaged_columns_and_lines_of_a_table_are_counted_at_once(damaged: Damaged) -> None:
    def change(rows: list[Row]) -> None:
        for row in rows[:3]:
            row["CHARTTIME"] = "yesterday"
        for row in rows[10:15]:
            row["SUBJECT_ID"] = "x"

    damaged.change("labevents", change)
    with gzip.open(damaged.path("labevents"), "at", compresslevel=1) as stream:
        stream.write("1,2,3\n")
    found = about(damaged.report().errors, "labevents", "file")
    assert found.startswith("line ")
    assert "1 lines with too few or too many fields" in found
    assert "5 values of subject_id that are not of kind integer" in found
    assert "3 values of charttime that are not of kind time" in found


def test_rows_appended_twice_are_noticed_by_their_row_ids(damaged: Damaged) -> None:
    damaged.change("outputevents", lambda rows: rows.extend(rows[:40]))
    assert "40 repeated" in about(damaged.report().errors, "outputevents", "key row_id")


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(-2, 3000), max_size=60), max_size=6))
def test_row_ids_are_counted_as_pandas_counts_duplicates(batches: list[list[int]]) -> None:
    collector = RowIds()
    for ids in batches:
        collector.add(pa.record_batch({"row_id": pa.array(ids, pa.int64())}))
    everything = pd.Series([i for ids in batches for i in ids], dtype="int64")
    usable = everything[everything >= 0]
    assert (collector.repeated, collector.unusable) == (usable.duplicated().sum(), (everything < 0).sum())


def streamed(frame: pd.DataFrame) -> pa.RecordBatchReader:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=5_000))


@pytest.mark.demo
def test_references_of_the_demo_are_those_of_a_join_in_pandas(demo_folder: Path) -> None:
    columns = ["subject_id", "hadm_id", "icustay_id"]
    admissions = pd.read_csv(demo_folder / "ADMISSIONS.csv.gz", usecols=columns[:2])
    stays = pd.read_csv(demo_folder / "ICUSTAYS.csv.gz", usecols=columns).iloc[10:]
    events = pd.read_csv(demo_folder / "CHARTEVENTS.csv.gz", usecols=columns).astype("Int64")
    # Ten stays were taken away, so that some events lead nowhere.
    joined = events.merge(stays, on="icustay_id", how="left", suffixes=("", "_of_stay"))
    unknown = (joined["icustay_id"].notna() & joined["hadm_id_of_stay"].isna()).sum()
    mismatched = (joined["hadm_id_of_stay"] != joined["hadm_id"]).fillna(False).sum()

    patients = pd.DataFrame({"subject_id": admissions["subject_id"].unique()})
    tables = {"patients": patients, "admissions": admissions, "icustays": stays}
    assertions = event_assertions("chartevents", columns)
    with open_tables({name: pa.Table.from_pandas(frame) for name, frame in tables.items()}) as connection:
        counts = count_events(connection, streamed(events), assertions)
    wrong = Counter()
    for assertion, count in zip(assertions, counts.wrong, strict=True):
        wrong[assertion.check] += count
    assert unknown > 0
    assert mismatched > 0
    assert wrong == {
        "reference subject_id": 0,
        "reference hadm_id": 0,
        "reference icustay_id": unknown,
        "references": mismatched,
    }


FOREIGN = [
    (
        "MIMIC-IV",
        "patients",
        ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"],
    ),
    ("MIMIC-IV", "chartevents", ["subject_id", "hadm_id", "stay_id", "charttime", "itemid", "valuenum"]),
    ("MIMIC-IV", "diagnoses_icd", ["subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"]),
    ("MIMIC-IV", "labevents", ["labevent_id", "subject_id", "hadm_id", "specimen_id", "itemid", "charttime"]),
    ("MIMIC-IV", "d_items", ["itemid", "label", "abbreviation", "linksto", "category", "lownormalvalue"]),
    ("MIMIC-II", "admissions", ["HADM_ID", "SUBJECT_ID", "ADMIT_DT", "DISCH_DT"]),
    ("MIMIC-II", "chartevents", ["SUBJECT_ID", "ICUSTAY_ID", "ITEMID", "CHARTTIME", "REALTIME", "VALUE1NUM"]),
]


@pytest.mark.parametrize(("database", "table", "header"), FOREIGN)
def test_a_table_of_another_database_is_called_by_its_name(
    database: str, table: str, header: list[str], damaged: Damaged
) -> None:
    damaged.write(table, header, [["1"] * len(header)])
    assert f"a table of {database}" in about(damaged.report().errors, table, "version")


def test_a_folder_of_mimic_iv_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "hosp").mkdir()
    (tmp_path / "icu").mkdir()
    report = check_folder(tmp_path)
    assert "files of MIMIC-IV: hosp, icu" in about(report.errors, "folder", "version")
    assert sum(f.check == "table" for f in report.findings) == len(TABLES)


def test_a_table_without_header_is_refused_without_quoting_its_first_row(damaged: Damaged) -> None:
    damaged.write("patients", ["1", "940711", "F", "2101-02-03 00:00:00"], [["2", "940712", "M", ""]])
    report = damaged.report()
    assert "0 known columns, 4 others" in about(report.errors, "patients", "columns")
    assert "940711" not in report.as_text()


def test_a_missing_column_is_named_and_the_others_are_still_checked(damaged: Damaged) -> None:
    names = ["ROW_ID", "SUBJECT_ID", "HADM_ID", "SEQ_NUM"]
    damaged.write("procedures_icd", names, [["1", "1", "10000000", "1"]])
    damaged.write("d_icd_procedures", ["ROW_ID", "ICD9_CODE"], [["1", "9604"]])
    report = damaged.report()
    assert "no column icd9_code" in about(report.errors, "procedures_icd", "columns")
    assert "none that PATIENTS holds" in about(report.errors, "procedures_icd", "reference subject_id")
    # Nothing reads the titles of codes, so that they only deserve a warning.
    assert "no column short_title" in about(report.warnings, "d_icd_procedures", "columns")


def test_dates_that_were_not_shifted_are_an_error(damaged: Damaged) -> None:
    for table, column in (("admissions", "ADMITTIME"), ("chartevents", "CHARTTIME")):
        damaged.set(table, column, lambda row, c=column: "2009" + row[c][4:])
    report = damaged.report()
    assert "admittime" in about(report.errors, "admissions", "years")
    assert "charttime" in about(report.errors, "chartevents", "years")


def test_events_that_lie_far_from_their_stay_are_an_error(damaged: Damaged) -> None:
    def a_year_later(row: Row) -> str:
        return str(int(row["CHARTTIME"][:4]) + 1) + "-06-15" + row["CHARTTIME"][10:]

    damaged.set("chartevents", "CHARTTIME", a_year_later)
    assert "outside their ICU stay" in about(damaged.report().errors, "chartevents", "charttime")


def test_ages_that_the_release_has_not_are_reported(damaged: Damaged) -> None:
    damaged.set("patients", "DOB", "2440-01-01 00:00:00", share=0.5)
    assert "an age that MIMIC-III has not" in about(damaged.report().errors, "patients", "ages")


# (measure, unit by mistake, charted value -> value in that unit); factors: NIST SP 811 and the analytes' molar masses.
WRONG_UNITS: list[tuple[str, str, int, str, Callable[[Any], Any]]] = [
    ("chartevents", "temperature in a Celsius item", 223762, "degree Fahrenheit", lambda v: v * 9 / 5 + 32),
    ("chartevents", "temperature in a Fahrenheit item", 223761, "degree Celsius", lambda v: (v - 32) * 5 / 9),
    ("chartevents", "mean pressure", 456, "kPa", lambda v: v * 0.133322),
    ("chartevents", "weight", 226512, "pounds", lambda v: v / 0.45359237),
    ("chartevents", "inspired oxygen in percent", 223835, "fraction", lambda v: v / 100),
    ("chartevents", "inspired oxygen as a fraction", 190, "%", lambda v: v * 100),
    ("labevents", "creatinine", 50912, "umol/L", lambda v: v * 88.42),
    ("labevents", "bilirubin", 50885, "umol/L", lambda v: v * 17.104),
    ("labevents", "lactate", 50813, "mg/dL", lambda v: v * 9.008),
    ("labevents", "platelets", 51265, "per uL", lambda v: v * 1000),
    ("labevents", "oxygen", 50821, "kPa", lambda v: v * 0.133322),
    # A body of 80 kg.
    ("inputevents_cv", "norepinephrine by weight", 30120, "mcg/min", lambda v: v * 80),
    ("inputevents_mv", "norepinephrine by weight", 221906, "mcg/min", lambda v: v * 80),
    ("inputevents_cv", "phenylephrine by weight", 30128, "mcg/min", lambda v: v * 80),
    ("inputevents_mv", "dopamine by weight", 221662, "mcg/min", lambda v: v * 80),
]


@pytest.fixture(scope="module")
def demo_values(demo_folder: Path) -> dict[str, pd.DataFrame]:
    return {
        table: pd.read_csv(demo_folder / f"{table.upper()}.csv.gz", usecols=["itemid", column]).rename(
            columns={column: "valuenum"}
        )
        for table, column in VALUE_COLUMNS.items()
    }


def unit_findings(table: str, frame: pd.DataFrame) -> list[Finding]:
    items = unit_items(table)
    with open_tables({}) as connection:
        counts = count_events(connection, streamed(frame), [], value_column="valuenum", items=items)
    return judge_units(table, items, counts.bins, counts.in_other)


@pytest.mark.demo
@pytest.mark.parametrize(("table", "what", "itemid", "unit", "convert"), WRONG_UNITS)
def test_real_values_in_another_unit_are_an_error_that_names_the_unit(
    demo_values, table: str, what: str, itemid: int, unit: str, convert: Callable[[Any], Any]
) -> None:
    frame = demo_values[table]
    frame = frame[frame["itemid"] == itemid]
    repeats = -(
        -200 // len(frame)
    )  # Some items have few values in the demo: the same distribution, repeated.
    frame = pd.concat([frame] * repeats)
    assert unit_findings(table, frame) == []
    (finding,) = unit_findings(table, frame.assign(valuenum=convert(frame["valuenum"])))
    assert finding.level == "error", what
    assert f"look like {unit}" in finding.found or f"looks like {unit}" in finding.found


@pytest.mark.demo
def test_a_few_fahrenheit_values_in_a_celsius_item_are_a_warning_with_their_share(demo_values) -> None:
    frame = demo_values["chartevents"].query("itemid == 676").dropna().reset_index(drop=True)
    hundredth = frame.index % 50 == 0
    share = hundredth.mean()
    frame["valuenum"] = np.where(hundredth, 99.0, np.clip(frame["valuenum"], 30, 45))
    (finding,) = unit_findings("chartevents", frame)
    assert finding.level == "warning"
    assert f"{share:.1%} of {len(frame):,} values look like degree Fahrenheit" in finding.found


def test_the_report_holds_no_identifier_and_no_time_of_any_row(damaged: Damaged) -> None:
    damaged.set("icustays", "OUTTIME", "2400-01-01 00:00:00", share=0.2)
    damaged.set("chartevents", "HADM_ID", "10999999")
    damaged.set("labevents", "VALUENUM", "SECRET", share=0.1)
    report = damaged.report()
    text = report.as_text() + json.dumps(report.as_json())
    secrets = {"SECRET", "2400-01-01", "10999999"}
    with gzip.open(damaged.path("icustays"), "rt", newline="") as stream:
        for row in csv.DictReader(stream):
            secrets |= {row["SUBJECT_ID"], row["HADM_ID"], row["ICUSTAY_ID"], row["INTIME"], row["OUTTIME"]}
    assert len(report.errors) >= 3
    assert [secret for secret in secrets if secret in text.replace(str(damaged.folder), "")] == []


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_damaged_there_is_a_report(write_folder: Callable[..., Path], seed: int, capfd) -> None:
    chance = random.Random(seed)
    zipped = chance.random() < 0.5
    raw = write_folder(chartevents=[chart_row(row_id=n) for n in range(20)], zipped=zipped)
    table = chance.choice([*SMALL, "chartevents"])
    path = raw / f"{table.upper()}.csv{'.gz' if zipped else ''}"
    content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    for _ in range(chance.choice([1, 5])):
        place = chance.randrange(len(content) + 1)
        noise = bytes(chance.choice(b'",\n\r\x00\xff-09x') for _ in range(chance.randrange(5)))
        content = content[:place] + noise + content[place + chance.choice([0, 1, 40, 10_000]) :]
    packed = gzip.compress(content, mtime=0) if zipped else content
    path.write_bytes(packed[: chance.choice([len(packed), len(packed) - 10])])
    report = check_folder(raw)
    assert report.as_text().endswith("warnings")
    assert capfd.readouterr().err == ""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow_scripts.steps.check_mimic", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_ends_with_0_without_errors_and_writes_json(clean_folder: Path, tmp_path: Path) -> None:
    done = run("--raw", clean_folder, "--json", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["release"] == SIMULATED
    assert report["errors"] == []
    assert report["rows"]["patients"] == 24
    assert "usable: 0 errors" in done.stdout


def test_the_command_ends_with_1_on_errors_and_separates_them_from_warnings(damaged: Damaged) -> None:
    damaged.path("services").unlink()
    damaged.path("d_icd_procedures").unlink()
    done = run("--raw", damaged.folder)
    assert done.returncode == 1
    assert "errors (1)\n  SERVICES, table: no file" in done.stdout
    assert done.stdout.index("errors (1)") < done.stdout.index("warnings (")


def test_a_folder_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        check_folder(tmp_path / "absent")
