"""MEDS data sets that are made here: a user's own mappings, unclear stays and units, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.documents import blocks
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.meds.mapping import mapping_names, read_mapping
from workflow_scripts.sources.meds.reading import open_reading
from workflow_scripts.sources.meds.unmapped import kind_by_words, unmapped_by_values, unmapped_by_words
from workflow_scripts.sources.parameters import SourceParameters
from workflow_scripts.sources.source import source_of
from workflow_scripts.steps.list_unmapped_codes import list_unmapped_codes

CANARY = 76_543_210
"""A subject that no message may name."""
DAY = pd.Timestamp("2150-03-01 10:00")
HOUR = pd.Timedelta(hours=1)
Event = tuple[int, float | None, str, float | None]
"""Subject, hours after DAY (None: static), code, value."""

ADMITTED: list[Event] = [
    (1, None, "GENDER//F", None),
    (1, -24 * 365 * 70, "MEDS_BIRTH", None),
    (1, -5, "HOSPITAL_ADMISSION//URGENT", None),
    (1, 0, "ICU_ADMISSION//Medical ICU", None),
    (1, 30, "ICU_DISCHARGE//Medical ICU", None),
    (1, 50, "HOSPITAL_DISCHARGE//DIED", None),
]
HEART_RATES: list[Event] = [(1, hour, "LAB//220045//bpm", 80.0 + hour) for hour in range(30)]


@pytest.fixture
def meds(tmp_path: Path) -> Callable[..., Path]:
    """Write events as the shards of a MEDS data set; returns its folder."""

    def write(events: list[Event], **columns: list) -> Path:
        raw = tmp_path / "raw"
        table = pd.DataFrame(events, columns=["subject_id", "hour", "code", "numeric_value"]).assign(
            **columns
        )
        table["time"] = (DAY + pd.to_timedelta(table.pop("hour"), unit="h")).astype("datetime64[us]")
        table["numeric_value"] = table["numeric_value"].astype("float32")
        (raw / "data" / "train").mkdir(parents=True, exist_ok=True)
        table.to_parquet(raw / "data" / "train" / "0.parquet", index=False)
        return raw

    return write


def read(
    raw: Path, folder: Path, mapping: str = "mimic-iv"
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    source = source_of("some-meds", SourceParameters(format="meds", path=str(raw), mapping=mapping))
    counts = source.write_tables(raw, folder)
    return pd.read_parquet(folder / "vitals.parquet"), pd.read_parquet(folder / "stays.parquet"), dict(counts)


def own_mapping(folder: Path, **changes: object) -> str:
    content = {
        "subject": "patient",
        "vital_signs": {"temperature": [{"code": "TEMP//K", "unit": "K", "conversion": [1, -273.15]}]},
        "stays": {"begin": "UNIT_IN", "end": "UNIT_OUT"},
    }
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return str(path)


def test_a_stay_has_what_its_events_say(meds, tmp_path: Path) -> None:
    values, stays, _ = read(meds(ADMITTED + HEART_RATES), tmp_path)
    (stay,) = stays.to_dict("records")
    assert (stay["subject_id"], stay["icustay_id"]) == ("1", "1-1")
    assert (stay["intime"], stay["outtime"]) == (DAY, DAY + 30 * HOUR)
    assert (stay["age_years"], stay["sex"], stay["icu_type"]) == (70, "female", "Medical ICU")
    assert stay["died_in_hospital"]
    assert stay["onset"] is pd.NaT
    assert values["value"].tolist() == [80.0 + hour for hour in range(30)]


def test_a_value_at_the_end_of_a_stay_is_outside_and_one_at_its_beginning_inside(
    meds, tmp_path: Path
) -> None:
    edges = [
        (1, 0, "LAB//220045//bpm", 70.0),
        (1, 30, "LAB//220045//bpm", 71.0),
        (1, -1, "LAB//220045//bpm", 72.0),
    ]
    values, _, counts = read(meds(ADMITTED + edges), tmp_path)
    assert values["value"].tolist() == [70.0]
    assert counts["values outside every ICU stay, left out"] == 2


def test_a_second_stay_that_begins_as_the_first_ends_has_its_own_end(meds, tmp_path: Path) -> None:
    second = [(1, 30, "ICU_ADMISSION//Surgical ICU", None), (1, 40, "ICU_DISCHARGE//Surgical ICU", None)]
    _, stays, _ = read(meds(ADMITTED + HEART_RATES + second), tmp_path)
    assert stays["outtime"].tolist() == [DAY + 30 * HOUR, DAY + 40 * HOUR]
    assert stays["icustay_id"].tolist() == ["1-1", "1-2"]


def test_a_stay_without_an_end_does_not_take_the_end_of_the_next_one(meds, tmp_path: Path) -> None:
    first = [(1, -4, "ICU_ADMISSION//Medical ICU", None)]
    _, stays, counts = read(meds(first + ADMITTED + HEART_RATES), tmp_path)
    assert stays["intime"].tolist() == [DAY]
    assert counts["stays without an end, left out"] == 1


def test_identifiers_of_stays_pair_their_events_where_the_data_have_them(meds, tmp_path: Path) -> None:
    events = [
        (1, 0, "ICU_ADMISSION//A", None),
        (1, 5, "ICU_ADMISSION//B", None),
        (1, 20, "ICU_DISCHARGE//B", None),
        (1, 30, "ICU_DISCHARGE//A", None),
        (1, 7, "LAB//220045//bpm", 80.0),
    ]
    values, stays, _ = read(meds(events, icustay_id=[501, 502, 502, 501, None]), tmp_path)
    stays = stays.set_index("icustay_id")
    assert stays["outtime"].to_dict() == {"501": DAY + 30 * HOUR, "502": DAY + 20 * HOUR}
    assert values["icustay_id"].tolist() == ["502"]


def test_a_stay_outside_every_admission_has_no_known_death_and_no_known_sepsis(meds, tmp_path: Path) -> None:
    events = [event for event in ADMITTED if not event[2].startswith("HOSPITAL")]
    _, stays, counts = read(meds(events + HEART_RATES), tmp_path)
    assert stays[["died_in_hospital", "explicit", "angus"]].isna().all(axis=None)
    assert counts["stays outside every hospital admission"] == 1


SEPSIS = {
    "ICD-9 septic shock": (["DIAGNOSIS//ICD//9//78552"], (True, True)),
    "ICD-10 severe sepsis": (["DIAGNOSIS//ICD//10//R6520"], (True, True)),
    "an infection alone": (["DIAGNOSIS//ICD//10//A401"], (False, False)),
    "infection and kidney failure, ICD-10": (
        ["DIAGNOSIS//ICD//10//A401", "DIAGNOSIS//ICD//10//N179"],
        (False, True),
    ),
    "infection and kidney failure, mixed": (
        ["DIAGNOSIS//ICD//9//0389", "DIAGNOSIS//ICD//10//N179"],
        (False, True),
    ),
    "infection and ventilation": (["DIAGNOSIS//ICD//9//486", "PROCEDURE//ICD//10//5A1955Z"], (False, True)),
    "ventilation alone": (["PROCEDURE//ICD//9//9671"], (False, False)),
    "no infection: an external cause": (
        ["DIAGNOSIS//ICD//9//E8320", "DIAGNOSIS//ICD//9//5849"],
        (False, False),
    ),
    "a wound infection of ICD-10, coded after the mappings of CMS": (
        ["DIAGNOSIS//ICD//10//T8141XA", "DIAGNOSIS//ICD//10//R570"],
        (False, True),
    ),
}


@pytest.mark.parametrize("case", SEPSIS)
def test_sepsis_follows_the_codes_of_the_admission(meds, tmp_path: Path, case: str) -> None:
    codes, (explicit, angus) = SEPSIS[case]
    coded = [(1, 50 if code.startswith("DIAG") else 3, code, None) for code in codes]
    _, stays, _ = read(meds(ADMITTED + HEART_RATES + coded), tmp_path)
    assert (stays["explicit"][0], stays["angus"][0]) == (explicit, angus)


def test_a_code_at_the_end_of_one_admission_is_not_of_the_next_that_begins_then(meds, tmp_path: Path) -> None:
    again = [
        (1, 50, "HOSPITAL_ADMISSION//URGENT", None),
        (1, 51, "ICU_ADMISSION//Medical ICU", None),
        (1, 60, "ICU_DISCHARGE//Medical ICU", None),
        (1, 80, "HOSPITAL_DISCHARGE//HOME", None),
        (1, 50, "DIAGNOSIS//ICD//9//99592", None),
    ]
    _, stays, _ = read(meds(ADMITTED + HEART_RATES + again), tmp_path)
    assert stays["explicit"].tolist() == [True, False]
    assert stays["died_in_hospital"].tolist() == [True, False]


def test_eicu_codes_several_diagnoses_in_one_and_calls_both_versions_icd_9(meds, tmp_path: Path) -> None:
    events = [
        (7, None, "GENDER//Female", None),
        (7, -5, "HOSPITAL_ADMISSION//Floor//South//true//>= 500", None),
        (7, 0, "ICU_ADMISSION//Floor//admit", None),
        (7, 3, "DIAGNOSIS//ICD//9//038.9, A41.9", None),
        (7, 4, "DIAGNOSIS//ICD//9//N17.9", None),
        (7, 30, "ICU_DISCHARGE//Alive//Floor", None),
        (7, 50, "HOSPITAL_DISCHARGE//Expired//Death", None),
        (7, 1, "VITALS//PERIODIC//HEARTRATE", 90.0),
        (7, 1, "VITALS//APERIODIC//BP//NONINVASIVE_MEAN", 65.0),
    ]
    values, stays, _ = read(meds(events), tmp_path, "eicu")
    (stay,) = stays.to_dict("records")
    assert (stay["sex"], stay["died_in_hospital"], stay["explicit"], stay["angus"]) == (
        "female",
        True,
        False,
        True,
    )
    assert stay["subject_kind"] == "admission"
    assert dict(zip(values["vital"], values["value"], strict=True)) == {
        "heart_rate": 90,
        "mean_blood_pressure": 65,
    }


def test_eicu_of_the_newest_converter_has_its_codes_in_the_metadata(meds, tmp_path: Path) -> None:
    events = [
        (7, -5, "HOSPITAL_ADMISSION//Floor", None),
        (7, 0, "ICU_ADMISSION//Floor//admit", None),
        (7, 3, "DIAGNOSIS//infectious|sepsis", None),
        (7, 30, "ICU_DISCHARGE//Alive//Floor", None),
        (7, 50, "HOSPITAL_DISCHARGE//Alive//Home", None),
        (7, 1, "VITALS//PERIODIC//HEARTRATE", 90.0),
    ]
    raw = meds(events)
    (raw / "metadata").mkdir()
    parents = [["ICD10CM/R65.20", "ICD9CM/995.92"], None]
    codes = pd.DataFrame({"code": ["DIAGNOSIS//infectious|sepsis", "X"], "parent_codes": parents})
    codes.to_parquet(raw / "metadata" / "codes.parquet")
    assert read(raw, tmp_path, "eicu")[1]["explicit"].tolist() == [True]


def test_a_data_set_whose_subjects_are_admissions_says_so() -> None:
    limits = source_of("x", SourceParameters(format="meds", mapping="eicu")).limits
    assert any("no patient identifier" in limit for limit in limits)
    limits = source_of("x", SourceParameters(format="meds", mapping="mimic-iv")).limits
    assert not any("no patient identifier" in limit for limit in limits)


def test_a_mapping_of_one_s_own_converts_units(meds, tmp_path: Path) -> None:
    events = [
        (1, 0, "UNIT_IN", None),
        (1, 9, "UNIT_OUT", None),
        (1, 2, "TEMP//K", 310.15),
        (1, 3, "TEMP//K", 37.0),
    ]
    values, _, counts = read(meds(events), tmp_path, own_mapping(tmp_path))
    assert values["value"].tolist() == pytest.approx([37.0], abs=1e-4)
    assert counts["values outside the plausible range, left out"] == 1
    raw, entry = tmp_path / "raw", SourceParameters(format="meds", mapping=own_mapping(tmp_path))
    source = source_of("some-meds", entry)
    source.plausible_ranges = False
    (tmp_path / "every").mkdir()
    assert source.write_tables(raw, tmp_path / "every")["values outside the plausible range"] == 1
    every = pd.read_parquet(tmp_path / "every" / "vitals.parquet")["value"]
    assert sorted(every) == pytest.approx([37.0 - 273.15, 37.0], abs=1e-4)


def test_the_mapping_of_the_page_reads_what_the_page_says(meds, tmp_path: Path) -> None:
    mapping = tmp_path / "page.yaml"
    (page,) = (block.text for block in blocks("exchange-formats.md") if "vital_signs:" in block.text)
    mapping.write_text(page, encoding="utf-8")
    events = [
        (1, None, "SEX//FEMALE", None),
        (1, -2, "HOSPITAL_IN", None),
        (1, 0, "WARD_IN//ICU//East", None),
        (1, 1, "VITAL//HR//bpm", 80.0),
        (1, 2, "VITAL//HR//UNK", 90.0),
        (1, 1, "VITAL//TEMP_F", 98.6),
        (1, 2, "VITAL//TEMP_C", 38.0),
        (1, 1, "VITAL//MAP_KPA", 10.0),
        (1, 9, "WARD_OUT//ICU", None),
        (1, 20, "DX//ICD10//R65.21", None),
        (1, 20, "HOSPITAL_OUT//HOME", None),
    ]
    values, stays, _ = read(meds(events), tmp_path, str(mapping))
    found = values.groupby("vital")["value"].apply(list).to_dict()
    assert found["heart_rate"] == [80, 90]
    assert found["temperature"] == pytest.approx([37, 38], abs=1e-4)
    assert found["mean_blood_pressure"] == pytest.approx([75.0062], abs=1e-3)
    (stay,) = stays.to_dict("records")
    assert (stay["sex"], stay["icu_type"], stay["died_in_hospital"], stay["explicit"]) == (
        "female",
        "East",
        False,
        True,
    )


def test_the_mappings_that_come_along_can_be_read() -> None:
    assert mapping_names() == ["eicu", "mimic-iv"]
    for name in mapping_names():
        assert set(read_mapping(name).vital_signs) >= {"heart_rate", "mean_blood_pressure", "temperature"}


WRONG_MAPPINGS = {
    "an unknown vital sign": (
        {"vital_signs": {"pulse": [{"code": "HR"}]}},
        "vital signs that nobody knows: pulse",
    ),
    "no vital sign": ({"vital_signs": {}}, "vital_signs: Dictionary should have at least 1 item"),
    "no regular expression": ({"vital_signs": {"spo2": [{"code": "("}]}}, "no regular expression"),
    "an unknown conversion": (
        {"vital_signs": {"spo2": [{"code": "O", "conversion": "kelvin"}]}},
        "conversion 'kelvin'; allowed: none, fahrenheit_to_celsius",
    ),
    "a misspelt key": ({"stay": {}}, "stay: Extra inputs are not permitted"),
    "a unit in the code and none to compare": (
        {"vital_signs": {"spo2": [{"code": "O//(?P<unit>.*)"}]}},
        "no unit to compare it with",
    ),
    "diagnoses without a version": ({"diagnoses": "ICD//(?P<codes>.*)"}, "without the groups `version`"),
}


@pytest.mark.parametrize("case", WRONG_MAPPINGS)
def test_a_wrong_mapping_is_refused_when_the_study_is_read(tmp_path: Path, case: str) -> None:
    changes, found = WRONG_MAPPINGS[case]
    mapping = own_mapping(tmp_path, **changes)
    with pytest.raises(UserError, match=found):
        source_of("x", SourceParameters(format="meds", mapping=mapping))


def test_a_mapping_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"no such file(.|\n)*eicu, mimic-iv"):
        source_of("x", SourceParameters(format="meds", mapping="mimic-v"))


WRONG_EVENTS = {
    "a code whose unit is not the mapping's": (
        [*ADMITTED, (1, 2, "LAB//223762//°F", 98.0)],
        "LAB//223762//°F says °F, its entry °C",
    ),
    "temperatures in two units under one code": (
        [*ADMITTED, *((1, hour, "LAB//223762//°C", 37.0 if hour < 20 else 98.6) for hour in range(30))],
        "temperatures in °C and in °F under one code: LAB//223762//°C",
    ),
    "stays without an end": (
        [event for event in ADMITTED if "ICU_DISCHARGE" not in event[2]] + HEART_RATES,
        "1 beginnings of ICU stays, 0 with an end",
    ),
    "no stay": (
        [event for event in ADMITTED if "ICU" not in event[2]] + HEART_RATES,
        "0 beginnings of ICU stays",
    ),
    "a stay that begins twice": (
        [*ADMITTED, *HEART_RATES, (1, 0, "ICU_ADMISSION//Medical ICU", None)],
        "1 ICU stays that begin more than once",
    ),
    "no code that is a vital sign": (ADMITTED, "the mapping knows none as a vital sign"),
    "values outside every stay": ([*ADMITTED, (1, 40, "LAB//220045//bpm", 80.0)], "1 outside every ICU stay"),
}


@pytest.mark.parametrize("case", WRONG_EVENTS)
def test_wrong_events_are_refused_in_one_message(meds, tmp_path: Path, case: str) -> None:
    events, found = WRONG_EVENTS[case]
    raw = meds([(CANARY, *event) for _, *event in events])
    with pytest.raises(UserError, match=found) as refused:
        read(raw, tmp_path)
    assert str(CANARY) not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def rewrite(how: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(shard: Path) -> None:
        how(pd.read_parquet(shard)).to_parquet(shard, index=False)

    return apply


def damaged(shard: Path) -> None:
    """Overwrite the pages, and leave the footer, so that the file opens."""
    content = bytearray(shard.read_bytes())
    content[4:400] = b"\xff" * 396
    shard.write_bytes(content)


WRONG_SHARDS = {
    "an empty subject": (
        rewrite(
            lambda table: table.assign(subject_id=table["subject_id"].astype("Int64").where(table.index > 2))
        ),
        "3 events without subject_id",
    ),
    "an empty code": (
        rewrite(lambda table: table.assign(code=table["code"].where(table.index > 0))),
        "1 without code",
    ),
    "no time": (rewrite(lambda table: table.drop(columns="time")), "missing columns: time"),
    "times as text": (
        rewrite(lambda table: table.assign(time=table["time"].astype(str))),
        r"time \(string\)",
    ),
    "times with a zone": (
        rewrite(lambda table: table.assign(time=table["time"].dt.tz_localize("UTC"))),
        r"time \(timestamp\[us, tz=UTC\]\)",
    ),
    "subjects as text": (rewrite(lambda table: table.assign(subject_id="p1")), r"subject_id \(string\)"),
    "a cut file": (lambda shard: shard.write_bytes(shard.read_bytes()[:100]), "not a complete Parquet file"),
    "a damaged page": (damaged, "a damaged Parquet file"),
    "a shard that is there twice": (
        lambda shard: (shard.parent / "1.parquet").write_bytes(shard.read_bytes()),
        "1 subjects in more than one shard",
    ),
    "no shard": (lambda shard: shard.unlink(), r"no data/\*\*/\*.parquet"),
}


@pytest.mark.parametrize("case", WRONG_SHARDS)
def test_wrong_shards_are_refused_in_one_message(meds, tmp_path: Path, case: str) -> None:
    make_wrong, found = WRONG_SHARDS[case]
    raw = meds(ADMITTED + HEART_RATES)
    make_wrong(raw / "data" / "train" / "0.parquet")
    with pytest.raises(UserError, match=found):
        read(raw, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


@pytest.mark.parametrize(
    ("code", "description", "kind"),
    [
        ("VITALS//PULSE", "", "heart rate"),
        ("MEAS//8867-4", "Heart rate", "heart rate"),
        ("NIBP_SYS", "", "blood pressure"),
        ("LAB//1//mmHg", "", "blood pressure"),
        ("Resp_Rate", "", "respiratory rate"),
        ("PULSE_OX", "", "oxygen saturation"),
        ("BODY//TEMP", "", "temperature"),
        ("LAB//50983//mEq/L", "Sodium", None),
        ("ATTEMPT", "", None),
    ],
)
def test_codes_and_descriptions_name_vital_signs(code: str, description: str, kind: str | None) -> None:
    assert kind_by_words(code, description) == kind


def test_the_command_lists_unmapped_codes_and_writes_them_as_json(
    meds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    for subject in range(1, 12):
        events += [(subject, 0, "ICU_ADMISSION//A", None), (subject, 30, "ICU_DISCHARGE//A", None)]
        events += [(subject, 3, "LAB//220045//bpm", 80.0), (subject, 4, "RESP RATE", 20.0)]
    found = tmp_path / "unmapped.json"
    raw = meds(events)
    list_unmapped_codes(raw, json=found)
    assert "RESP RATE" in capsys.readouterr().out
    (code,) = json.loads(found.read_text(encoding="utf-8"))["unmapped_codes"]
    assert (code["code"], code["looks_like"], code["patients"]) == ("RESP RATE", "respiratory rate", 11)
    list_unmapped_codes(raw, json=found)
    found.write_text("somebody's file", encoding="utf-8")
    with pytest.raises(UserError, match="this command did not make it"):
        list_unmapped_codes(raw, json=found)


def test_unmapped_codes_are_found_by_words_or_values_from_eleven_patients_on(meds, tmp_path: Path) -> None:
    events: list[Event] = []
    for subject in range(1, 12):
        events += [(subject, 0, "ICU_ADMISSION//A", None), (subject, 30, "ICU_DISCHARGE//A", None)]
        events += [(subject, hour, "LAB//220045//bpm", 80.0) for hour in range(30)]
        events += [(subject, hour, "X17", 60.0 + 2 * hour) for hour in range(30)]
        events += [(subject, hour, "SODIUM", 100.0) for hour in (1, 20)]
        events += [(subject, 3, "RESP RATE", 100.0)]
    events += [(1, hour, "PULSE", 80.0) for hour in range(30)]
    with open_reading(meds(events), read_mapping("mimic-iv"), tmp_path) as reading:
        (worded,) = unmapped_by_words(reading)
        (valued,) = unmapped_by_values(reading)
    assert (worded.code, worded.values, worded.patients) == ("RESP RATE", 11, 11)
    assert (valued.code, valued.looks_like, valued.patients) == ("X17", "heart rate", 11)
    assert valued.hours_between == 1.0
