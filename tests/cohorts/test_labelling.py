"""Inclusion steps, attrition and the cohort table."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.cohorts.labelling import AttritionRow, label_cohort
from workflow_scripts.cohorts.parameters import CohortParameters

VITALS = ["heart_rate"]


def label(events: Path, definition: str = "all", vitals: list[str] | None = None, **parameters):
    """Return the cohort table's rows by icustay_id, and the attrition."""
    table, attrition = label_cohort(events, definition, CohortParameters(**parameters), vitals or VITALS)
    return {row["icustay_id"]: row for row in table.to_pylist()}, attrition


def test_the_cohort_table_has_the_columns_and_types_of_the_architecture_document(hospital, tmp_path) -> None:
    table, _ = label_cohort(hospital.admit(1).write(tmp_path), "all", CohortParameters(), VITALS)
    microseconds = pa.timestamp("us")
    assert list(zip(table.schema.names, table.schema.types, strict=True)) == [
        ("subject_id", pa.int64()),
        ("hadm_id", pa.int64()),
        ("icustay_id", pa.int64()),
        ("intime", microseconds),
        ("outtime", microseconds),
        ("age_years", pa.float64()),
        ("sex", pa.string()),
        ("icu_type", pa.string()),
        ("died_in_hospital", pa.bool_()),
        ("meets_definition", pa.bool_()),
        ("included", pa.bool_()),
        ("excluded_at", pa.string()),
        ("onset", microseconds),
    ]


def test_every_stay_carries_the_first_step_that_it_fails(hospital, tmp_path) -> None:
    hospital.admit(1, diagnoses=("99592",))
    hospital.admit(2, born="2083-01-01", hours=10, charted=0)
    hospital.admit(3, hours=24.9, diagnoses=("99592",), died=1)
    hospital.admit(4, hours=None, diagnoses=("99592",))
    hospital.admit(5, diagnoses=("4019",), charted=0)
    hospital.admit(6, diagnoses=("99592",), charted=23)
    hospital.admit(7, patient=1, intime="2101-05-05", diagnoses=("78552",), charted=24, hours=25, died=1)
    rows, attrition = label(hospital.write(tmp_path), "explicit")
    assert {stay: row["excluded_at"] for stay, row in rows.items()} == {
        1: None,
        2: "adult",
        3: "stay_length",
        4: "stay_length",
        5: "definition",
        6: "charted_values",
        7: None,
    }
    assert all(row["included"] == (row["excluded_at"] is None) for row in rows.values())
    assert [stay for stay, row in rows.items() if row["meets_definition"]] == [1, 3, 4, 6, 7]
    assert attrition == [
        AttritionRow("all_stays", 7, 7, 6, 2),
        AttritionRow("adult", 6, 6, 5, 2),
        AttritionRow("stay_length", 4, 4, 3, 1),
        AttritionRow("definition", 3, 3, 2, 1),
        AttritionRow("charted_values", 2, 2, 1, 1),
    ]


def test_first_stay_only_keeps_the_earliest_admission_to_the_icu_of_each_patient(hospital, tmp_path) -> None:
    hospital.admit(8, patient=1, intime="2100-03-01").admit(4, patient=1, intime="2100-09-01")
    hospital.admit(5, patient=2, intime="2100-09-01").admit(9, patient=2, intime="2100-03-01")
    rows, attrition = label(hospital.write(tmp_path), first_stay_only=True)
    assert [stay for stay, row in rows.items() if row["included"]] == [8, 9]
    assert rows[4]["excluded_at"] == "first_stay"
    assert [row.step for row in attrition] == [
        "all_stays", "adult", "first_stay", "stay_length", "definition", "charted_values",
    ]  # fmt: skip


