"""What the guard takes for a patient, and what it does not."""

import gzip
import io
import json
import os
import sqlite3
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.patient_data import (
    assert_message_without_patient_data,
    assert_no_patient_data,
    open_to_others,
    scan_files,
)
from workflow_scripts.privacy.credentials import mark_trained_on
from workflow_scripts.privacy.guard import ARTIFACT, masked, scan, scan_project
from workflow_scripts.privacy.marks import SHIFTED_DATE, SIMULATED_DATE, SIMULATED_IDENTIFIER, find_marks
from workflow_scripts.privacy.permissions import keep_to_owner
from workflow_scripts.privacy.places import project_files
from workflow_scripts.privacy.readers import NOTEBOOK, ROWS, UNREAD, plain_name
from workflow_scripts.privacy.records import LINKED, MANY, NAMED, TIME, WRITTEN, Pairs, Records, read_records
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.canaries import (
    hadm_id,
    icustay_id,
    is_simulated_identifier,
    subject_id,
)

STAY = icustay_id(12, 1, 0)
YEAR = 2612

# ---- marks of simulated patients and of shifted dates


@given(st.integers(0, 99_999), st.integers(0, 2), st.integers(0, 1))
def test_identifiers_are_told_from_other_numbers_and_from_each_other(
    patient: int, admission: int, stay: int
) -> None:
    made = [subject_id(patient), hadm_id(patient, admission), icustay_id(patient, admission, stay)]
    assert len(set(made)) == 3
    assert all(is_simulated_identifier(number) and len(str(number)) == 11 for number in made)
    assert not any(is_simulated_identifier(number + 1) for number in made)


@pytest.mark.parametrize(
    "text",
    [
        f"stay {STAY}", f"stay_id={STAY}.0", f'{{"a": {STAY}}}', f"'{STAY}'", f"{STAY:,}", f"stay{STAY}", f"[{STAY}]",
        f"a_{STAY}.png",
    ],
)  # fmt: skip
def test_an_identifier_is_found_in_every_writing(text: str) -> None:
    assert find_marks(text) == {SIMULATED_IDENTIFIER: 1}


@pytest.mark.parametrize(
    "text", [f"0.{STAY}", f"1{STAY}", f"{STAY}7", f"3f{STAY}a1", str(STAY + 1), str(STAY)[:-1]]
)
def test_a_part_of_a_hash_or_of_another_number_is_none(text: str) -> None:
    assert find_marks(text) == {}


MOMENT = datetime(YEAR, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        str(MOMENT), MOMENT.isoformat(), repr(MOMENT), MOMENT.ctime(), f"{MOMENT:%Y-%m-%d}", f"{MOMENT:%d/%m/%Y}",
        f"{MOMENT:%Y%m%dT%H%M%S}", f"{MOMENT:%d %b %Y}", f"{MOMENT:%d-%b-%Y}", f"{MOMENT:%B %d, %Y}",
        f"{MOMENT:%d.%m.%Y}", f"{MOMENT:%Y/%m/%d}", str(np.datetime64(MOMENT.replace(tzinfo=None))),
        repr(np.datetime64(MOMENT.replace(tzinfo=None), "us")), repr(MOMENT.date()),
    ],
)  # fmt: skip
def test_a_date_is_found_in_every_writing(text: str) -> None:
    assert find_marks(f"found {text} there") == {SIMULATED_DATE: 1}


@pytest.mark.parametrize(
    "text", ["2026-11-23 03:13:21", "arXiv 2405.10216", "2612 rows", "version 2.26.12.05", "2100"]
)
def test_dates_of_today_and_versions_are_none(text: str) -> None:
    assert find_marks(text) == {}


def test_shifted_years_count_but_for_the_invented_dates_of_code() -> None:
    text = f"{2100 + 34}-05-06 07:08:09"
    assert find_marks(text) == {SHIFTED_DATE: 1}
    assert find_marks(text, code=True) == {}
    assert find_marks(str(MOMENT), code=True) == {SIMULATED_DATE: 1}


def test_a_thousand_files_of_hashes_hold_no_mark() -> None:
    # Expected by chance: below one in ten thousand runs; the generator's seed is fixed.
    draw = np.random.default_rng(5)
    hashes = "\n".join(draw.bytes(20).hex() for _ in range(20_000))
    numbers = "\n".join(map(repr, draw.random(20_000).tolist()))
    assert find_marks(hashes) + find_marks(numbers) == Counter()


# ---- a data set's own records


