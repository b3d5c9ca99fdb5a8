"""Sepsis-3: the score tables of the papers on a handmade ward, and a second computation of everything."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cohorts.sepsis3_in_python import COMPONENTS, Sepsis3, read_tables
from tests.cohorts.ward import ADMITTED, SCHEMAS, Ward
from workflow_scripts.cohorts.definitions import CONCEPTS_FOLDER, read_definition
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.labelling import label_cohort
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.cohorts.queries import create_table, create_with_needs
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters, SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic

EVERYBODY = CohortParameters(minimum_age_years=0, minimum_stay_hours=0.001, minimum_charted_values=0)
Rows = list[dict[str, Any]]


def concept(events: Path, name: str, **choices: Any) -> Rows:
    """The rows of one concept."""
    query = read_definition(name, CONCEPTS_FOLDER / f"{name}.sql")
    with open_events(events, 1, clinical=True) as connection:
        create_with_needs(connection, "wanted", query, Sepsis3Parameters(**choices).choices())
        return connection.sql("FROM wanted").to_arrow_table().to_pylist()


def scores(events: Path, component: str, hour: int = 1, **choices: Any) -> dict[int, int | None]:
    """The score of an hour by stay."""
    rows = concept(events, f"sofa_{component}", **choices)
    return {row["icustay_id"]: row["score"] for row in sorted(rows, key=_stay) if row["hour"] == hour}


def _stay(row: dict[str, Any]) -> int:
    return row["icustay_id"]


def onsets(events: Path, **choices: Any) -> dict[int, float]:
    """The onset by stay, in hours after the admission of a ward's stay."""
    with open_events(events, 1, clinical=True) as connection:
        create_with_needs(
            connection, "wanted", read_definition("sepsis3"), Sepsis3Parameters(**choices).choices()
        )
        return {stay: hours(onset) for stay, onset in connection.sql("FROM wanted").fetchall()}


def hours(moment: Any) -> float:
    """Hours after the admission of a ward's stay."""
    return (moment - ADMITTED).total_seconds() / 3600


def infected(ward: Ward, stay: int, hour: float = 0) -> Ward:
    """Add a culture at an hour and the antibiotic that follows at once."""
    ward.add("microbiologyevents", stay, hour, chartdate=hour)
    return ward.add("prescriptions", stay, hour, drug="Vancomycin", drug_type="MAIN", route="IV")


# The score tables: Vincent 1996, table 3. Each value is a limit of the table or its neighbour.

LABORATORY = [
    ("coagulation", 51265, {19: 4, 20: 3, 49: 3, 50: 2, 99: 2, 100: 1, 149: 1, 150: 0}),
    ("liver", 50885, {1.1: 0, 1.2: 1, 1.9: 1, 2.0: 2, 5.9: 2, 6.0: 3, 11.9: 3, 12.0: 4}),
    ("renal", 50912, {1.1: 0, 1.2: 1, 1.9: 1, 2.0: 2, 3.4: 2, 3.5: 3, 4.9: 3, 5.0: 4}),
]


@pytest.mark.parametrize(("component", "itemid", "table"), LABORATORY)
def test_laboratory_values_score_as_in_the_table(component, itemid, table, tmp_path) -> None:
    ward = Ward()
    for stay, value in enumerate(table, 1):
        ward.admit(stay).lab(stay, 0.5, itemid, value)
    assert list(scores(ward.write(tmp_path), component).values()) == list(table.values())


def test_a_laboratory_value_beyond_its_limits_is_none(tmp_path) -> None:
    ward = Ward().admit(1).lab(1, 0.5, 50912, 151).lab(1, 0.5, 50885, 0).lab(1, 0.5, 51265, 140)
    ward.admit(2).lab(2, 0.5, 50912, 0).lab(2, 0.5, 50885, 151).lab(2, 0.5, 51265, 10_001)
    events = ward.write(tmp_path)
    assert scores(events, "renal") == scores(events, "liver") == {}
    assert scores(events, "coagulation") == {1: 1}


def test_the_glasgow_coma_scale_scores_as_in_the_table(tmp_path) -> None:
    expected = {15: 0, 14: 1, 13: 1, 12: 2, 10: 2, 9: 3, 6: 3, 5: 4, 3: 4}
    ward = Ward()
    for stay, total in enumerate(expected, 1):
        motor = min(6, total - 2)
        verbal = min(5, total - motor - 1)
        parts = {223901: motor, 223900: verbal, 220739: total - motor - verbal}
        ward.admit(stay)
        for itemid, points in parts.items():
            ward.chart(stay, 0.5, itemid, points)
    assert list(scores(ward.write(tmp_path), "central_nervous_system").values()) == list(expected.values())