# Birth, ICU admission, age in years by the calendar; MIMIC-III documents 91.4 years for a shifted birth.
AGES = [
    ("2060-01-01", "2100-01-01 00:00:00", 40.0),
    ("2060-07-01", "2100-01-01 12:00:00", 39.5),
    ("2100-01-01", "2100-01-01 00:00:00", 0.0),
    ("2011-01-01", "2100-01-01 00:00:00", 89.0),
    ("1800-06-01", "2100-06-01 10:00:00", 91.4),
    ("1795-06-01", "2101-01-01 10:00:00", 91.4),
]


@pytest.mark.parametrize(("born", "intime", "years"), AGES)
def test_age_is_taken_at_icu_admission_and_shifted_births_count_as_91_4_years(
    born, intime, years, hospital, tmp_path
) -> None:
    hospital.admit(1, born=born, intime=intime)
    rows, _ = label(hospital.write(tmp_path), minimum_age_years=0)
    assert rows[1]["age_years"] == pytest.approx(years, abs=0.01)


def test_death_in_hospital_is_the_admission_s_flag(hospital, tmp_path) -> None:
    rows, _ = label(hospital.admit(1, died=1).admit(2, died=0).write(tmp_path))
    assert rows[1]["died_in_hospital"]
    assert not rows[2]["died_in_hospital"]


def test_sex_and_icu_type_are_those_of_the_release_in_words(hospital, tmp_path) -> None:
    hospital.admit(1, gender="F", unit="MICU").admit(2, gender="M", unit="CSRU").admit(3)
    hospital.admit(4, patient=1, intime="2100-09-01", unit="SICU")
    rows, _ = label(hospital.write(tmp_path))
    assert {number: (row["sex"], row["icu_type"]) for number, row in rows.items()} == {
        1: ("female", "MICU"),
        2: ("male", "CSRU"),
        3: (None, None),
        4: ("female", "SICU"),
    }


def test_only_finite_values_charted_during_the_stay_count(hospital, tmp_path) -> None:
    for stay in (1, 2, 3, 4):
        hospital.admit(stay, charted=24)
    by_stay = {
        stay: [row for row in hospital.rows["vitals"] if row["icustay_id"] == stay] for stay in (2, 3, 4)
    }
    by_stay[2][0]["charttime"] -= pd.Timedelta(minutes=1)
    by_stay[3][0]["value"] = np.nan
    by_stay[4][0]["charttime"] += pd.Timedelta(hours=48)
    rows, _ = label(hospital.write(tmp_path))
    assert [stay for stay, row in rows.items() if row["included"]] == [1]


def test_every_studied_vital_sign_must_be_charted(hospital, tmp_path) -> None:
    hospital.admit(1).admit(2)
    pressures = [{**row, "vital": "pressure"} for row in hospital.rows["vitals"] if row["icustay_id"] == 2]
    hospital.rows["vitals"] += pressures
    rows, _ = label(hospital.write(tmp_path), vitals=["heart_rate", "pressure"])
    assert [stay for stay, row in rows.items() if row["included"]] == [2]


def test_no_charted_values_are_asked_for_when_the_minimum_is_zero(hospital, tmp_path) -> None:
    rows, _ = label(hospital.admit(1, charted=0).write(tmp_path), minimum_charted_values=0)
    assert rows[1]["included"]


# Which step loses the last stay, and a hospital in which it does.
EMPTY = [
    ("adult", {"born": "2099-01-01"}),
    ("stay_length", {"hours": 5}),
    ("definition", {"diagnoses": ("4019",)}),
    ("charted_values", {"diagnoses": ("99592",), "charted": 3}),
]


@pytest.mark.parametrize(("step", "patient"), EMPTY)
def test_an_empty_cohort_is_refused_with_the_step_that_lost_the_last_stay(
    step, patient, hospital, tmp_path, user_error: Callable
) -> None:
    events = hospital.admit(770077, **patient).write(tmp_path)
    error = user_error(lambda: label(events, "explicit"))
    assert f"after the step {step} " in error.found
    assert "all_stays 1" in error.found
    assert "770077" not in str(error)