@pytest.fixture(scope="module")
def records() -> Records:
    """200 patients with MIMIC-III's kinds of numbers: five digits, 1xxxxx, 2xxxxx; one stay each in 2015."""
    draw = np.random.default_rng(1)
    subjects = np.sort(draw.choice(np.arange(10_000, 99_999), 200, replace=False))
    ids = {"subject_id": subjects}
    for name, first in (("hadm_id", 100_000), ("icustay_id", 200_000)):
        ids[name] = first + draw.choice(100_000, 200, replace=False)
    times = 1_420_070_400 + draw.integers(0, 31_536_000, 200)
    pairs = {name: Pairs.of([np.column_stack([values, subjects])]) for name, values in ids.items()}
    return Records("ours", pairs, Pairs.of([np.column_stack([times, subjects])]))


def number(records: Records, kind: str, patient: int) -> int:
    pairs = records.identifiers[kind]
    order = np.argsort(pairs.patient, kind="stable")
    return int(pairs.value[order[patient]])


def moment(records: Records, patient: int) -> datetime:
    order = np.argsort(records.times.patient, kind="stable")
    return datetime.fromtimestamp(int(records.times.value[order[patient]]), UTC)


def kinds(records: Records, text: str) -> set[str]:
    return set(records.find(text).findings)


@pytest.mark.parametrize(
    "writing", ["subject_id={}", "'SUBJECT_ID': {}", "subject_id: {}", "Patient ID {}", "subject_id {}"]
)
def test_an_identifier_that_is_named_is_found(records: Records, writing: str) -> None:
    assert NAMED.format("ours") in kinds(records, writing.format(number(records, "subject_id", 3)))


def test_two_identifiers_of_one_patient_are_found_and_of_two_are_not(records: Records) -> None:
    one = f"row {number(records, 'subject_id', 3)}, {number(records, 'icustay_id', 3)}, 71.0"
    two = f"row {number(records, 'subject_id', 3)}, {number(records, 'icustay_id', 4)}, 71.0"
    assert kinds(records, one) == {LINKED.format("ours")}
    assert kinds(records, two) == set()


def test_a_time_of_a_record_is_found_as_date_and_as_number(records: Records) -> None:
    when = moment(records, 7)
    for text in (f"{when:%Y-%m-%d %H:%M:%S}", when.isoformat(), str(int(when.timestamp()) * 10**6)):
        assert kinds(records, f"at {text}") == {TIME.format("ours")}
    assert kinds(records, "at 2026-11-23 03:13:21, at 2015-06-01 00:00:00") == set()


def test_a_list_of_identifiers_is_more_than_chance_and_one_number_is_not(records: Records) -> None:
    listed = "\n".join(str(number(records, "hadm_id", patient)) for patient in range(12))
    assert kinds(records, listed) == {MANY.format("ours")}
    one = records.find(f"{number(records, 'hadm_id', 0)} parameters")
    assert one.findings == Counter()
    assert one.equal == 1


def test_numbers_at_random_are_equal_as_often_as_expected_and_no_finding(records: Records) -> None:
    draw = np.random.default_rng(2)
    text = "\n\n".join(
        f"{value}{' ' * 200}" for value in draw.choice(np.arange(100_000, 200_000), 20_000, replace=False)
    )
    tally = records.find(text)
    # 20,000 of 100,000 numbers, 200 of which are an admission: 40 expected, standard deviation about 6.
    assert tally.by_chance == pytest.approx(40, rel=0.05)
    assert abs(tally.equal - 40) < 25
    assert tally.findings == Counter()


def test_records_are_read_from_cohorts_and_windows(tmp_path: Path) -> None:
    folder = tmp_path / "data/ours/cohorts"
    folder.mkdir(parents=True)
    times = pa.array([datetime(2015, 1, 2, 3, 4, 5), None], pa.timestamp("us"))
    pq.write_table(
        pa.table({"subject_id": [12345, 23456], "icustay_id": [200001, 200002], "intime": times}),
        folder / "all.parquet",
    )
    windows = tmp_path / "data/ours/windows/all"
    windows.mkdir(parents=True)
    pq.write_table(
        pa.table({"subject_id": [12345], "icustay_id": [200001], "start": times[:1], "context": [[1.0]]}),
        windows / "heart_rate.parquet",
    )
    known = read_records("ours", tmp_path)
    subject, stay = known.identifiers["subject_id"], known.identifiers["icustay_id"]
    assert stay.owners(200002) == subject.owners(23456) != set()
    assert known.times.owners(1420167845) == subject.owners(
        12345
    )  # date --utc --date='2015-01-02 03:04:05' +%s
    log = tmp_path / "logs/a.log"
    log.parent.mkdir()
    log.write_text("stay 200002 of subject 23456")
    with pytest.raises(AssertionError, match="of one patient of ours side by side"):
        assert_no_patient_data([log.parent], tmp_path, "ours")