def test_who_is_intubated_and_what_is_missing_counts_as_a_normal_coma_scale(tmp_path) -> None:
    ward = Ward().admit(1).admit(2).admit(3).admit(4)
    ward.chart(1, 0.5, 723, "1.0 ET/Trach", valuenum=1).chart(1, 0.5, 454, 1).chart(1, 0.5, 184, 1)
    ward.chart(2, 0.5, 223901, 4)  # only motor: 4 + 5 + 4
    ward.chart(3, 0.5, 223900, 2).chart(3, 6.4, 223901, 6)  # a part less than 6 hours old counts on
    ward.chart(4, 0.5, 223900, 2).chart(4, 6.5, 223901, 6)
    found = {
        (row["icustay_id"], row["hour"]): row["gcs"]
        for row in concept(ward.write(tmp_path), "glasgow_coma_scale")
    }
    assert found == {(1, 1): 15, (2, 1): 13, (3, 1): 12, (3, 7): 12, (4, 1): 12, (4, 7): 15}


def test_each_part_of_the_coma_scale_counts_on_but_none_from_a_time_with_a_tube(tmp_path) -> None:
    ward = Ward().admit(1).admit(2).admit(3)
    ward.chart(1, 0.5, 220739, 2).chart(1, 2.5, 223900, 4)  # eyes 2, then 2 + 6 + 4
    ward.chart(2, 0.5, 223901, 3).chart(2, 2.5, 220739, 3)  # motor 3, then 3 + 3 + 5
    ward.chart(3, 0.5, 223900, "No Response-ETT", valuenum=1).chart(3, 0.5, 223901, 1).chart(
        3, 0.5, 220739, 1
    )
    ward.chart(3, 2.5, 223900, 4)  # 4 + 6 + 4
    rows = concept(ward.write(tmp_path), "glasgow_coma_scale")
    assert {row["icustay_id"]: row["gcs"] for row in rows if row["hour"] == 3} == {1: 12, 2: 11, 3: 14}


INFUSIONS = [
    # Drug, rate, score; dobutamine at any rate is 2, epinephrine and norepinephrine begin at 3.
    (221662, 5, 2), (221662, 5.1, 3), (221662, 15, 3), (221662, 15.1, 4), (221653, 2, 2),
    (221289, 0.1, 3), (221289, 0.11, 4), (221906, 0.1, 3), (221906, 0.11, 4),
]  # fmt: skip


def test_pressure_and_vasopressors_score_as_in_the_table(tmp_path) -> None:
    ward = Ward().admit(101).chart(101, 0.5, 220052, 69.9).admit(102).chart(102, 0.5, 220052, 70)
    for stay, (itemid, rate, _) in enumerate(INFUSIONS, 1):
        infusion = {"itemid": itemid, "rate": rate, "endtime": 1, "statusdescription": "Stopped"}
        ward.admit(stay).chart(stay, 0.5, 220052, 50).add("inputevents_mv", stay, 0.5, **infusion)
    found = scores(ward.write(tmp_path), "cardiovascular")
    assert found == {101: 1, 102: 0} | {stay: score for stay, (_, _, score) in enumerate(INFUSIONS, 1)}


def test_an_infusion_counts_in_the_hours_at_whose_end_it_runs(tmp_path) -> None:
    ward = Ward().admit(1)
    ward.add("inputevents_mv", 1, 1, endtime=3, itemid=221906, rate=0.2, statusdescription="Stopped")
    ward.add("inputevents_mv", 1, 5, endtime=6, itemid=221906, rate=0.2, statusdescription="Rewritten")
    # CareVue: a rate holds until the next charting, unless it was stopped; per minute, divided by the weight.
    for hour, rate, stopped in [
        (10, 40, None),
        (12, 2, None),
        (13, 40, "Stopped"),
        (15, 0, None),
        (17, 40, "D/C'd"),
        (19, 0, None),
        (21, 40, None),
    ]:
        ward.add("inputevents_cv", 1, hour, itemid=30047, rate=rate, stopped=stopped)
    ward.chart(1, 0.5, 762, 100)
    rows = concept(ward.write(tmp_path), "sofa_cardiovascular")
    assert {row["hour"]: row["score"] for row in rows} == {2: 4, 3: 4, 11: 4, 12: 4, 13: 3}


def test_a_rate_per_minute_is_divided_by_80_kg_where_no_weight_is_charted(tmp_path) -> None:
    ward = Ward().admit(1).admit(2)
    for stay, rate in ((1, 8), (2, 8.1)):
        for hour in (0.5, 1):
            ward.add("inputevents_cv", stay, hour, itemid=30047, rate=rate)
    assert scores(ward.write(tmp_path), "cardiovascular") == {1: 3, 2: 4}


