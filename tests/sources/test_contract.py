"""The two tables that every source gives, and what is refused in them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.contract import check_tables, read_patients, read_stays

NAMES = ["heart_rate", "spo2"]


@pytest.fixture
def stays() -> pd.DataFrame:
    intime = pd.Timestamp("2130-05-17 22:47:00")
    return pd.DataFrame(
        {
            "subject_id": [1, 2],
            "icustay_id": [10, 20],
            "intime": intime,
            "outtime": intime + pd.Timedelta(hours=40),
            "died_in_hospital": pd.array([True, None], "boolean"),
            "onset": [intime + pd.Timedelta(hours=40), pd.NaT],
        }
    )


@pytest.fixture
def values() -> pd.DataFrame:
    time = pd.Timestamp("2130-05-18")
    return pd.DataFrame({"icustay_id": [10], "charttime": time, "vital": ["spo2"], "value": [97.0]})


@pytest.fixture
def write(tmp_path: Path) -> Callable[[pd.DataFrame, pd.DataFrame], tuple[Path, Path]]:
    def write(values: pd.DataFrame, stays: pd.DataFrame) -> tuple[Path, Path]:
        paths = tmp_path / "vitals.parquet", tmp_path / "stays.parquet"
        for table, path in zip((values, stays), paths, strict=True):
            table.to_parquet(path, index=False, coerce_timestamps="us")
        return paths

    return write


def test_an_unknown_death_and_an_onset_at_the_end_of_a_stay_are_allowed(write, values, stays) -> None:
    check_tables(*write(values, stays), NAMES)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"subject_id": [1, None]}, "columns of another type: subject_id"),
        ({"subject_id": ["1", None]}, "empty values of stays in subject_id"),
        ({"icustay_id": ["10", ""]}, "empty values of stays in icustay_id"),
        ({"icustay_id": ["010", "010"]}, "1 repeated stays"),
        ({"icustay_id": [10, 10]}, "1 repeated stays"),
        ({"outtime": [pd.NaT, pd.NaT]}, "empty values of stays in outtime"),
        ({"outtime": pd.Timestamp("2130-05-17")}, "2 with outtime not after intime"),
    ],
)
def test_wrong_stays_are_refused(write, values, stays, change: dict, found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        check_tables(*write(values, stays.assign(**change)), NAMES)
    assert caught.value.where.endswith("stays.parquet")


def test_what_is_no_name_of_a_vital_sign_is_counted_and_not_told(write, values, stays) -> None:
    """A column of identifiers under the name of the vital signs is a usual mistake."""
    several = pd.concat([values.assign(vital=name) for name in ("spo2", "sao2", "M-4711", "4711", "P4711")])
    with pytest.raises(UserError, match="nobody knows: sao2, 3 others") as caught:
        check_tables(*write(several, stays), NAMES)
    assert "4711" not in str(caught.value)


def test_a_vital_sign_that_nobody_knows_is_named(write, values, stays) -> None:
    with pytest.raises(UserError, match="nobody knows: sats"):
        check_tables(*write(values.assign(vital="sats"), stays), NAMES)


def test_an_optional_column_of_another_type_is_refused(write, values, stays) -> None:
    with pytest.raises(UserError, match="columns of another type: age_years"):
        check_tables(*write(values, stays.assign(age_years="old")), NAMES)


def test_a_stay_whose_outcome_is_not_known_can_be_read(write, values, stays) -> None:
    _, path = write(values, stays.assign(included=True))
    assert read_stays(path).died_in_hospital.tolist() == [True, False]


@pytest.mark.parametrize(
    ("deaths", "further", "stratified_by", "stratum"),
    [
        ([True, None], {"septic": [False, True]}, "died_in_hospital", [True, False]),
        ([None, None], {"septic": [False, True]}, "septic", [False, True]),
        ([None, None], {}, "nothing", [False, False]),
    ],
)
def test_splits_are_stratified_by_sepsis_where_no_death_is_known(
    write, values, stays, deaths: list, further: dict, stratified_by: str, stratum: list
) -> None:
    known = pd.array(deaths, "boolean")
    _, path = write(values, stays.assign(included=True, died_in_hospital=known, **further))
    patients = read_patients(path)
    assert (patients.stratified_by, patients.stratum.tolist()) == (stratified_by, stratum)


@pytest.mark.parametrize(("further", "kind"), [({}, "patient"), ({"subject_kind": "stay"}, "stay")])
def test_a_source_may_say_that_its_subjects_are_no_patients(
    write, values, stays, further: dict, kind: str
) -> None:
    _, path = write(values, stays.assign(included=True, **further))
    assert read_patients(path).kind == kind