def test_identifiers_that_are_no_integers_are_found_as_words(tmp_path: Path) -> None:
    folder = tmp_path / "data/raw/ours/cohorts"
    folder.mkdir(parents=True)
    stays = ["P-2041/1", "P-3012/1", "bed1"]
    pq.write_table(
        pa.table({"subject_id": ["0002041", "0003012", "9"], "icustay_id": stays}), folder / "all.parquet"
    )
    known = read_records("ours", tmp_path)
    assert kinds(known, "no window for P-2041/1") == {WRITTEN.format("ours")}
    assert LINKED.format("ours") in kinds(known, "0002041 has P-2041/1")
    assert LINKED.format("ours") not in kinds(known, "0002041 has P-3012/1")
    assert kinds(known, "stay_id: 'bed1'") == kinds(known, "subject_id=9") == {NAMED.format("ours")}
    assert kinds(known, "bed1, 2041, 0.0002041, P-2041") == set()


@pytest.mark.parametrize(("patients", "is_told"), [(10, True), (11, False)])
def test_a_time_that_eleven_patients_share_points_at_nobody(
    tmp_path: Path, patients: int, is_told: bool
) -> None:
    folder = tmp_path / "data/ours/cohorts"
    folder.mkdir(parents=True)
    times = pa.array([datetime(2019, 1, 1)] * patients, pa.timestamp("us"))
    numbers = range(40_001, 40_001 + patients)
    pq.write_table(
        pa.table({"subject_id": numbers, "icustay_id": numbers, "intime": times}), folder / "all.parquet"
    )
    known = read_records("ours", tmp_path)
    assert (LINKED.format("ours") in kinds(known, "40003 came at 2019-01-01 00:00")) is is_told


def test_a_damaged_table_of_a_data_set_is_named(tmp_path: Path) -> None:
    """What is not read cannot be looked for."""
    folder = tmp_path / "data/raw/ours/cohorts"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"subject_id": ["0002041"]}), folder / "all.parquet")
    (folder / "all.parquet").write_bytes((folder / "all.parquet").read_bytes()[:-9])
    with pytest.raises(UserError, match=r"all\.parquet"):
        read_records("ours", tmp_path)


@pytest.mark.demo
def test_patients_of_the_open_demo_are_found_and_the_repository_holds_none(
    demo_folder: Path, tmp_path: Path
) -> None:
    stays = pd.read_csv(next(demo_folder.glob("ICUSTAYS.csv*")), parse_dates=["intime", "outtime"])
    cohorts = tmp_path / "data/mimic-iii-demo/cohorts"
    cohorts.mkdir(parents=True)
    stays[["subject_id", "hadm_id", "icustay_id", "intime", "outtime"]].to_parquet(cohorts / "all.parquet")
    known = read_records("mimic-iii-demo", tmp_path)
    for stay in stays.head(20).itertuples():
        assert kinds(known, f"{stay.subject_id},{stay.icustay_id}") == {LINKED.format("mimic-iii-demo")}
        assert NAMED.format("mimic-iii-demo") in kinds(known, f"hadm_id {stay.hadm_id}")
        assert find_marks(str(stay.intime)) == {SHIFTED_DATE: 1}
    root = Path(__file__).parents[2]
    report = scan(root, [source for source in project_files(root) if source.tracked], [known])
    assert report.findings == {}, str(report)


# ---- forms of files


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(path: Path) -> set[str]:
    report = scan_files([path], [])
    assert str(STAY) not in str(report)
    return {kind for kinds in report.findings.values() for kind in kinds}