def test_a_weight_holds_until_the_next_and_the_first_one_from_the_beginning(tmp_path) -> None:
    ward = Ward().admit(1).chart(1, 5, 762, 80).chart(1, 24, 763, 90)
    ward.admit(2).chart(2, 10, 224639, 70).chart(2, 20, 224639, 0)
    rows = concept(ward.write(tmp_path), "weight")
    found = {
        (row["icustay_id"], hours(row["starttime"]), hours(row["endtime"]), row["weight"]) for row in rows
    }
    assert found == {(1, -2, 24, 80), (1, 24, 50, 90), (2, 10, 50, 70), (2, -2, 10, 70)}


def test_data_belong_to_the_nearer_of_two_neighbouring_stays_or_admissions(tmp_path) -> None:
    ward = Ward().admit(1, hours=48).admit(2, hours=48).admit(3, hours=48)
    for table, start, end in (("icustays", "intime", "outtime"), ("admissions", "admittime", "dischtime")):
        # The second is the first patient's next one, ten hours later.
        second = ward.rows[table][1]
        second |= {"subject_id": 1} | {name: second[name] + pd.Timedelta(hours=58) for name in (start, end)}
    events = ward.write(tmp_path)
    for name, key in (("stay_bounds", "icustay_id"), ("admission_bounds", "hadm_id")):
        rows = concept(events, name)
        found = {row[key] % 1000: (hours(row["data_start"]), hours(row["data_end"])) for row in rows}
        assert found == {1: (-12, 53), 2: (53, 118), 3: (-12, 60)}


def gas(ward: Ward, stay: int, ratio: float, hour: float = 0.5, specimen: str = "ART") -> None:
    ward.lab(stay, hour, 50800, specimen).lab(stay, hour, 50821, ratio / 2).lab(stay, hour, 50816, 50)


def ventilated(ward: Ward, stay: int) -> None:
    ward.chart(stay, 0, 223849, "CMV").chart(stay, 2, 223849, "CMV")


RATIOS = {
    99: (4, 2),
    100: (3, 2),
    199: (3, 2),
    200: (2, 2),
    299: (2, 2),
    300: (1, 1),
    399: (1, 1),
    400: (0, 0),
}


def test_oxygenation_scores_as_in_the_table_with_and_without_ventilation(tmp_path) -> None:
    ward = Ward()
    for number, ratio in enumerate(RATIOS):
        for stay in (number + 1, number + 101):
            gas(ward.admit(stay), stay, ratio)
        ventilated(ward, number + 1)
    events = ward.write(tmp_path)
    found = scores(events, "respiration")
    assert [(found[n + 1], found[n + 101]) for n in range(len(RATIOS))] == list(RATIOS.values())
    published = scores(events, "respiration", ventilated_ratio_200_to_399="zero")
    assert [published[n + 1] for n in range(len(RATIOS))] == [4, 3, 3, 0, 0, 0, 0, 0]


def test_only_arterial_gases_with_an_inspired_oxygen_score(tmp_path) -> None:
    ward = Ward()
    for stay in range(1, 6):
        ward.admit(stay)
    gas(ward, 1, 150, specimen="VEN")
    ward.lab(2, 0.5, 50800, "ART").lab(2, 0.5, 50821, 75)  # no inspired oxygen
    ward.lab(3, 4.5, 50800, "ART").lab(3, 4.5, 50821, 75).chart(3, 0.5, 223835, 0.5)  # charted as a fraction
    ward.lab(4, 5, 50800, "ART").lab(4, 5, 50821, 75).chart(4, 0.9, 223835, 50)  # older than 4 hours
    gas(ward, 5, 150)
    ward.lab(5, 0.5, 50800, "ART")  # two specimens
    events = ward.write(tmp_path)
    found = {row["icustay_id"]: row["ratio"] for row in concept(events, "blood_gases")}
    assert found == {2: None, 3: 150, 4: None}
    # The regression takes the venous gas for an arterial one.
    rows = concept(events, "blood_gases", venous_gases="as_mimic_code")
    assert {row["icustay_id"]: row["ratio"] for row in rows} == found | {1: 150}


# Item of D_ITEMS, what is charted, the percent of oxygen that it means (None: no oxygen at all, but a flow or a slip).
CHARTED_OXYGEN = [
    *[(223835, 0.4, 40), (223835, 1, 100), (223835, 6, None), (223835, 21, 21), (223835, 60, 60)],
    *[(190, 0.2, None), (190, 0.21, 21), (190, 1, 100), (190, 50, None), (3420, 60, 60), (3422, 100, 100)],
    *[(3420, 120, None), (223835, 0, None)],
]


