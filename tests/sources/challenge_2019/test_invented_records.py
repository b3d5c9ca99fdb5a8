"""What is made of single records, and which are refused."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.challenge_2019.tables import write_tables

HOUR = pd.Timedelta(hours=1)


def read(raw: Path, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Vital signs, stays by number, and what was found."""
    folder.mkdir()
    found = write_tables(raw, folder)
    values, stays = (pd.read_parquet(folder / f"{name}.parquet") for name in ("vitals", "stays"))
    for table in (values, stays):
        table["icustay_id"] = table["icustay_id"].astype(str).str.removeprefix("p").astype(int)
    return values, stays.set_index("icustay_id"), found


def zipped(raw: Path, archive: Path) -> Path:
    """A folder's records in an archive, below a folder of another name, as PhysioNet gives them."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in raw.rglob("*.psv"):
            file.write(path, f"early-prediction-of-sepsis-1.0.0/{path.relative_to(raw)}")
    return archive


def test_a_row_s_time_is_its_hour_since_admission_less_one(write_record, tmp_path: Path) -> None:
    raw = write_record(1, hours=8, HR=[np.nan, *range(81, 88)])
    raw = write_record(2, hours=8, ICULOS=range(5, 13), HR=range(90, 98))
    values, stays, _ = read(raw, tmp_path / "out")
    admission = stays.loc[1, "intime"]
    assert stays.loc[2, "intime"] == admission + 4 * HOUR
    assert (stays["outtime"] - stays["intime"]).tolist() == [8 * HOUR, 8 * HOUR]
    first = values[values["icustay_id"] == 1].iloc[0]
    assert (first["value"], first["charttime"]) == (81, admission + HOUR)
    second = values[values["icustay_id"] == 2].iloc[0]
    assert (second["value"], second["charttime"]) == (90, admission + 4 * HOUR)


@pytest.mark.parametrize(("plausible_ranges", "kept"), [(True, 5), (False, 8)])
def test_implausible_values_stay_only_where_they_are_asked_for(
    plausible_ranges: bool, kept: int, write_record, tmp_path: Path
) -> None:
    raw = write_record(1, hours=8, HR=[80, 81, -9999, 82, 1e30, 83, 0, 84])
    (tmp_path / "out").mkdir()
    found = write_tables(raw, tmp_path / "out", plausible_ranges)
    assert len(pd.read_parquet(tmp_path / "out" / "vitals.parquet")) == found["values"] == kept
    assert sum(number for words, number in found.items() if words.startswith("values outside the")) == 3


def test_the_onset_is_six_hours_after_the_first_label(write_record, tmp_path: Path) -> None:
    # Reyna et al. 2020: the label is 1 from six hours before t_sepsis on.
    raw = write_record(1, hours=20, SepsisLabel=[0] * 10 + [1] * 10)
    raw = write_record(2, hours=12, SepsisLabel=1)
    raw = write_record(3, hours=12, SepsisLabel=[0] * 10 + [1] * 2)
    raw = write_record(4, hours=12)
    _, stays, found = read(raw, tmp_path / "out")
    assert stays["septic"].tolist() == [True, True, True, False]
    assert stays.loc[1, "onset"] == stays.loc[1, "intime"] + 16 * HOUR
    assert stays["onset"].isna().tolist() == [False, True, False, True]
    assert stays.loc[3, "onset"] > stays.loc[3, "outtime"]
    assert found["stays with sepsis"] == 3
    assert found["stays whose record ends at the onset of sepsis or before it"] == 1
    assert found["stays whose label of sepsis is there from the first hour: their onset is not known"] == 1


def test_numbers_from_100000_on_are_of_hospital_b(write_record, tmp_path: Path) -> None:
    raw = write_record(99_999, folder="training", Unit1=1, Unit2=0, Gender=1)
    raw = write_record(100_000, folder="training_setB", Unit1=0, Unit2=1)
    _, stays, _ = read(raw, tmp_path / "out")
    columns = ["hospital", "icu_type", "sex"]
    assert stays[columns].to_numpy().tolist() == [["A", "MICU", "male"], ["B", "SICU", "female"]]


def test_values_that_no_patient_has_are_left_out_and_counted(write_record, tmp_path: Path) -> None:
    raw = write_record(HR=[80] * 6 + [0, 400])
    values, _, found = read(raw, tmp_path / "out")
    assert values["value"].tolist() == [80.0] * 6
    assert found["values outside the plausible range, left out"] == 2
    assert (found["hours"], found["hours without any vital sign"]) == (8, 0)


def test_an_archive_gives_the_tables_of_its_folder(write_record, tmp_path: Path) -> None:
    raw = write_record(1, HR=range(80, 88))
    raw = write_record(100_001, folder="deep/training_setB", Resp=range(10, 18))
    archive = zipped(raw, tmp_path / "records.zip")
    of_folder, of_archive = read(raw, tmp_path / "one"), read(archive, tmp_path / "two")
    pd.testing.assert_frame_equal(of_folder[0], of_archive[0])
    pd.testing.assert_frame_equal(of_folder[1], of_archive[1])
    (tmp_path / "three").mkdir()
    archive.rename(tmp_path / "three" / archive.name)
    pd.testing.assert_frame_equal(of_folder[0], read(tmp_path / "three", tmp_path / "four")[0])


def rewritten(raw: Path, change: Callable[[str], str]) -> Path:
    (path,) = raw.rglob("*.psv")
    path.write_text(change(path.read_text()))
    return raw


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text.replace("HR|O2Sat", "HeartRate|O2Sat", 1), "another header \\(41 columns\\)"),
        (lambda text: text.replace("|SepsisLabel", "", 1), "another header \\(40 columns\\)"),
        (lambda _: "", "another header"),
        (lambda text: text.split("\n")[0] + "\n", "a header and no row"),
        (lambda text: text[:-30], "rows that cannot be read"),
        (lambda text: text.replace("60", "sixty", 1), "rows that cannot be read"),
        (lambda text: text + text.split("\n")[-2] + "\n", "missing, repeated or descend"),
    ],
)
def test_a_record_that_cannot_be_read_is_named_without_its_values(
    write_record, tmp_path: Path, change: Callable[[str], str], found: str
) -> None:
    raw = rewritten(write_record(3), change)
    write_record(2), write_record(4)
    with pytest.raises(UserError, match=found) as caught:
        read(raw, tmp_path / "out")
    assert caught.value.where.endswith("p000003.psv")
    assert "sixty" not in str(caught.value)


def test_a_record_without_a_final_line_feed_is_whole(write_record, tmp_path: Path) -> None:
    raw = rewritten(write_record(HR=range(80, 88)), str.rstrip)
    assert len(read(raw, tmp_path / "out")[0]) == 8


def test_records_that_are_there_twice_are_refused(write_record, tmp_path: Path) -> None:
    write_record(1, folder="training")
    raw = write_record(1, folder="training_setA")
    with pytest.raises(UserError, match="1 records more than once"):
        read(raw, tmp_path / "out")


def test_a_cut_or_damaged_archive_is_refused(write_record, tmp_path: Path) -> None:
    archive = zipped(write_record(hours=300, HR=range(300)), tmp_path / "records.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="no complete zip archive"):
        read(archive, tmp_path / "one")
    archive.write_bytes(content[:200] + bytes(20) + content[220:])
    with pytest.raises(UserError, match="a damaged member"):
        read(archive, tmp_path / "two")


@pytest.mark.parametrize("present", [True, False])
def test_a_place_without_records_is_refused(tmp_path: Path, present: bool) -> None:
    raw = tmp_path / "raw"
    if present:
        raw.mkdir()
    with pytest.raises(UserError, match="no psv file" if present else "no such file or folder"):
        read(raw, tmp_path / "out")


def test_stay_and_patient_are_called_as_the_record(write_record, tmp_path: Path) -> None:
    # No real record has this number: the privacy guard would find it here.
    write_tables(write_record(30_007, HR=range(80, 88)), tmp_path)
    assert pd.read_parquet(tmp_path / "stays.parquet")[["subject_id", "icustay_id"]].to_numpy().tolist() == [
        ["p030007", "p030007"]
    ]
    assert set(pd.read_parquet(tmp_path / "vitals.parquet")["icustay_id"]) == {"p030007"}