def test_packed_files_are_read_without_unpacking_them(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../outside.txt", f"stay {STAY}")
    assert found(written(tmp_path / "a.zip", packed.getvalue())) == {SIMULATED_IDENTIFIER}
    assert found(written(tmp_path / "a.log.gz", gzip.compress(f"stay {STAY}".encode()))) == {
        SIMULATED_IDENTIFIER
    }
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.log.gz", "a.zip"]
    assert not (tmp_path.parent / "outside.txt").exists()


def test_what_is_packed_too_large_or_damaged_is_named_and_not_held_in_memory(tmp_path: Path) -> None:
    whole = gzip.compress(b"0" * (257 << 20), compresslevel=1)
    assert found(written(tmp_path / "large.gz", whole)) == {UNREAD}
    assert found(written(tmp_path / "cut.gz", whole[:1000])) == {UNREAD}
    assert found(written(tmp_path / "cut.zip", b"PK\x03\x04nothing")) == {UNREAD}


def test_rows_of_a_database_are_read_also_where_they_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (number INTEGER)")
        connection.execute("INSERT INTO notes VALUES (?)", (STAY,))
    connection.close()
    assert found(path) == {SIMULATED_IDENTIFIER}


def test_tables_with_a_row_for_each_stay_are_named_whatever_they_hold(tmp_path: Path) -> None:
    assert found(written(tmp_path / "a.csv", '"SUBJECT_ID","value"\n1,2\n')) == {ROWS}
    assert found(written(tmp_path / "b.tsv", "icustay_id\tvalue\n1\t2\n")) == {ROWS}
    assert found(written(tmp_path / "c.csv", "model,arm,mse\na,b,1\n")) == set()
    pq.write_table(pa.table({"hadm_id": [1]}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"context": [[1.0, 2.0]]}), tmp_path / "e.parquet")
    pq.write_table(pa.table({"window_id": [1], "q0.5": [1.0]}), tmp_path / "f.parquet")
    pq.write_table(pa.table({"window": [STAY]}), tmp_path / "g.parquet")
    assert found(tmp_path / "d.parquet") == found(tmp_path / "e.parquet") == {ROWS}
    assert found(tmp_path / "f.parquet") == set()
    assert found(tmp_path / "g.parquet") == {SIMULATED_IDENTIFIER}
    np.save(tmp_path / "h.npy", np.arange(3))
    assert found(tmp_path / "h.npy") == {UNREAD}


def test_a_table_among_mlflow_s_artifacts_is_named_even_without_an_identifier(tmp_path: Path) -> None:
    artifact = tmp_path / "mlartifacts/simulated/run/artifacts/forecasts.parquet"
    artifact.parent.mkdir(parents=True)
    pq.write_table(pa.table({"window_id": [1], "q0.5": [1.0]}), artifact)
    report = scan_project(tmp_path)
    assert list(report.findings.values()) == [{ARTIFACT: 1}]


def test_a_notebook_must_not_keep_its_outputs(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": [], "outputs": [{"text": ["71.0"]}]}]
    assert found(written(tmp_path / "a.ipynb", json.dumps({"cells": cells}))) == {NOTEBOOK}
    cells[0]["outputs"] = []
    assert found(written(tmp_path / "b.ipynb", json.dumps({"cells": cells}))) == set()


def test_names_that_snakemake_encodes_are_read() -> None:
    # What Snakemake 9.27.1 wrote for this output.
    name = "ZGF0YS9taW1pYy1paWktZGVtby9jb2hvcnRzL2FuZ3VzLnBhcnF1ZXQ="
    assert (
        plain_name(f".snakemake/metadata/{name}")
        == ".snakemake/metadata/data/mimic-iii-demo/cohorts/angus.parquet"
    )
    assert masked(f"logs/stay_{STAY}-{MOMENT:%Y-%m-%d}.log") == "logs/stay_…-….log"


def test_a_message_is_judged_like_a_file() -> None:
    assert_message_without_patient_data("CHARTEVENTS.csv.gz, line 6: 14 fields, 15 expected")
    with pytest.raises(AssertionError, match="identifier of a simulated patient"):
        assert_message_without_patient_data(f"line 6: {STAY},71")


# ---- marks of weights, and permissions


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("simulated", False),
        ("simulated-monitor", False),
        ("mimic-iii-demo", False),
        ("mimic-iii", True),
        ("our-hospital", True),
    ],
)
def test_weights_carry_whether_their_data_are_credentialed(
    tmp_path: Path, dataset: str, expected: bool
) -> None:
    mark_trained_on(tmp_path, dataset)
    assert json.loads((tmp_path / "vitalora.json").read_text()) == {
        "dataset": dataset,
        "credentialed": expected,
    }


def test_what_is_made_afterwards_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / ".dvc").mkdir()
        (tmp_path / "old").mkdir()
        (tmp_path / "old/a").touch()
        keep_to_owner(tmp_path)
        (tmp_path / "new").mkdir()
        (tmp_path / "new/a").touch()
        (tmp_path / "old/b").touch()
    finally:
        os.umask(before)
    # DVC runs under its own umask, below a folder that is closed.
    (tmp_path / ".dvc/cache/a").touch()
    tmp_path.chmod(0o755)
    assert list(open_to_others(tmp_path, tmp_path)) == [tmp_path / "old/a"]