def test_inspired_oxygen_is_charted_as_a_fraction_or_in_percent(tmp_path) -> None:
    ward = Ward()
    for stay, (itemid, charted, _) in enumerate(CHARTED_OXYGEN, 1):
        ward.admit(stay).chart(stay, 0.5, itemid, charted)
        ward.lab(stay, 1, 50800, "ART").lab(stay, 1, 50821, 90)
    ratios = {row["icustay_id"]: row["ratio"] for row in concept(ward.write(tmp_path), "blood_gases")}
    for stay, (_, _, percent) in enumerate(CHARTED_OXYGEN, 1):
        assert ratios[stay] == (pytest.approx(9000 / percent) if percent else None)


def test_ventilation_ends_at_extubation_oxygen_or_after_eight_hours(tmp_path) -> None:
    ward = Ward()
    for stay in range(1, 6):
        ward.admit(stay)
        for hour in (0, 4):
            ward.chart(stay, hour, 720, "Assist Control")
    ward.chart(1, 12, 720, "Assist Control")
    ward.chart(2, 12.1, 720, "Assist Control").chart(2, 14, 720, "Assist Control")
    ward.add("procedureevents_mv", 3, 5, itemid=227194).chart(3, 6, 720, "CPAP").chart(3, 7, 720, "CPAP")
    ward.chart(4, 5, 467, "Face Tent").chart(4, 6, 720, "CPAP").chart(4, 7, 720, "CPAP")
    ward.chart(5, 5, 720, "Other/Remarks").chart(5, 6, 720, "CPAP", error=1)
    found = {
        (row["icustay_id"], hours(row["starttime"]), hours(row["endtime"]))
        for row in concept(ward.write(tmp_path), "ventilation")
    }
    assert found == {
        (1, 0, 12),
        (2, 0, 4),
        (2, 12.1, 14),
        (3, 0, 5),
        (3, 6, 7),
        (4, 0, 4),
        (4, 6, 7),
        (5, 0, 4),
    }


# The traps: each choice of the parameters changes what it says.


def urine(ward: Ward, stay: int, millilitres: float, hours: range) -> Ward:
    for hour in hours:
        ward.add("outputevents", stay, hour, itemid=226559, value=millilitres)
    return ward


def test_urine_of_a_partial_day_is_not_scored_unless_asked_for(tmp_path) -> None:
    ward = urine(Ward().admit(1), 1, 30, range(1, 49))
    events = ward.write(tmp_path)
    clinical = {row["hour"]: row["score"] for row in concept(events, "sofa_renal")}
    assert clinical == dict.fromkeys(range(24, 49), 0)  # 720 ml a day
    published = {
        row["hour"]: row["score"]
        for row in concept(events, "sofa_renal", urine_on_partial_days="as_mimic_code")
    }
    assert [published[hour] for hour in (1, 6, 7, 16, 17, 24)] == [4, 4, 3, 3, 0, 0]


@pytest.mark.parametrize(("hourly", "score"), [(8, 4), (8.4, 3), (20, 3), (21, 0)])
def test_urine_of_24_hours_scores_as_in_the_table(hourly, score, tmp_path) -> None:
    # 24 hours of 8, 8.4, 20 and 21 ml: 192, 201.6, 480 and 504 ml.
    assert scores(urine(Ward().admit(1), 1, hourly, range(1, 49)).write(tmp_path), "renal", hour=30) == {
        1: score
    }


def test_irrigation_that_went_in_is_taken_off(tmp_path) -> None:
    ward = urine(Ward().admit(1), 1, 30, range(1, 49)).add("outputevents", 1, 26, itemid=227488, value=600)
    assert scores(ward.write(tmp_path), "renal", hour=30) == {1: 4}


def test_urine_that_was_charted_by_mistake_does_not_count(tmp_path) -> None:
    ward = urine(Ward().admit(1), 1, 8, range(1, 49))
    ward.add("outputevents", 1, 26, itemid=226559, value=900, iserror=1)
    assert scores(ward.write(tmp_path), "renal", hour=30) == {1: 4}


@pytest.mark.parametrize(("window_hours", "hours"), [(24, 24), (25, 25)])
def test_a_score_is_kept_for_as_many_rows_as_the_window_has(window_hours, hours, tmp_path) -> None:
    ward = Ward().admit(1).lab(1, 0.5, 51265, 30)
    rows = concept(ward.write(tmp_path), "sofa", window_hours=window_hours)
    assert [row["hour"] for row in rows if row["coagulation"] == 3] == list(range(1, 1 + hours))


