"""Tables: the schema against the headers of the real demo, and the errors a wrong folder gives."""

import csv
import gzip
from pathlib import Path

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.checks.folder import check_folder
from workflow_scripts.sources.mimic_iii.tables import TABLES, find_table, match_columns, require_tables


@pytest.mark.demo
@pytest.mark.parametrize("table", TABLES)
def test_columns_and_their_order_are_those_of_the_real_demo(demo_folder: Path, table: str) -> None:
    with gzip.open(require_tables(demo_folder, [table])[table], "rt", encoding="utf-8") as stream:
        assert [name.lower() for name in next(csv.reader(stream))] == list(TABLES[table])


@pytest.mark.parametrize("name", ["PATIENTS.csv", "patients.CSV.gz", "Patients.csv"])
def test_a_table_is_found_in_any_letter_case_plain_or_gzipped(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert find_table(tmp_path, "patients") == tmp_path / name


@pytest.mark.parametrize("other", ["PATIENTS.csv.gz", "patients.csv"])
def test_two_files_of_one_table_are_refused_and_both_named(other: str, tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv").touch()
    (tmp_path / other).touch()
    with pytest.raises(UserError, match="several files of one table") as refused:
        require_tables(tmp_path, ["patients"])
    assert {"PATIENTS.csv", other} == set(refused.value.found.partition(": ")[2].split(", "))
    found = [finding.found for finding in check_folder(tmp_path).errors if finding.table == "patients"]
    assert found == [refused.value.found]


def test_a_table_is_not_mistaken_for_one_whose_name_ends_alike(tmp_path: Path) -> None:
    (tmp_path / "D_ITEMS.csv").touch()
    assert find_table(tmp_path, "items") is None


def test_all_missing_tables_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv").touch()
    with pytest.raises(UserError) as raised:
        require_tables(tmp_path, ["patients", "admissions", "icustays"])
    assert "no file for ADMISSIONS, ICUSTAYS (tables present: PATIENTS.csv)" in raised.value.found
    assert str(tmp_path) in raised.value.where


def test_a_folder_that_does_not_exist_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        require_tables(tmp_path / "absent", ["patients"])


def test_columns_match_in_upper_and_lower_case() -> None:
    header = ["ROW_ID", "SUBJECT_ID", "gender"]
    assert match_columns(Path("P.csv"), "patients", header, ["subject_id", "gender"]) == {
        "subject_id": "SUBJECT_ID",
        "gender": "gender",
    }


def test_all_missing_columns_are_reported_at_once() -> None:
    with pytest.raises(UserError, match="no column gender, dob") as raised:
        match_columns(Path("P.csv"), "patients", ["ROW_ID", "SUBJECT_ID"], ["subject_id", "gender", "dob"])
    assert "P.csv" in raised.value.where


def test_a_repeated_column_is_refused() -> None:
    with pytest.raises(UserError, match="repeated column gender"):
        match_columns(Path("P.csv"), "patients", ["GENDER", "gender", "DOB"], ["gender", "dob"])


def test_a_file_without_header_is_refused_without_quoting_its_first_row() -> None:
    with pytest.raises(UserError, match="no column gender") as raised:
        match_columns(Path("P.csv"), "patients", ["1", "4711", "F", "2101-01-01 00:00:00"], ["gender"])
    assert "4711" not in str(raised.value)
    assert "2101" not in str(raised.value)


def test_a_table_of_mimic_iv_is_called_so_though_no_column_that_is_read_is_missing() -> None:
    # The header of LABEVENTS in https://mimic.mit.edu/docs/iv/modules/hosp/labevents/.
    header = [
        *("labevent_id", "subject_id", "hadm_id", "specimen_id", "itemid", "order_provider_id", "charttime"),
        *(
            "storetime",
            "value",
            "valuenum",
            "valueuom",
            "ref_range_lower",
            "ref_range_upper",
            "flag",
            "priority",
        ),
        "comments",
    ]
    with pytest.raises(UserError, match="a table of MIMIC-IV: it has the columns labevent_id"):
        match_columns(Path("labevents.csv"), "labevents", header, ["subject_id", "itemid", "valuenum"])
