"""Cohorts of sources that give stays and vital signs: the same steps, attrition and Table 1 as for MIMIC-III."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from workflow_scripts.cohorts.labelling import AttritionRow
from workflow_scripts.cohorts.parameters import CohortParameters
from workflow_scripts.cohorts.source_cohorts import describe_source_stays, label_source_cohort
from workflow_scripts.cohorts.table_one import make_table_one
from workflow_scripts.reporting.attrition import own_attrition
from workflow_scripts.reporting.consort import attrition_stages, draw_consort

START = pd.Timestamp("2019-01-01")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write stays of 40 hours with a heart rate every hour, and return the two tables' paths."""

    def write(number: int, **columns: object) -> tuple[Path, Path]:
        stays = pd.DataFrame({"subject_id": range(1, number + 1), "icustay_id": range(1, number + 1)})
        stays = stays.assign(
            intime=START, outtime=START + pd.Timedelta(hours=40), died_in_hospital=None, onset=pd.NaT
        )
        stays = stays.astype({"died_in_hospital": "boolean", "onset": "datetime64[us]"}).assign(**columns)
        hours = pd.DataFrame({"charttime": pd.date_range(START, periods=40, freq="h")})
        values = stays[["icustay_id"]].merge(hours, how="cross").assign(vital="heart_rate", value=80.0)
        paths = tmp_path / "vitals.parquet", tmp_path / "stays.parquet"
        for table, path in zip((values, stays), paths, strict=True):
            table.to_parquet(path, index=False, coerce_timestamps="us")
        return paths

    return write


def label(tables: tuple[Path, Path], condition: str = "true", **parameters: object):
    """The cohort table and its attrition."""
    table, attrition = label_source_cohort(
        *tables, "cohort", condition, "onset", CohortParameters(**parameters), ["heart_rate"]
    )
    return table.to_pandas(), attrition


def test_stays_fail_the_same_steps_as_those_of_mimic(write) -> None:
    tables = write(
        4,
        age_years=[60.0, 17.5, 60.0, 60.0],
        outtime=START + pd.to_timedelta([40, 40, 20, 40], "h"),
        hospital=["A", "A", "A", "B"],
    )
    cohort, attrition = label(tables, "hospital = 'A'")
    assert cohort["excluded_at"].tolist() == [None, "adult", "stay_length", "definition"]
    assert [(row.step, row.stays) for row in attrition] == [
        ("all_stays", 4),
        ("adult", 3),
        ("stay_length", 2),
        ("definition", 1),
        ("charted_values", 1),
    ]
    assert cohort["hospital"].tolist() == ["A", "A", "A", "B"]


def test_where_no_ages_are_known_nobody_is_excluded_for_it(write) -> None:
    _, attrition = label(write(3))
    assert [row.step for row in attrition] == ["all_stays", "stay_length", "definition", "charted_values"]


def test_admissions_are_counted_only_where_the_data_tell_them(write) -> None:
    assert label(write(3))[1][-1] == AttritionRow("charted_values", 3, None, 3, None)
    assert label(write(3, hadm_id=[7, 7, 8]))[1][-1] == AttritionRow("charted_values", 3, 2, 3, None)


def test_a_share_of_patients_is_chosen_by_the_hash_of_their_identifiers(write) -> None:
    cohort, attrition = label(write(400), share_of_patients=0.25)
    numbers = [hashlib.sha256(f"share:{patient}".encode()).digest()[:4] for patient in range(1, 401)]
    expected = [int.from_bytes(number) < 0.25 * 2**32 for number in numbers]
    assert cohort["included"].tolist() == expected
    assert attrition[1] == AttritionRow("share_of_patients", sum(expected), None, sum(expected), None)


def test_deaths_are_counted_only_where_the_data_tell_them(write) -> None:
    deaths = pd.array([True, False, None], "boolean")
    assert label(write(3, died_in_hospital=deaths))[1][-1] == AttritionRow("charted_values", 3, None, 3, 1)


def test_table_one_has_what_the_data_tell(write, tmp_path: Path) -> None:
    tables = write(
        3, age_years=[50.0, 60.0, 70.0], sex=["female", "male", None], icu_type=pd.array([None] * 3, "string")
    )
    cohort, _ = label_source_cohort(*tables, "cohort", "true", "onset", CohortParameters(), ["heart_rate"])
    pq.write_table(cohort, tmp_path / "cohort.parquet")
    stays = describe_source_stays(
        tmp_path / "cohort.parquet",
        ["age_years", "sex", "icu_type", "stay_days", "died_in_hospital", "hospital"],
    )
    assert list(stays) == ["subject_id", "hadm_id", "excluded_at", "group", "age_years", "sex", "stay_days"]
    assert stays["stay_days"].tolist() == [40 / 24] * 3


def test_table_one_tells_deaths_in_the_icu_where_only_these_are_known(write, tmp_path: Path) -> None:
    tables = write(3, died_in_icu=pd.array([True, False, None], "boolean"))
    cohort, _ = label_source_cohort(*tables, "cohort", "true", "onset", CohortParameters(), ["heart_rate"])
    pq.write_table(cohort, tmp_path / "cohort.parquet")
    died = describe_source_stays(tmp_path / "cohort.parquet", ["died_in_icu"])["died_in_icu"]
    assert died.where(died.notna(), "unknown").tolist() == ["yes", "no", "unknown"]


def test_your_own_cohort_table_has_a_flow_chart_of_one_step_and_a_table_one(write, tmp_path: Path) -> None:
    _, path = write(30, sex=["female", "male"] * 15, died_in_hospital=pd.array([True, False] * 15, "boolean"))
    own = tmp_path / "sepsis.parquet"
    pd.read_parquet(path).assign(included=[True] * 18 + [False] * 12).to_parquet(own, coerce_timestamps="us")
    stays = describe_source_stays(own, ["sex", "age_years", "died_in_hospital"])
    name, steps = own_attrition(own, stays)
    assert (name, [(step.label, step.stays, step.deaths) for step in steps]) == (
        "sepsis",
        [("all stays", 30, 15), ("not included by the table", 18, 9)],
    )
    chart = draw_consort(name, *attrition_stages(stays, steps, CohortParameters(), []))
    assert "Excluded: 12 stays of 12 patients not included by the table." in chart
    table = make_table_one(stays).set_index(["variable", "level"])["included"]
    assert table["Stays", ""] == "18"
    # Nine of each sex: fewer than eleven patients are never shown.
    assert table["Sex, n (%)", "female"] == "<11"