def test_a_missing_table_and_a_missing_column_are_named(hospital, tmp_path, user_error: Callable) -> None:
    events = hospital.admit(1).write(tmp_path)
    icustays = pd.read_parquet(events / "icustays.parquet")
    icustays.drop(columns="outtime").assign(intime="x").to_parquet(events / "icustays.parquet")
    error = user_error(lambda: label(events))
    assert error.where.endswith("icustays.parquet")
    assert "missing columns: outtime" in error.found
    assert "intime" in error.found
    (events / "admissions.parquet").unlink()
    assert user_error(lambda: label(events)).where.endswith("admissions.parquet")


def test_a_file_that_was_cut_is_named(hospital, tmp_path, user_error: Callable) -> None:
    events = hospital.admit(1).write(tmp_path)
    whole = (events / "vitals.parquet").read_bytes()
    (events / "vitals.parquet").write_bytes(whole[: len(whole) // 2])
    assert "vitals.parquet" in user_error(lambda: label(events)).where


def test_a_patient_that_stands_twice_in_its_table_is_refused(
    hospital, tmp_path, user_error: Callable
) -> None:
    hospital.admit(1)
    hospital.rows["patients"] *= 2
    assert "1 rows too many" in user_error(lambda: label(hospital.write(tmp_path))).found


# Properties: what must not change a label.

CODES = ["99592", "78552", "0389", "7907", "486", "51881", "5849", "2762", "4019"]
PATIENTS = st.lists(
    st.fixed_dictionaries(
        {
            "born": st.sampled_from(["1790-01-01", "2040-01-01", "2090-01-01"]),
            "hours": st.sampled_from([12, 36, 60]),
            "charted": st.sampled_from([0, 23, 24, 30]),
            "diagnoses": st.lists(st.sampled_from(CODES), max_size=3).map(tuple),
            "procedures": st.lists(st.sampled_from(["9671", "3995", "8856"]), max_size=1).map(tuple),
        }
    ),
    min_size=5,
    max_size=15,
)
DEFINITIONS = st.sampled_from(["explicit", "angus", "martin"])


def label_people(people, definition, folder: Path, new_hospital, change=lambda tables: tables):
    """Return the labels of made-up patients, and of one who is always included: no cohort is empty."""
    make_hospital, write_events = new_hospital
    hospital = make_hospital()
    for number, person in enumerate(people, 1):
        hospital.admit(number, **person)
    hospital.admit(100, diagnoses=("0389", "99592", "51881"))
    rows, _ = label(write_events(folder, change(hospital.tables())), definition)
    return rows


@pytest.fixture(scope="session")
def new_hospital(make_hospital, events_writer):
    return make_hospital, events_writer


@settings(max_examples=6)
@given(people=PATIENTS, definition=DEFINITIONS, seed=st.integers(0, 99))
def test_row_order_and_repeated_diagnoses_change_nothing(
    people, definition, seed, tmp_path_factory, new_hospital
) -> None:
    def shuffle_and_repeat(tables):
        tables["diagnoses_icd"] = pd.concat([tables["diagnoses_icd"], tables["diagnoses_icd"]])
        return {name: table.sample(frac=1, random_state=seed) for name, table in tables.items()}

    folder = tmp_path_factory.mktemp("events")
    expected = label_people(people, definition, folder / "a", new_hospital)
    changed = label_people(people, definition, folder / "b", new_hospital, shuffle_and_repeat)
    assert changed == expected
    assert list(changed) == list(expected)


@settings(max_examples=6)
@given(people=PATIENTS, more=PATIENTS, definition=DEFINITIONS)
def test_further_patients_and_a_shift_of_all_times_change_no_label(
    people, more, definition, tmp_path_factory, new_hospital
) -> None:
    def shift(tables):
        for table in tables.values():
            for column in table.columns:
                if pd.api.types.is_datetime64_any_dtype(table[column]):
                    table[column] = table[column].astype("datetime64[us]") + np.timedelta64(4000, "D")
        return tables

    folder = tmp_path_factory.mktemp("events")
    alone = label_people(people, definition, folder / "a", new_hospital)
    together = label_people([*people, *more], definition, folder / "b", new_hospital, shift)
    for number in range(1, len(people) + 1):
        for column in ("excluded_at", "meets_definition", "died_in_hospital"):
            assert together[number][column] == alone[number][column]
        assert together[number]["age_years"] == pytest.approx(alone[number]["age_years"], abs=1e-9)


# The open demo, computed a second time by pandas.


def attrition_in_pandas(tables: dict[str, pd.DataFrame], vitals: list[str]) -> dict[str, set[int]]:
    """Step -> stays left (definition: explicit), with joins and filters in pandas."""
    times = {"intime": "datetime64[s]", "outtime": "datetime64[s]"}
    stays = tables["icustays"].astype(times).merge(tables["patients"][["subject_id", "dob"]], on="subject_id")
    age = (stays["intime"] - stays["dob"].astype("datetime64[s]")).dt.days / 365.2425
    left = {"all_stays": set(stays["icustay_id"])}
    stays = stays[age >= 18]
    left["adult"] = set(stays["icustay_id"])
    stays = stays[stays["outtime"] - stays["intime"] >= pd.Timedelta(hours=25)]
    left["stay_length"] = set(stays["icustay_id"])
    coded = tables["diagnoses_icd"].query("icd9_code in ['99592', '78552']")["hadm_id"]
    stays = stays[stays["hadm_id"].isin(coded)]
    left["definition"] = set(stays["icustay_id"])
    values = tables["vitals"].merge(stays[["icustay_id", "intime", "outtime"]], on="icustay_id")
    values["charttime"] = values["charttime"].astype("datetime64[s]")
    values = values[(values["charttime"] >= values["intime"]) & (values["charttime"] < values["outtime"])]
    counts = values.groupby(["icustay_id", "vital"]).size().unstack(fill_value=0)[vitals]
    left["charted_values"] = set(counts.index[(counts >= 24).all(axis=1)])
    return left


@pytest.mark.demo
@pytest.mark.skipif("MIMIC_DEMO_DIR" not in os.environ, reason="MIMIC_DEMO_DIR is not set")
def test_the_demo_s_attrition_equals_a_computation_in_pandas(demo_events, demo_tables) -> None:
    vitals = ["heart_rate", "mean_blood_pressure"]
    rows, attrition = label(demo_events, "explicit", vitals)
    expected = attrition_in_pandas(demo_tables, vitals)
    assert {row.step: row.stays for row in attrition} == {
        step: len(stays) for step, stays in expected.items()
    }
    assert {stay for stay, row in rows.items() if row["included"]} == expected["charted_values"]
    # 136 ICU stays of 129 admissions and 100 patients: the demo's published size.
    assert attrition[0] == AttritionRow("all_stays", 136, 129, 100, 46)
    stays = demo_tables["icustays"].merge(demo_tables["admissions"], on="hadm_id").set_index("icustay_id")
    died = stays["hospital_expire_flag"] == 1
    assert {row.step: row.deaths for row in attrition} == {
        step: int(died.loc[list(left)].sum()) for step, left in expected.items()
    }


@pytest.mark.demo
@pytest.mark.skipif("MIMIC_DEMO_DIR" not in os.environ, reason="MIMIC_DEMO_DIR is not set")
def test_the_demo_s_sexes_and_units_are_those_of_its_own_tables(demo_events, demo_tables) -> None:
    rows, _ = label(demo_events)
    stays = demo_tables["icustays"].merge(demo_tables["patients"], on="subject_id").set_index("icustay_id")
    assert {number: row["icu_type"] for number, row in rows.items()} == stays["first_careunit"].to_dict()
    assert {number: row["sex"][0].upper() for number, row in rows.items()} == stays["gender"].to_dict()
