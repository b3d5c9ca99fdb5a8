"""Each definition against known answers on a handmade hospital and an independent computation on the demo."""

import csv
import gzip
import os
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.cohorts.definitions import DEFINITIONS_FOLDER, definition_names
from workflow_scripts.cohorts.labelling import label_cohort
from workflow_scripts.cohorts.parameters import CohortParameters

EVERYBODY = CohortParameters(minimum_age_years=0, minimum_stay_hours=0.001, minimum_charted_values=0)

# The code lists a second time, as regular expressions typed from the papers' appendices with ranges.
ANGUS_INFECTION = re.compile(
    r"00[1-58]|009|01\d|02[0-7]|03\d|04[01]|09[0-8]|10[0-4]|11[0-24-8]|32[0245]|42[01]|451|46[1-5]"
    r"|48[1256]|494|51[03]|54[0-2]|56[67]|59[07]|601|61[4-6]|68[1-36]|730"
    r"|5695|572[01]|5750|5990|7110|7907|9966|9985|9993|49121|5620[13]|5621[13]|56983"
)
ANGUS_DYSFUNCTION = re.compile(r"458|293|570|584|7855|348[13]|287[45]|286[69]|5734")
MARTIN_SEPTICAEMIA = re.compile(r"038|020[02]|7907|1179|1125|11281")
MARTIN_FAILURE = re.compile(
    r"5188[125]|78609|7991|458[089]|7855|7963|58[045]|570|5722|5733|286[269]|287[345]|2762|293|348[13]|7800[19]"
)
EXPLICIT = re.compile(r"(99592|78552)$")
VENTILATION = {"9670", "9671", "9672"}


def meets_in_plain_python(name: str, diagnoses: list[str], procedures: list[str]) -> bool:
    """An independent reading of the papers over one admission's codes."""

    def any_of(pattern: re.Pattern[str]) -> bool:
        return any(pattern.match(code) for code in diagnoses)

    ventilated = bool(VENTILATION & set(procedures))
    if name == "explicit":
        return any_of(EXPLICIT)
    if name == "angus":
        organ = any_of(ANGUS_DYSFUNCTION) or ventilated
        return any_of(EXPLICIT) or (any_of(ANGUS_INFECTION) and organ)
    if name == "martin":
        organ = any_of(MARTIN_FAILURE) or ventilated or bool({"3995", "8914"} & set(procedures))
        return any_of(MARTIN_SEPTICAEMIA) and organ
    return True


def stays_that_meet(events: Path, definition: str) -> set[int]:
    table, _ = label_cohort(events, definition, EVERYBODY, ["heart_rate"])
    return {row["icustay_id"] for row in table.to_pylist() if row["meets_definition"]}


def test_the_definitions_of_the_study_are_listed_by_name() -> None:
    assert {"all", "angus", "explicit", "martin"} <= set(definition_names())
    assert definition_names() == sorted(definition_names())


@pytest.mark.parametrize("name", definition_names())
def test_every_definition_explains_itself_at_its_top(name: str) -> None:
    header = re.match(r"(--[^\n]*\n)+", (DEFINITIONS_FOLDER / f"{name}.sql").read_text())
    assert header
    for word in ("icustay_id", "onset", "Result:"):
        assert word in header.group()
    assert name == "all" or "Citation:" in header.group()


# Definition, diagnoses, procedures, whether the published definition holds. One line per rule of the papers.
KNOWN = [
    ("explicit", ("99592",), (), True),
    ("explicit", ("4019", "78552"), (), True),
    ("explicit", ("99591", "0389"), (), False),
    ("explicit", ("7855", "9959"), (), False),
    ("explicit", (), ("99592",), False),
    ("angus", ("0389", "5849"), (), True),
    ("angus", ("486",), ("9671",), True),
    ("angus", ("486",), ("9604",), False),
    ("angus", ("99592",), (), True),
    ("angus", ("486", "4019"), (), False),
    ("angus", ("5849", "78551"), ("9672",), False),
    ("angus", ("7110", "2875"), (), True),
    ("angus", ("71100", "2875"), (), True),
    ("angus", ("71195", "2875"), (), False),
    ("angus", ("49120", "5845"), (), False),
    ("angus", ("49121", "5845"), (), True),
    ("martin", ("03842", "51881"), (), True),
    ("martin", ("11281", "2762"), (), True),
    ("martin", ("11282", "2762"), (), False),
    ("martin", ("7907",), ("3995",), True),
    ("martin", ("7907",), ("9672",), True),
    ("martin", ("0202", "34831"), (), True),
    ("martin", ("0202", "78097"), (), False),
    ("martin", ("486", "51881"), (), False),
    ("martin", ("99592", "51881"), (), False),
    ("all", (), (), True),
]


@pytest.mark.parametrize(("name", "diagnoses", "procedures", "expected"), KNOWN)
def test_a_handmade_admission_gets_the_published_answer(
    name, diagnoses, procedures, expected, hospital, tmp_path
) -> None:
    hospital.admit(1, diagnoses=diagnoses, procedures=procedures)
    # A second admission that meets every definition keeps the cohort from being empty.
    hospital.admit(2, diagnoses=("0389", "99592", "51881", "5849"))
    assert (1 in stays_that_meet(hospital.write(tmp_path), name)) is expected