def test_what_was_not_measured_stays_missing_and_counts_as_nothing(tmp_path) -> None:
    ward = Ward().admit(1).lab(1, 0.5, 51265, 30).chart(1, 0.5, 220052, 90)
    row = next(row for row in concept(ward.write(tmp_path), "sofa") if row["hour"] == 1)
    measured = {name: row[name] for name in COMPONENTS if row[name] is not None}
    assert measured == {"coagulation": 3, "cardiovascular": 0}
    assert row["sofa"] == 3


def test_values_of_the_day_before_the_stay_count_from_its_first_hour(tmp_path) -> None:
    ward = Ward().admit(1).admit(2).lab(1, -11, 51265, 30).lab(2, -13, 51265, 30)
    rows = concept(ward.write(tmp_path), "sofa")
    assert [row["icustay_id"] for row in rows if row["hour"] == 0 and row["sofa"] == 3] == [1]
    # An admission's data begin 12 hours before it.
    assert [row["icustay_id"] for row in rows if row["hour"] == 13 and row["sofa"] == 3] == []


def test_the_hours_begin_with_the_admission_or_the_first_heart_rate(tmp_path) -> None:
    ward = Ward().admit(1, hours=10).admit(2, hours=10)
    ward.chart(1, 2.5, 211, 80).chart(1, 8.25, 220045, 80)
    events = ward.write(tmp_path)
    clocks = {row["icustay_id"]: row for row in concept(events, "stay_clock")}
    assert {stay: (row["origin"], row["last_hour"]) for stay, row in clocks.items()} == {
        1: (ADMITTED, 10),
        2: (ADMITTED, 10),
    }
    (row,) = concept(events, "stay_clock", hour_grid="first_heart_rate")
    assert (row["icustay_id"], row["origin"].hour, row["last_hour"]) == (1, 13, 6)


def test_full_oxygen_counts_unless_it_is_dropped(tmp_path) -> None:
    ward = Ward().admit(1).chart(1, 0.4, 223835, 100).lab(1, 0.5, 50800, "ART").lab(1, 0.5, 50821, 90)
    events = ward.write(tmp_path)
    assert [row["ratio"] for row in concept(events, "blood_gases")] == [90]
    assert [row["ratio"] for row in concept(events, "blood_gases", full_oxygen="dropped")] == [None]


def test_hours_with_two_gases_are_one_row_unless_they_repeat(tmp_path) -> None:
    ward = urine(Ward().admit(1), 1, 22, range(1, 49))  # 528 ml a day, 506 ml in 23 hours
    gas(ward, 1, 500, hour=29.2)
    gas(ward, 1, 500, hour=29.6)
    events = ward.write(tmp_path)
    assert [row["score"] for row in concept(events, "sofa_renal") if row["hour"] == 30] == [0]
    repeated = [row for row in concept(events, "sofa", repeated_hours="as_mimic_code") if row["hour"] == 30]
    assert [row["repeat"] for row in repeated] == [0, 1]
    # With a rate beside another one, the repeated rows are those of every combination.
    for rate in (0.05, 0.2):
        infusion = {"itemid": 221906, "rate": rate, "endtime": 30, "statusdescription": "Stopped"}
        ward.add("inputevents_mv", 1, 29.5, **infusion)
    rows = concept(ward.write(tmp_path), "sofa_cardiovascular", repeated_hours="as_mimic_code")
    assert [row["score"] for row in sorted(rows, key=lambda row: row["repeat"])] == [3, 3, 4, 4]


# Suspicion of infection and onset.

PAIRS = [
    # Hour of the culture, whether it has only a date, hour of the antibiotic, whether there is a suspicion.
    (0, False, 0, True), (0, False, 72, True), (0, False, 72.1, False), (0, True, 96, True), (0, True, 96.1, False),
    (24, False, 0, True), (24.1, False, 0, False), (24, True, 0, True), (24.1, True, 0, False),
]  # fmt: skip


def test_cultures_and_antibiotics_pair_within_their_bounds(tmp_path) -> None:
    ward = Ward()
    for stay, (culture, only_date, antibiotic, _) in enumerate(PAIRS, 1):
        ward.admit(stay)
        ward.add("microbiologyevents", stay, 0, charttime=None if only_date else culture, chartdate=culture)
        ward.add("prescriptions", stay, antibiotic, drug="Vancomycin", drug_type="MAIN", route="IV")
    rows = concept(ward.write(tmp_path), "suspicion_of_infection")
    found = {row["icustay_id"]: hours(row["suspicion_time"]) for row in rows}
    assert found == {stay: pair[0] for stay, pair in enumerate(PAIRS, 1) if pair[3]}


