"""What a cohort's SQL file may ask for, and what happens where it asks wrongly."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from workflow_scripts.cohorts.definitions import (
    DEFINITIONS_FOLDER,
    concept_names,
    definition_files,
    definition_names,
    needed_queries,
    read_definition,
)
from workflow_scripts.cohorts.labelling import label_cohort
from workflow_scripts.cohorts.parameters import PRESETS, CohortParameters, Sepsis3Parameters

EVERYBODY = CohortParameters(minimum_age_years=0, minimum_stay_hours=0.001, minimum_charted_values=0)
SELECT_ALL = "SELECT icustay_id, intime AS onset FROM icustays"


@pytest.fixture
def concepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write concept files into a folder of their own, and make it the concepts folder."""

    def write(**files: str) -> Path:
        folder = tmp_path / "concepts"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.sql").write_text(text)
        monkeypatch.setattr("workflow_scripts.cohorts.definitions.CONCEPTS_FOLDER", folder)
        return folder

    return write


def own_file(folder: Path, text: str) -> Path:
    path = folder / "mine.sql"
    path.write_text(text)
    return path


def test_concepts_come_after_what_they_need_and_each_once(concepts, tmp_path) -> None:
    concepts(a="-- Needs: b, c\nSELECT 1", b="-- Needs: c\nSELECT 1", c="-- no needs\nSELECT 1")
    mine = read_definition("mine", own_file(tmp_path, "-- Mine.\n-- Needs: a\n-- Needs: b\n" + SELECT_ALL))
    assert [query.name for query in needed_queries(mine)] == ["c", "b", "a"]


def test_the_files_of_a_cohort_are_its_own_and_those_of_its_concepts(concepts, tmp_path) -> None:
    folder = concepts(a="SELECT 1")
    path = own_file(tmp_path, "-- Needs: a\n" + SELECT_ALL)
    assert definition_files("mine", path) == [folder / "a.sql", path]


def test_a_line_below_the_header_asks_for_nothing(tmp_path) -> None:
    query = read_definition("mine", own_file(tmp_path, SELECT_ALL + "\n-- Needs: a\n-- Onset: required\n"))
    assert query.needs == ()
    assert not query.onset_required


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a": "-- Needs: b\nSELECT 1", "b": "-- Needs: a\nSELECT 1"},
            "circle of needs: mine -> a -> b -> a",
        ),
        ({"a": "-- Needs: ../a\nSELECT 1"}, "asks for ../a"),
        ({"a": "-- Needs: nothing\nSELECT 1"}, "asks for nothing"),
    ],
)
def test_needs_that_cannot_be_met_are_refused(
    files, message, concepts, tmp_path, user_error: Callable
) -> None:
    concepts(**files)
    mine = read_definition("mine", own_file(tmp_path, "-- Needs: a\n" + SELECT_ALL))
    assert message in user_error(lambda: needed_queries(mine)).found


@pytest.mark.parametrize("name", concept_names())
def test_every_concept_explains_itself_at_its_top(name: str) -> None:
    header = read_definition(name, own=_concept(name)).text.split("\n\n")[0]
    assert "-- Result:" in header
    assert "-- Citation:" in header or "-- Source:" in header


def _concept(name: str) -> Path:
    from workflow_scripts.cohorts.definitions import CONCEPTS_FOLDER

    return CONCEPTS_FOLDER / f"{name}.sql"


def test_every_concept_is_used_by_a_definition_or_by_table_1() -> None:
    used = {path.stem for name in definition_names() for path in definition_files(name)}
    used |= {
        path.stem for path in definition_files("description", DEFINITIONS_FOLDER.parent / "description.sql")
    }
    assert set(concept_names()) <= used


