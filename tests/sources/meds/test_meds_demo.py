"""The open MIMIC-IV demo in MEDS: against counts of the demo's own tables, and against a computation with pandas.

Counts: the MIMIC-IV demo 2.2 has 100 patients, 140 ICU stays and 4,506 diagnoses. The pandas computation shares no code
with the reader.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.open_data import open_data
from workflow_scripts.sources.contract import check_tables
from workflow_scripts.sources.mimic_iii.items import vital_names
from workflow_scripts.sources.parameters import SourceParameters
from workflow_scripts.sources.source import source_of

TABLES = ["stays.parquet", "vitals.parquet"]


@pytest.fixture(scope="session")
def raw() -> Path:
    return open_data("meds-demo", "MEDS_DEMO_DIR")


@pytest.fixture(scope="session")
def tables(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """The values, the stays in the order of subject and time, and the counts."""
    folder = tmp_path_factory.mktemp("meds")
    counts = source_of("mimic-iv-demo", SourceParameters(path=str(raw))).write_tables(raw, folder)
    assert sorted(path.name for path in folder.iterdir()) == TABLES
    check_tables(folder / "vitals.parquet", folder / "stays.parquet", vital_names())
    stays = pd.read_parquet(folder / "stays.parquet")
    stays = stays.assign(subject_id=stays["subject_id"].astype(int)).sort_values(["subject_id", "intime"])
    return pd.read_parquet(folder / "vitals.parquet"), stays.reset_index(drop=True), dict(counts)


@pytest.fixture(scope="session")
def events(raw: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(path) for path in sorted(raw.glob("data/**/*.parquet")))


@pytest.fixture(scope="session")
def expected(events: pd.DataFrame) -> pd.DataFrame:
    """The k-th beginning of a subject's stays with its k-th end, and the admission with the largest overlap."""

    def spans(*prefixes: str) -> pd.DataFrame:
        begins, ends = (
            events[events["code"].str.startswith(prefix)]
            .sort_values(["subject_id", "time"])[["subject_id", "time", "code"]]
            .assign(k=lambda found: found.groupby("subject_id").cumcount())
            for prefix in prefixes
        )
        return begins.merge(ends, on=["subject_id", "k"], suffixes=("", "_end"), validate="1:1")

    stays = spans("ICU_ADMISSION//", "ICU_DISCHARGE//")
    admissions = spans("HOSPITAL_ADMISSION//", "HOSPITAL_DISCHARGE//").drop(columns="k")
    both = stays.merge(admissions, on="subject_id", suffixes=("", "_hospital"))
    end = both[["time_end", "time_end_hospital"]].min(axis=1)
    both["overlap"] = end - both[["time", "time_hospital"]].max(axis=1)
    return both.loc[both.groupby(["subject_id", "k"])["overlap"].idxmax()].reset_index(drop=True)


def test_the_demo_has_its_stays_and_patients(tables) -> None:
    stays = tables[1]
    assert (len(stays), stays["subject_id"].nunique(), stays["icustay_id"].nunique()) == (140, 100, 140)
    assert tables[2]["stays without an end, left out"] == 0
    assert tables[2]["stays outside every hospital admission"] == 0


def test_stays_are_those_of_a_second_computation(tables, expected: pd.DataFrame) -> None:
    stays = tables[1]
    assert stays["intime"].tolist() == expected["time"].tolist()
    assert stays["outtime"].tolist() == expected["time_end"].tolist()
    died = expected["code_end_hospital"] == "HOSPITAL_DISCHARGE//DIED"
    assert 0 < died.sum() < 140
    assert stays["died_in_hospital"].tolist() == died.tolist()
    assert stays["icu_type"].tolist() == expected["code"].str.split("//").str[1].tolist()


def test_ages_and_sexes_are_those_of_the_static_events(tables, events: pd.DataFrame) -> None:
    birth = events[events["code"] == "MEDS_BIRTH"].set_index("subject_id")["time"].dt.year
    sex = events[events["code"].str.startswith("GENDER//")].set_index("subject_id")["code"]
    stays = tables[1]
    assert (stays["age_years"] == stays["intime"].dt.year - stays["subject_id"].map(birth)).all()
    assert ((stays["sex"] == "female") == (stays["subject_id"].map(sex) == "GENDER//F")).all()