def test_a_culture_after_the_antibiotic_counts_only_without_one_before(tmp_path) -> None:
    ward = infected(Ward().admit(1), 1).add("microbiologyevents", 1, 5, chartdate=5)
    rows = concept(ward.write(tmp_path), "suspicion_of_infection")
    assert [row["suspicion_time"] for row in rows] == [ADMITTED]


PRESCRIPTIONS = [
    # Drug, type, route: systemic antibiotic for mimic-code, and with the complete names.
    ("Vancomycin", "MAIN", "IV", True, True), ("vancomycin HCl", "ADDITIVE", "PO", True, True),
    ("Vancomycin", "BASE", "IV", False, False), ("Vancomycin", "MAIN", None, False, False),
    ("Vancomycin", "MAIN", "LEFT EYE", False, False), ("Vancomycin", "MAIN", "OU", False, False),
    ("Erythromycin 0.5% Ophth Oint", "MAIN", "IV", False, False), ("Gentamicin Cream", "MAIN", "IV", False, False),
    ("Ampicillin Desensitization", "MAIN", "IV", False, False), ("Aspirin", "MAIN", "PO", False, False),
    ("CeftriaXONE", "MAIN", "IV", False, True), ("Meropenem", "MAIN", "IV", False, True),
    ("Linezolid", "MAIN", "PO", False, True), ("Daptomycin", "MAIN", "IV", False, True),
]  # fmt: skip


def test_systemic_antibiotics_are_told_by_name_type_and_route(tmp_path) -> None:
    ward = Ward()
    for stay, (drug, kind, route, _, _) in enumerate(PRESCRIPTIONS, 1):
        ward.admit(stay).add("prescriptions", stay, 0, drug=drug, drug_type=kind, route=route)
    events = ward.write(tmp_path)
    by_choice = {
        choice: [row["hadm_id"] - 1000 for row in concept(events, "antibiotics", antibiotic_names=choice)]
        for choice in ("as_mimic_code", "complete")
    }
    for place, choice in ((3, "as_mimic_code"), (4, "complete")):
        expected = [stay for stay, prescription in enumerate(PRESCRIPTIONS, 1) if prescription[place]]
        assert sorted(by_choice[choice]) == expected
    # By name alone, eye drops of vancomycin count because somebody gets it into a vein.
    by_name = concept(events, "antibiotics", antibiotic_rows="by_drug_name")
    assert {1001, 1003, 1004, 1005, 1006} <= {row["hadm_id"] for row in by_name}


@pytest.mark.parametrize(
    ("culture", "onset"), [(-24, None), (-23, 1), (49, 1), (50, 2), (73, 25), (74, None)]
)
def test_the_onset_lies_from_48_hours_before_to_24_hours_after_a_suspicion(culture, onset, tmp_path) -> None:
    # A SOFA of 3 in the hours 1 to 24, and of 2 in hour 25 (platelets of 60).
    ward = Ward().admit(1, hours=100).lab(1, 0.5, 51265, 30).lab(1, 1.5, 51265, 60)
    infected(ward, 1, culture)
    assert onsets(ward.write(tmp_path)) == ({} if onset is None else {1: onset})


@pytest.mark.parametrize(
    ("antibiotic", "culture", "only_a_date", "known"),
    [
        (-34, -20, False, 1),  # The day of the antibiotic ends 10 hours before the stay.
        (
            -10,
            -12,
            False,
            14,
        ),  # The antibiotic's day is that of the admission, at 10 o'clock; it ends 14 hours later.
        (-10, 6, False, 14),
        (14, 13.5, False, 38),
        (14, -10, True, 38),  # A culture of the admission's day, and an antibiotic of the next.
    ],
)
def test_an_onset_is_knowable_once_the_score_the_culture_and_the_day_of_the_antibiotic_are_over(
    antibiotic, culture, only_a_date, known, tmp_path
) -> None:
    # Low platelets in the first hour: a SOFA of 3 in the hours 1 to 24.
    ward = Ward().admit(1, hours=100).lab(1, 0.5, 51265, 30)
    charted = {"charttime": None} if only_a_date else {}
    ward.add("microbiologyevents", 1, culture, chartdate=culture, **charted)
    ward.add("prescriptions", 1, antibiotic, drug="Vancomycin", drug_type="MAIN", route="IV")
    events = ward.write(tmp_path)
    assert onsets(events) == {1: 1}
    assert onsets(events, onset="knowable") == {1: known}


