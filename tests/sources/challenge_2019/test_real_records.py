"""All 40,336 real records against published counts, and against what pandas reads of some of them.

The counts of hospital A were computed with pandas from the psv files, without this project; the numbers of stays are
those of the data's own page.
"""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from workflow_scripts.sources.challenge_2019.parsing import VITALS
from workflow_scripts.sources.challenge_2019.records import open_records

HOUR = pd.Timedelta(hours=1)

# Of hospital A: values, their mean and standard deviation, those outside the plausible range, windows of 24 + 12 hours
# with 12 + 6 charted ones, and the stays that have any.
PUBLISHED = {
    "HR": (729_026, 84.9853, 16.9404, 0, 13_171, 11_975),
    "SBP": (670_014, 120.9624, 21.5206, 0, 11_878, 10_814),
    "DBP": (409_918, 59.9858, 12.5728, 0, 6_892, 6_077),
    "MAP": (709_357, 78.7673, 15.0440, 2, 12_936, 11_746),
    "Resp": (712_957, 18.7735, 5.3957, 0, 12_868, 11_693),
    "O2Sat": (695_136, 97.2657, 2.9088, 0, 12_541, 11_374),
    "Temp": (266_901, 37.0267, 0.7803, 0, 1_151, 1_063),
}


@pytest.fixture(scope="module")
def stays(tables: Path) -> pd.DataFrame:
    return pd.read_parquet(tables / "stays.parquet")


@pytest.fixture(scope="module")
def windows(tables: Path, stays: pd.DataFrame) -> Callable[[str], pd.DataFrame]:
    """The stays of hospital A, a row for each window of a column, with its begin; counted without the product."""

    def count(column: str) -> pd.DataFrame:
        filters = [("vital", "=", VITALS[column]), ("icustay_id", "<", "p100000")]
        values = pd.read_parquet(tables / "vitals.parquet", filters=filters).merge(stays, on="icustay_id")
        hour = (values["charttime"] - values["intime"]) // HOUR
        windows = values.assign(window=hour // 36, context=hour % 36 < 24, horizon=hour % 36 >= 24)
        windows = windows.groupby(["icustay_id", "window"])[["context", "horizon"]].sum().reset_index()
        windows = windows[(windows["context"] >= 12) & (windows["horizon"] >= 6)].merge(
            stays, on="icustay_id"
        )
        begin = windows["intime"] + windows["window"] * 36 * HOUR
        return windows.assign(begin=begin, end=begin + 36 * HOUR)[begin + 36 * HOUR <= windows["outtime"]]

    return count


def test_the_stays_are_those_of_two_hospitals(stays) -> None:
    assert stays["hospital"].value_counts().to_dict() == {"A": 20_336, "B": 20_000}
    assert stays["septic"].sum() == 2_932
    of_a = stays[stays["hospital"] == "A"]
    assert of_a["septic"].sum() == 1_790
    assert of_a["icu_type"].value_counts(dropna=False).to_dict() == {
        None: 9_522,
        "SICU": 5_470,
        "MICU": 5_344,
    }
    assert stays["died_in_hospital"].isna().all()


def test_the_hours_are_those_of_the_records(stays) -> None:
    of_a = stays[stays["hospital"] == "A"]
    hours = (of_a["outtime"] - of_a["intime"]) / HOUR
    assert hours.sum() == 790_215
    assert (hours >= 36).sum() == 12_232
    assert (hours[of_a["septic"]] >= 36).sum() == 917
    # 7,497 records begin later than the ICU admission.
    assert (of_a["intime"] > stays["intime"].min()).sum() == 7_497


def test_an_onset_is_not_known_where_the_label_is_there_from_the_first_hour(stays) -> None:
    of_a = stays[(stays["hospital"] == "A") & stays["septic"]]
    assert of_a["onset"].isna().sum() == 203
    assert (of_a["onset"] == of_a["outtime"]).sum() == 2
    assert stays.loc[~stays["septic"], "onset"].isna().all()
    # Ten rows with label 1 are all that a record can have: it ends three hours after its onset.
    assert ((of_a["outtime"] - of_a["onset"]).max()) == 4 * HOUR


@pytest.mark.parametrize("column", PUBLISHED)
def test_values_and_windows_of_hospital_a(tables: Path, windows, column: str) -> None:
    number, mean, deviation, outside, number_of_windows, stays_with_one = PUBLISHED[column]
    filters = [("vital", "=", VITALS[column]), ("icustay_id", "<", "p100000")]
    values = pd.read_parquet(tables / "vitals.parquet", filters=filters)["value"]
    assert len(values) == number - outside
    assert values.mean() == pytest.approx(mean, abs=1e-4 + 1e-3 * outside)
    assert values.std() == pytest.approx(deviation, abs=1e-4 + 5e-3 * outside)
    found = windows(column)
    assert (len(found), found["icustay_id"].nunique()) == (number_of_windows, stays_with_one)


def test_no_window_of_a_septic_patient_begins_after_the_onset(windows) -> None:
    found = windows("HR")
    found = found[found["septic"]]
    assert (len(found), found["icustay_id"].nunique()) == (2_059, 911)
    before, after = found["end"] <= found["onset"], found["begin"] >= found["onset"]
    assert (before.sum(), (~before & ~after).sum(), after.sum()) == (1_940, 119, 0)


def test_records_hold_what_pandas_reads_of_them(challenge_2019: Path, tables: Path, stays) -> None:
    values = pd.read_parquet(tables / "vitals.parquet")
    admission = stays["intime"].min()
    with open_records(challenge_2019) as records:
        for record in random.Random(0).sample(records, 30):
            rows = pd.read_csv(io.BytesIO(record.read()), sep="|")
            own = values[values["icustay_id"] == f"p{record.number:06}"]
            wide = own.pivot(index="charttime", columns="vital", values="value")
            expected = rows.set_index(admission + (rows["ICULOS"] - 1) * HOUR)[list(VITALS)]
            expected = expected.rename(columns=VITALS).dropna(how="all").dropna(axis="columns", how="all")
            pd.testing.assert_frame_equal(
                wide.sort_index(axis="columns"),
                expected.sort_index(axis="columns"),
                check_names=False,
                check_freq=False,
                check_index_type=False,
            )
            stay = stays.set_index("icustay_id").loc[f"p{record.number:06}"]
            assert stay["age_years"] == rows["Age"][0]
            assert stay["sex"] == ("male" if rows["Gender"][0] else "female")