def test_an_own_cohort_is_labelled_by_the_step(hospital, tmp_path: Path) -> None:
    hospital.admit(1, born="2020-01-01").admit(2, born="2060-01-01")
    events = hospital.write(tmp_path / "events")
    text = """
        -- Stays of patients older than 65 years; their admission to the ICU counts as onset.
        -- Onset: required
        SELECT icustay_id, intime AS onset
        FROM icustays JOIN patients USING (subject_id)
        WHERE date_diff('year', dob, intime) > 65
    """
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"code": "0", "parameters": {"cohort": {}, "vitals": ["heart_rate"]}}))
    ended = subprocess.run(
        [
            *[sys.executable, "-m", "workflow_scripts.steps.label_cohort", "--events", events],
            *["--cohort", "elderly", "--definition", own_file(tmp_path, text), "--settings", settings],
            *["--output", tmp_path / "elderly.parquet", "--attrition", tmp_path / "elderly.csv"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    table = pq.read_table(tmp_path / "elderly.parquet")
    assert table["included"].to_pylist() == [True, False]
    assert table["onset"].to_pylist()[0] == table["intime"].to_pylist()[0]


BROKEN = [
    (
        "-- Onset: required\nSELECT icustay_id, NULL::TIMESTAMP AS onset FROM icustays",
        "1 stays without an onset",
    ),
    ("SELECT icustay_id, intime AS onset FROM icustays, range(2)", "1 stays returned more than once"),
    ("SELECT icustay_id + 1 AS icustay_id, intime AS onset FROM icustays", "not in icustays"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_an_own_cohort_that_breaks_the_contract_is_refused(
    text, message, hospital, tmp_path, user_error: Callable
) -> None:
    events = hospital.admit(1).write(tmp_path / "events")
    path = own_file(tmp_path, text)
    error = user_error(lambda: label_cohort(events, "mine", EVERYBODY, ["heart_rate"], own=path))
    assert error.where == str(path)
    assert message in error.found


def test_an_own_cohort_without_its_file_is_refused(tmp_path, user_error: Callable) -> None:
    error = user_error(lambda: read_definition("mine", tmp_path / "gone.sql"))
    assert "gone.sql" in error.found


def test_events_without_the_tables_of_the_concepts_are_refused(
    hospital, concepts, tmp_path, user_error: Callable
) -> None:
    concepts(a="SELECT 1")
    events = hospital.admit(1).write(tmp_path / "events")
    (events / "clinical_chart.parquet").unlink(missing_ok=True)
    path = own_file(tmp_path, "-- Needs: a\n" + SELECT_ALL)
    error = user_error(lambda: label_cohort(events, "mine", EVERYBODY, ["heart_rate"], own=path))
    assert error.where.endswith("clinical_chart.parquet")
    assert "extract the events again" in error.remedy


def test_an_events_folder_that_cannot_be_written_to_is_named(
    hospital, tmp_path, monkeypatch: pytest.MonkeyPatch, user_error: Callable
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    events = hospital.admit(1).write(tmp_path / "events")
    monkeypatch.setattr("workflow_scripts.cohorts.events.scratch_folder", refuse)
    error = user_error(lambda: label_cohort(events, "all", EVERYBODY, ["heart_rate"]))
    assert error.where == str(events)
    assert "Permission denied" in error.found


def test_nothing_is_left_beside_the_events(hospital, tmp_path) -> None:
    events = hospital.admit(1).write(tmp_path / "events")
    before = sorted(events.iterdir())
    label_cohort(events, "all", EVERYBODY, ["heart_rate"])
    assert sorted(events.iterdir()) == before


def test_a_preset_makes_every_choice_and_a_named_choice_overrides_it() -> None:
    choices = set(Sepsis3Parameters.model_fields) - {"definition"}
    for name, preset in PRESETS.items():
        assert set(preset) == choices
        assert Sepsis3Parameters(definition=name).choices() == preset
    changed = Sepsis3Parameters(definition="mimic_code", window_hours=24).choices()
    assert changed == PRESETS["mimic_code"] | {"window_hours": 24}