def test_a_sofa_of_one_or_no_suspicion_is_no_sepsis(tmp_path) -> None:
    ward = (
        Ward()
        .admit(1)
        .lab(1, 0.5, 51265, 120)
        .admit(2)
        .lab(2, 0.5, 51265, 30)
        .admit(3)
        .lab(3, 0.5, 51265, 30)
    )
    infected(infected(ward, 1), 3)
    assert onsets(ward.write(tmp_path)) == {3: 1}


def test_the_earliest_suspicion_alone_counts_where_that_is_asked_for(tmp_path) -> None:
    ward = Ward().admit(1, hours=200).lab(1, 120.5, 51265, 30)
    infected(infected(ward, 1, 0), 1, 120)
    events = ward.write(tmp_path)
    assert onsets(events) == {1: 121}
    ward.admit(2).lab(2, 0.5, 51265, 30)
    infected(ward, 2)
    assert onsets(ward.write(tmp_path / "two"), suspicions="earliest") == {2: 1}


# Everything a second time.


@pytest.fixture(scope="module")
def simulated_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "raw").mkdir()
    simulate_mimic(SimulatorParameters(patients=40), folder / "raw")
    extract_events(folder / "raw", folder / "events", ExtractionParameters())
    return folder / "events"


def sql_results(events: Path, choices: dict, monkeypatch: pytest.MonkeyPatch) -> dict[str, Rows]:
    """The tables sofa, suspicion_of_infection and sepsis3 (named `wanted`) of one run."""
    kept: dict[str, Rows] = {}

    def keep(connection: Any, table: str, query: Any) -> None:
        create_table(connection, table, query)
        if table in ("sofa", "suspicion_of_infection", "wanted"):
            kept[table] = connection.sql(f'FROM "{table}"').to_arrow_table().to_pylist()

    with monkeypatch.context() as patch, open_events(events, 1, clinical=True) as connection:
        patch.setattr("workflow_scripts.cohorts.queries.create_table", keep)
        create_with_needs(connection, "wanted", read_definition("sepsis3"), choices)
    return kept


CHOICES: list[dict[str, Any]] = [
    {},
    {"onset": "knowable"},
    {"definition": "mimic_code", "repeated_hours": "merged"},
    {
        "suspicions": "earliest",
        "onset": "knowable",
        "window_hours": 25,
        "full_oxygen": "dropped",
        "antibiotic_rows": "by_drug_name",
    },
]
SOURCES = ["simulated_events", pytest.param("extracted_demo", marks=pytest.mark.demo)]