ITEMS = {
    "heart_rate": ([220045], 300),
    "systolic_blood_pressure": ([220050, 225309, 220179], 400),
    "diastolic_blood_pressure": ([220051, 225310, 220180], 300),
    "mean_blood_pressure": ([220052, 225312, 220181], 300),
    "respiratory_rate": ([220210, 224690], 70),
    "spo2": ([220277], 100.5),
}
"""Vital sign -> MetaVision's items of mimic-code's vitalsign.sql, and the bound of its values, which are above 0."""


@pytest.fixture(scope="session")
def charted(events: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Charted values within a stay, with their item."""
    itemid = pd.to_numeric(events["code"].str.extract(r"^LAB//(22\d+)//", expand=False))
    found = events.assign(itemid=itemid).dropna(subset=["itemid", "numeric_value"])
    stays = expected[["subject_id", "k", "time", "time_end"]]
    found = found.merge(stays, on="subject_id", suffixes=("", "_begin"))
    return found[(found["time"] >= found["time_begin"]) & (found["time"] < found["time_end"])]


def kept(charted: pd.DataFrame) -> np.ndarray:
    return np.sort(charted.drop_duplicates(["subject_id", "k", "time", "numeric_value"])["numeric_value"])


@pytest.mark.parametrize("vital", ITEMS)
def test_values_are_those_of_a_second_computation(tables, charted: pd.DataFrame, vital: str) -> None:
    items, high = ITEMS[vital]
    value = charted["numeric_value"]
    wanted = kept(charted[charted["itemid"].isin(items) & (value > 0) & (value < high)])
    assert len(wanted) > 13_000
    found = tables[0].loc[tables[0]["vital"] == vital, "value"]
    np.testing.assert_array_equal(np.sort(found), wanted)


def test_temperatures_are_converted_and_those_in_the_wrong_unit_left_out(
    tables, charted: pd.DataFrame
) -> None:
    in_celsius = charted["itemid"].isin([223762, 226329, 227632, 227634])
    celsius = charted[in_celsius & charted["numeric_value"].between(10, 50)]
    fahrenheit = charted[(charted["itemid"] == 223761) & charted["numeric_value"].between(70, 120)]
    converted = fahrenheit.assign(numeric_value=(fahrenheit["numeric_value"] - 32) / 1.8)
    found = tables[0].loc[tables[0]["vital"] == "temperature", "value"]
    np.testing.assert_allclose(np.sort(found), kept(pd.concat([celsius, converted])), rtol=1e-6)
    wrong = charted[in_celsius & (charted["numeric_value"] > 70)]
    assert tables[2]["of these, temperatures that look like the other unit"] == len(wrong) == 3


def test_what_was_left_out_and_what_was_kept_are_all_values(tables) -> None:
    counts = tables[2]
    left_out = [
        number for words, number in counts.items() if words.endswith("left out") and "stays" not in words
    ]
    assert counts["values of vital signs"] == len(tables[0]) + sum(left_out)


def test_explicit_sepsis_is_that_of_the_admissions_with_its_codes(tables, events, expected) -> None:
    """Diagnoses stand at the end of the hospital admission, in this version of the converter."""
    codes = ["9//99592", "9//78552", "10//R6520", "10//R6521"]
    coded = events[events["code"].isin([f"DIAGNOSIS//ICD//{code}" for code in codes])]
    septic = set(zip(coded["subject_id"], coded["time"], strict=True))
    ends = zip(expected["subject_id"], expected["time_end_hospital"], strict=True)
    stays = tables[1]
    assert stays["explicit"].tolist() == [end in septic for end in ends]
    assert 0 < stays["explicit"].sum() < stays["angus"].sum() < len(stays)
    assert stays.loc[stays["explicit"], "angus"].all()


def test_every_diagnosis_stands_at_the_end_of_an_admission_so_that_none_is_lost(events) -> None:
    diagnoses = events[events["code"].str.startswith("DIAGNOSIS//")]
    ends = events[events["code"].str.startswith("HOSPITAL_DISCHARGE//")][["subject_id", "time"]]
    assert len(diagnoses) == len(diagnoses.merge(ends, on=["subject_id", "time"])) == 4_506