@pytest.mark.parametrize("name", ["angus", "martin"])
def test_codes_of_two_admissions_of_one_patient_do_not_add_up(name, hospital, tmp_path) -> None:
    hospital.admit(1, patient=9, diagnoses=("0389",))
    hospital.admit(2, patient=9, intime="2101-01-01", diagnoses=("51881", "5849"))
    hospital.admit(3, diagnoses=("0389", "51881", "5849"))
    assert stays_that_meet(hospital.write(tmp_path), name) == {3}


def test_every_stay_of_an_admission_meets_a_coded_definition(hospital, tmp_path) -> None:
    hospital.admit(1, diagnoses=("78552",)).admit(2, diagnoses=("4019",))
    second = {**hospital.rows["icustays"][0], "icustay_id": 3}
    hospital.rows["icustays"].append(second)
    assert stays_that_meet(hospital.write(tmp_path), "explicit") == {1, 3}


def _demo_codes(table: str) -> dict[int, list[str]]:
    """hadm_id -> codes, read by Python's csv module from the compressed file itself."""
    codes = defaultdict(list)
    with gzip.open(Path(os.environ["MIMIC_DEMO_DIR"]) / f"{table}.csv.gz", "rt") as text:
        for row in csv.DictReader(text):
            codes[int(row["hadm_id"])].append(row["icd9_code"])
    return codes


@pytest.mark.demo
@pytest.mark.skipif("MIMIC_DEMO_DIR" not in os.environ, reason="MIMIC_DEMO_DIR is not set")
@pytest.mark.parametrize("name", ["all", "angus", "explicit", "martin"])
def test_the_demo_stays_are_those_of_a_reading_in_plain_python(name: str, demo_events: Path) -> None:
    diagnoses, procedures = _demo_codes("DIAGNOSES_ICD"), _demo_codes("PROCEDURES_ICD")
    with gzip.open(Path(os.environ["MIMIC_DEMO_DIR"]) / "ICUSTAYS.csv.gz", "rt") as text:
        expected = {
            int(row["icustay_id"])
            for row in csv.DictReader(text)
            if meets_in_plain_python(name, diagnoses[int(row["hadm_id"])], procedures[int(row["hadm_id"])])
        }
    assert expected
    assert stays_that_meet(demo_events, name) == expected


def test_a_user_adds_a_definition_by_adding_a_file(
    hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_definition(
        "elderly",
        "SELECT icustay_id, intime AS onset FROM icustays JOIN patients USING (subject_id)\n"
        "WHERE date_diff('year', dob, intime) >= 65; -- with a trailing remark",
        tmp_path,
        monkeypatch,
    )
    hospital.admit(1, born="2020-01-01").admit(2, born="2060-01-01")
    table, _ = label_cohort(hospital.write(tmp_path / "events"), "elderly", EVERYBODY, ["heart_rate"])
    rows = {row["icustay_id"]: row for row in table.to_pylist()}
    assert rows[1]["onset"] == rows[1]["intime"]
    assert rows[2]["onset"] is None
    assert not rows[2]["included"]


def use_definition(name: str, query: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a definition in a folder of its own and make it the definitions folder."""
    folder = folder / "definitions"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.sql").write_text(query)
    monkeypatch.setattr("workflow_scripts.cohorts.definitions.DEFINITIONS_FOLDER", folder)


BROKEN: list[tuple[str, str]] = [
    ("SELECT icustay_id, NULL::TIMESTAMP AS onset FROM icustays UNION ALL SELECT 1, NULL", "more than once"),
    ("SELECT icustay_id + 7 AS icustay_id, NULL::TIMESTAMP AS onset FROM icustays", "not in icustays"),
    ("SELECT NULL::BIGINT AS icustay_id, NULL::TIMESTAMP AS onset", "not in icustays"),
    ("SELECT hadm_id, NULL::TIMESTAMP AS onset FROM icustays", "hadm_id (int64)"),
    ("SELECT icustay_id FROM icustays", "icustay_id (int64)"),
    ("SELECT icustay_id, 'now' AS onset FROM icustays", "onset (string)"),
    ("SELECT icustay_id, onset FROM labevents", "labevents"),
    ("SELEKT icustay_id", "SELEKT"),
    ("", "statements: none"),
    ("DROP VIEW vitals; SELECT icustay_id, NULL::TIMESTAMP AS onset FROM icustays", "DROP, SELECT"),
    ("COPY icustays TO 'stolen.csv'", "COPY"),
    ("SELECT icustay_id, strptime(icd9_code, '%Y') AS onset FROM icustays, diagnoses_icd", "Exception"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "message"), BROKEN)
def test_a_definition_that_breaks_its_contract_is_refused(
    query: str, message: str, hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_error: Callable
) -> None:
    use_definition("mine", query, tmp_path, monkeypatch)
    events = hospital.admit(1, diagnoses=("SECRET",)).write(tmp_path / "events")
    error = user_error(lambda: label_cohort(events, "mine", EVERYBODY, ["heart_rate"]))
    assert "mine.sql" in error.where
    assert message in error.found
    assert "SECRET" not in str(error)
    assert list(tmp_path.glob("*.csv")) == []


def test_an_unknown_definition_is_refused_with_the_known_names(
    hospital, tmp_path: Path, user_error: Callable
) -> None:
    events = hospital.admit(1).write(tmp_path)
    error = user_error(lambda: label_cohort(events, "../../secret", EVERYBODY, ["heart_rate"]))
    assert "angus" in error.expected