@pytest.mark.parametrize("choices", CHOICES, ids=["clinical", "knowable", "mimic_code", "mixed"])
@pytest.mark.parametrize("source", SOURCES)
def test_everything_equals_a_second_computation(
    source, choices, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = request.getfixturevalue(source)
    made = Sepsis3Parameters(**choices).choices()
    expected = Sepsis3(read_tables(events), made)
    found = sql_results(events, made, monkeypatch)
    sofa = {(row["icustay_id"], row["hour"]): {name: row[name] for name in [*COMPONENTS, "sofa"]}
            for row in found["sofa"]}  # fmt: skip
    assert sofa == expected.sofa
    for name in COMPONENTS:
        assert len({row[name] for row in found["sofa"]}) > 2, f"{name} says nothing here"
    suspicions = {
        (row["icustay_id"], _seconds(row["suspicion_time"])) for row in found["suspicion_of_infection"]
    }
    assert suspicions == {(stay, time) for stay, times in expected.suspicions.items() for time in times}
    first_day = {row.pop("icustay_id"): row for row in concept(events, "sofa_first_day", **choices)}
    assert first_day == expected.first_day()
    assert {row["icustay_id"]: _seconds(row["onset"]) for row in found["wanted"]} == expected.onsets
    assert expected.onsets


def _seconds(moment: Any) -> int:
    return int((moment - ADMITTED.to_pydatetime()).total_seconds() + ADMITTED.timestamp())


def test_between_a_fifth_and_three_fifths_of_simulated_adult_stays_are_septic(simulated_events) -> None:
    lasting = CohortParameters(minimum_stay_hours=0.001, minimum_charted_values=0)
    table, attrition = label_cohort(simulated_events, "sepsis3", lasting, [])
    counts = {row.step: row.stays for row in attrition}
    assert 0.2 < counts["definition"] / counts["stay_length"] < 0.6
    rows = [row for row in table.to_pylist() if row["meets_definition"]]
    # The hour in which a stay begins or ends may end up to an hour after it.
    assert all(row["intime"] <= row["onset"] + pd.Timedelta(minutes=1) for row in rows)
    assert all(row["onset"] < row["outtime"] + pd.Timedelta(hours=1) for row in rows)


@pytest.fixture(scope="module")
def comparison(extracted_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, pd.DataFrame]:
    """What the command prints for the demo, and its stays with the onset after each step."""
    stays = tmp_path_factory.mktemp("comparison") / "stays.parquet"
    command = [sys.executable, "-m", "workflow_scripts.steps.compare_sepsis3", "--events", extracted_demo]
    done = subprocess.run([*command, "--stays", stays], capture_output=True, text=True, check=True)
    return done.stdout, pd.read_parquet(stays).set_index("icustay_id")


@pytest.mark.demo
def test_the_documentation_s_counts_are_what_the_command_prints(comparison) -> None:
    page = (Path(__file__).parents[2] / "docs/cohorts.md").read_text(encoding="utf-8")
    counts, steps = comparison[0].strip().split("\n\n")
    assert counts in page
    assert steps in page


@pytest.mark.demo
def test_the_stays_of_the_comparison_lead_from_one_preset_to_the_other(comparison, extracted_demo) -> None:
    printed, stays = comparison
    for preset, step in (("clinical", 0), ("mimic_code", -1)):
        found = {stay: hours(onset) for stay, onset in stays.iloc[:, step].dropna().items()}
        assert found == onsets(extracted_demo, definition=preset)
    septic = [int(line.split("|")[2]) for line in printed.strip().split("\n\n")[1].splitlines()[2:]]
    assert septic == stays.notna().sum().tolist()


# Properties: what must not change a label.

Change = Callable[[dict[str, pd.DataFrame]], dict[str, pd.DataFrame]]


@pytest.fixture(scope="module")
def few_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    (folder / "raw").mkdir()
    simulate_mimic(SimulatorParameters(patients=20), folder / "raw")
    extract_events(folder / "raw", folder / "events", ExtractionParameters())
    return folder / "events"


@pytest.fixture(scope="module")
def few_onsets(few_events: Path) -> dict[int, float]:
    return onsets(few_events)


def rewrite(events: Path, folder: Path, change: Change) -> Path:
    """Write changed events tables into a new folder."""
    tables = {table: pd.read_parquet(events / f"{table}.parquet") for table in SCHEMAS}
    folder.mkdir()
    for table, frame in change(tables).items():
        rows = pa.Table.from_pandas(frame, schema=SCHEMAS[table], preserve_index=False)
        pq.write_table(rows, folder / f"{table}.parquet")
    return folder


# Whose rows are neither summed up nor counted: repeating one says nothing new.
REPEATABLE = ["prescriptions", "microbiologyevents", "clinical_chart", "inputevents_mv", "inputevents_cv"]


@settings(max_examples=3)
@given(seed=st.integers(0, 999))
def test_row_order_and_repeated_rows_change_no_onset(seed, few_events, few_onsets, tmp_path_factory) -> None:
    def shuffle_and_repeat(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        for name in REPEATABLE:
            tables[name] = pd.concat([tables[name], tables[name].sample(frac=0.3, random_state=seed)])
        return {name: table.sample(frac=1, random_state=seed) for name, table in tables.items()}

    changed = rewrite(few_events, tmp_path_factory.mktemp("changed") / "events", shuffle_and_repeat)
    assert onsets(changed) == few_onsets != {}


@settings(max_examples=3)
@given(hours_later=st.integers(-50_000, 50_000))
def test_a_shift_of_all_times_shifts_every_onset(
    hours_later, few_events, few_onsets, tmp_path_factory
) -> None:
    def shift(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        for table in tables.values():
            for column in table.columns:
                if pd.api.types.is_datetime64_any_dtype(table[column]):
                    table[column] = table[column].astype("datetime64[us]") + np.timedelta64(hours_later, "h")
        return tables

    shifted = onsets(rewrite(few_events, tmp_path_factory.mktemp("shifted") / "events", shift))
    assert shifted == {stay: onset + hours_later for stay, onset in few_onsets.items()}


@settings(max_examples=2)
@given(more=st.integers(1, 3))
def test_further_patients_change_no_onset(more, few_events, few_onsets, tmp_path_factory) -> None:
    def add_copies(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        for name, table in tables.items():
            keys = [key for key in ("subject_id", "hadm_id", "icustay_id") if key in table]
            copies = [table.assign(**(table[keys] + 10**9 * copy)) for copy in range(more + 1)]
            tables[name] = pd.concat(copies)
        return tables

    together = onsets(rewrite(few_events, tmp_path_factory.mktemp("together") / "events", add_copies))
    assert {stay: together[stay] for stay in few_onsets} == few_onsets
    assert len(together) == len(few_onsets) * (more + 1)
