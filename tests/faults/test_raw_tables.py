"""Tables of MIMIC-III that are whole but not the released ones: reordered, doubled, of another version."""

import csv
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.fault_study import ORDINARY, UNTRACKED, copy_study, refused_once, run_again, set_study
from tests.helpers.projects import run_in
from tests.helpers.tiny_folder import chart_row, write_tables
from workflow_scripts.runtime.content import inventory
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.checks.folder import check_folder
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
from workflow_scripts.sources.mimic_iii.tables import table_files

HOURS = [chart_row(row_id=hour, charttime=f"2100-01-01 {hour:02}:00:00") for hour in range(1, 20)]
Lines = list[list[str]]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "raw", chartevents=HOURS)


def events_of(raw: Path, name: str = "events") -> dict[str, bytes]:
    """Every events table, byte by byte."""
    folder = raw.parent / name
    extract_events(raw, folder, ExtractionParameters())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rewrite(path: Path, change: Callable[[Lines], Lines]) -> None:
    """Change the lines of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(change(lines))


def test_columns_in_another_order_give_the_same_events(raw: Path) -> None:
    expected = events_of(raw)
    for path in raw.iterdir():
        rewrite(path, lambda lines: [line[::-1] for line in lines])
    assert events_of(raw, "reordered") == expected


def test_chart_rows_appended_twice_give_the_same_vital_signs_and_are_counted(raw: Path) -> None:
    events_of(raw)
    rewrite(raw / "CHARTEVENTS.csv", lambda lines: [*lines, *lines[1:]])
    counts = extract_events(raw, raw.parent / "doubled", ExtractionParameters())["vitals"]
    assert (counts["kept"], counts["dropped_duplicate"]) == (len(HOURS), len(HOURS))
    once, twice = (pq.read_table(raw.parent / name / "vitals.parquet") for name in ("events", "doubled"))
    assert once.equals(twice)
    assert "CHARTEVENTS" in check_folder(raw).as_text()


@pytest.mark.parametrize("table", ["patients", "admissions", "icustays"])
def test_rows_of_a_key_twice_are_refused(raw: Path, table: str) -> None:
    rewrite(raw / f"{table.upper()}.csv", lambda lines: [*lines, *lines[1:]])
    with pytest.raises(UserError, match="repeated"):
        events_of(raw)
    assert list((raw.parent / "events").iterdir()) == []


def test_a_table_of_mimic_iv_in_its_place_is_called_so(raw: Path) -> None:
    """Columns of MIMIC-IV v2.2's icustays: stay_id instead of ICUSTAY_ID."""
    (raw / "ICUSTAYS.csv").write_text(
        "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los\n"
    )
    with pytest.raises(UserError, match="MIMIC-IV") as caught:
        events_of(raw)
    assert "ICUSTAYS" in caught.value.where


def test_a_table_swapped_for_another_version_of_the_same_size_and_time_is_seen(raw: Path) -> None:
    """The inventory is an input of the extraction, so what differs in it runs the extraction again."""
    path, before = raw / "CHARTEVENTS.csv", inventory(raw, table_files(raw))
    status = path.stat()
    write_tables(raw, chartevents=[row | {"valuenum": 81} for row in HOURS])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    after = inventory(raw, table_files(raw))
    assert {name for name in before if before[name] != after[name]} == {"CHARTEVENTS.csv"}


@pytest.mark.workflow
@pytest.mark.faults
def test_in_a_study_a_cut_table_leaves_no_events_and_a_swapped_one_is_extracted_again(
    undisturbed, tmp_path: Path
) -> None:
    """The simulated tables as a hospital's own folder, which no rule makes."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    set_study(folder, UNTRACKED | {"dataset": "mimic-iii"})
    raw, events = folder / "data/raw/mimic-iii", folder / "data/mimic-iii/events"
    shutil.copytree(folder / "data/raw/simulated", raw)
    table = raw / "CHARTEVENTS.csv.gz"
    whole, status = table.read_bytes(), table.stat()
    table.write_bytes(whole[: len(whole) // 2])
    assert "CHARTEVENTS.csv.gz" in refused_once(folder, "data")
    assert list(events.glob("*")) == []
    table.write_bytes(whole)
    run_again(folder, "data")
    assert (events / "vitals.parquet").read_bytes() == (
        undisturbed.project / "data/simulated/events/vitals.parquet"
    ).read_bytes()
    table.write_bytes(gzip.compress(gzip.decompress(whole)[::-1]))
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "extract_events" in run_in(folder, *ORDINARY, "--dry-run", "data").stdout
