"""YAIB exports: the open eICU and MIMIC-III demo exports against counts made elsewhere, and what is refused.

Expected counts were made from the files with pandas alone, before this reader was written; hours of values and onsets
were compared with MIMIC-III's own tables, without code of this project.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.open_data import open_data
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.contract import check_tables
from workflow_scripts.sources.mimic_iii.items import vital_names
from workflow_scripts.sources.parameters import SourceParameters
from workflow_scripts.sources.source import Source, source_of
from workflow_scripts.windows.making import make_windows
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import Windows

HOUR = pd.Timedelta(hours=1)
FIRST, SECOND = 7_654_321, 7_654_322
"""Stays of the made-up export; no message may name one."""

EICU_VALUES = {
    "heart_rate": (117_299, 18),
    "systolic_blood_pressure": (104_993, 5),
    "diastolic_blood_pressure": (104_994, 8),
    "mean_blood_pressure": (105_156, 6),
    "respiratory_rate": (102_595, 637),
    "spo2": (107_970, 0),
    "temperature": (32_404, 0),
}
"""Vital sign -> values of the export, and those outside the plausible range."""


@pytest.fixture(scope="session")
def export() -> Path:
    return open_data("yaib-demo", "YAIB_DEMO_DIR")


def yaib(raw: Path, **options: str) -> Source:
    return source_of("some-export", SourceParameters(format="yaib", path=str(raw), **options))


@pytest.fixture(scope="session")
def eicu(export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """The values, the stays and the counts of the eICU demo."""
    folder = tmp_path_factory.mktemp("eicu")
    counts = yaib(export, data="eicu_demo").write_tables(export, folder)
    check_tables(folder / "vitals.parquet", folder / "stays.parquet", vital_names())
    return pd.read_parquet(folder / "vitals.parquet"), pd.read_parquet(folder / "stays.parquet"), dict(counts)


@pytest.mark.parametrize("vital", EICU_VALUES)
def test_every_plausible_value_of_the_eicu_demo_is_read(eicu, vital: str) -> None:
    values, outside = EICU_VALUES[vital]
    assert (eicu[0]["vital"] == vital).sum() == values - outside


def test_without_plausible_ranges_every_value_of_the_eicu_demo_stays(export: Path, tmp_path: Path) -> None:
    source = yaib(export, data="eicu_demo")
    source.plausible_ranges = False
    counts = source.write_tables(export, tmp_path)
    found = pd.read_parquet(tmp_path / "vitals.parquet")["vital"].value_counts().to_dict()
    assert found == {vital: values for vital, (values, _) in EICU_VALUES.items()}
    assert counts["values outside the plausible range"] == sum(outside for _, outside in EICU_VALUES.values())


def test_the_eicu_demo_has_its_stays_hours_and_deaths(eicu) -> None:
    stays = eicu[1]
    assert len(stays) == 2_267
    assert ((stays["outtime"] - stays["intime"]) / HOUR).sum() == 124_094
    assert ((stays["outtime"] - stays["intime"]) / HOUR == 169).sum() == 145
    assert stays["died_in_hospital"].notna().sum() == 1_367
    assert stays["died_in_hospital"].sum() == 70
    assert stays["sex"].value_counts(dropna=False).to_dict() == {"male": 1_361, "female": 904, None: 2}
    assert (stays["subject_id"] == stays["icustay_id"]).all()
    assert set(stays["subject_kind"]) == {"stay"}


def test_the_onset_of_sepsis_is_six_hours_after_the_label_begins(eicu) -> None:
    stays = eicu[1]
    hours = (stays["onset"] - stays["intime"])[stays["septic"].eq(True)] / HOUR
    assert (len(hours), hours.median(), hours.min(), hours.max(), hours.sum()) == (63, 15, 6, 106, 1_566)
    assert stays["onset"].notna().sum() == 63
    # The task left out 1,371 stays, those with an earlier onset among them: whether these are septic is not known.
    assert stays["septic"].notna().sum() == 896


def test_the_onset_of_kidney_injury_is_its_own(eicu, export: Path) -> None:
    """The label's first true hour of each stay, with pandas, and 6 hours."""
    label = pd.read_parquet(export / "aki" / "eicu_demo" / "outc.parquet").query("label")
    expected = (label.groupby("stay_id")["time"].min() / HOUR + 6).to_dict()
    stays = eicu[1].set_index("icustay_id")
    found = ((stays["aki_onset"] - stays["intime"]) / HOUR).dropna().to_dict()
    assert len(expected) == 698
    assert found == expected
    assert (stays["aki"].sum(), stays["aki"].notna().sum()) == (698, 1_988)


def test_counts_say_what_was_left_out(eicu) -> None:
    assert eicu[2]["values outside the plausible range, left out"] == sum(
        out for _, out in EICU_VALUES.values()
    )
    assert eicu[2]["values"] == sum(values for values, _ in EICU_VALUES.values())


def test_an_hour_of_the_mimic_demo_holds_the_median_of_its_chart_events(
    export: Path, demo_folder: Path, tmp_path: Path
) -> None:
    """MIMIC-III's own CHARTEVENTS, read with pandas: heart rate of hour h of a stay."""
    yaib(export, data="mimic_demo").write_tables(export, tmp_path)
    read = pd.read_parquet(tmp_path / "vitals.parquet").query("vital == 'heart_rate'")
    read["hour"] = (read["charttime"] - pd.Timestamp(0)) // HOUR
    events = pd.read_csv(demo_folder / "CHARTEVENTS.csv.gz", low_memory=False).rename(columns=str.lower)
    events = events[events["itemid"].isin([211, 220045]) & events["valuenum"].between(0, 300)]
    stays = pd.read_csv(demo_folder / "ICUSTAYS.csv.gz").rename(columns=str.lower)
    events = events.merge(stays[["icustay_id", "intime"]], on="icustay_id")
    charted = pd.to_datetime(events["charttime"]) - pd.to_datetime(events["intime"])
    events["hour"] = np.floor(charted / HOUR).astype(int)
    median = events.groupby(["icustay_id", "hour"])["valuenum"].median().rename("expected")
    both = read.merge(median, on=["icustay_id", "hour"])
    assert len(both) == len(read) == 8_680
    assert np.allclose(both["value"], both["expected"])


# Windows of 24 + 12 hours, one every 36 hours of all stays, with at least 12 and 6 charted hours; and their stays.
EICU_WINDOWS = {
    "heart_rate": (2_212, 1_197),
    "systolic_blood_pressure": (2_005, 1_088),
    "mean_blood_pressure": (2_007, 1_090),
    "respiratory_rate": (1_904, 1_054),
    "spo2": (2_047, 1_103),
    "temperature": (231, 122),
}


@pytest.fixture(scope="session")
def windows(eicu, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Windows]:
    folder = tmp_path_factory.mktemp("windows")
    eicu[0].to_parquet(folder / "vitals.parquet", coerce_timestamps="us")

    def make(vital: str, stays: pd.DataFrame, placement: str = "anywhere") -> Windows:
        stays.assign(included=True).to_parquet(folder / "cohort.parquet", coerce_timestamps="us")
        parameters = WindowParameters(train_stride=36, placement=placement, horizon_may_be_cut=False)
        return make_windows(
            folder / "vitals.parquet", folder / "cohort.parquet", vital, parameters, "", 0.0, 300.0
        )[0]

    return make


@pytest.mark.parametrize("vital", EICU_WINDOWS)
def test_the_eicu_demo_has_its_windows(eicu, windows, vital: str) -> None:
    made = windows(vital, eicu[1])
    assert (len(made), len(set(made.icustay_id))) == EICU_WINDOWS[vital]


@pytest.mark.parametrize(("placement", "number"), [("before", 17), ("around", 52), ("after", 48)])
def test_windows_of_the_septic_are_placed_by_the_onset(eicu, windows, placement: str, number: int) -> None:
    septic = eicu[1][eicu[1]["septic"].eq(True)]
    assert len(windows("heart_rate", septic, f"{placement}_onset")) == number


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two stays of a made-up export: the first of 31 hours, labelled septic from hour 3 on; the second of 3 hours."""
    raw = tmp_path / "export"
    hours = pd.DataFrame({"stay_id": [FIRST] * 31 + [SECOND] * 3, "time": [*range(31), *range(3)]}).astype(
        "int32"
    )
    hours["time"] = pd.to_timedelta(hours["time"], unit="h").astype("timedelta64[s]")
    values = dict.fromkeys(["hr", "sbp", "dbp", "map", "resp", "o2sat", "temp"], 50.0)
    static = pd.DataFrame({"stay_id": [FIRST, SECOND], "age": [70.0, 30.0], "sex": ["Male", None]})
    label = (hours["stay_id"] == FIRST) & hours["time"].between(3 * HOUR, 15 * HOUR)
    for task, outcome in {
        "los": hours.assign(label=1.0),
        "sepsis": hours.assign(label=label),
        "mortality24": pd.DataFrame({"stay_id": [FIRST], "label": [1]}),
    }.items():
        folder = raw / task / "clinic"
        folder.mkdir(parents=True)
        outcome.to_parquet(folder / "outc.parquet")
        hours.assign(**values).to_parquet(folder / "dyn.parquet")
        static.to_parquet(folder / "sta.parquet")
    return raw


def test_the_only_data_set_of_an_export_need_not_be_named(small: Path, tmp_path: Path) -> None:
    yaib(small).write_tables(small, tmp_path)
    stays = pd.read_parquet(tmp_path / "stays.parquet").set_index("icustay_id")
    assert (stays["onset"] - stays["intime"]).to_dict() == {FIRST: 9 * HOUR, SECOND: pd.NaT}
    assert stays["died_in_hospital"].to_dict() == {FIRST: True, SECOND: None}
    assert stays["aki"].isna().all()


def test_zeros_and_other_impossible_values_are_left_out(small: Path, tmp_path: Path) -> None:
    path = small / "los" / "clinic" / "dyn.parquet"
    table = pd.read_parquet(path)
    table.loc[:2, "hr"] = [0.0, 300.0, np.nan]
    table.loc[:2, "o2sat"] = [0.0, 100.0, 101.0]
    table.to_parquet(path)
    yaib(small).write_tables(small, tmp_path)
    kept = pd.read_parquet(tmp_path / "vitals.parquet")["vital"].value_counts()
    assert (kept["heart_rate"], kept["spo2"]) == (31, 32)


def change(path: str, how: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(raw: Path) -> None:
        how(pd.read_parquet(raw / path)).to_parquet(raw / path)

    return apply


def damage(path: Path) -> None:
    """Overwrite the pages, and leave the footer, so that the file opens."""
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)


WRONG = {
    "a folder without outc": (lambda raw: (raw / "sepsis/clinic/outc.parquet").unlink(), "no outc.parquet"),
    "no task los": (
        lambda raw: shutil.rmtree(raw / "los"),
        r"no folder los \(folders: mortality24, sepsis\)",
    ),
    "hours as numbers": (
        change("los/clinic/dyn.parquet", lambda table: table.assign(time=table["time"].dt.total_seconds())),
        "a column time of type double",
    ),
    "hours before admission": (
        change("los/clinic/dyn.parquet", lambda table: table.assign(time=table["time"] - HOUR)),
        "2 rows whose time is no full hour from 0",
    ),
    "minutes": (
        change("sepsis/clinic/outc.parquet", lambda table: table.assign(time=table["time"] / 60)),
        "32 rows whose time is no full hour from 0",
    ),
    "an hour twice": (
        change("los/clinic/dyn.parquet", lambda table: pd.concat([table, table.head(3)])),
        "3 repeated rows",
    ),
    "an empty stay": (
        change(
            "los/clinic/sta.parquet", lambda table: table.assign(stay_id=pd.array([FIRST, None], "Int64"))
        ),
        "1 empty values of stay_id",
    ),
    "labels of other stays": (
        change("sepsis/clinic/outc.parquet", lambda table: table.assign(stay_id=table["stay_id"] + 1)),
        "1 stays that the task los does not have",
    ),
    "labels as text": (
        change("sepsis/clinic/outc.parquet", lambda table: table.assign(label="yes")),
        "a column label of type",
    ),
    "a vital sign less": (
        change("los/clinic/dyn.parquet", lambda table: table.drop(columns="hr")),
        "missing columns: hr",
    ),
    "a cut file": (
        lambda raw: (raw / "los/clinic/dyn.parquet").write_bytes(b"PAR1 cut"),
        "not a complete Parquet file",
    ),
    "a damaged page": (
        lambda raw: damage(raw / "los/clinic/dyn.parquet"),
        "a damaged Parquet file",
    ),
    "an hour after years": (
        change("los/clinic/dyn.parquet", lambda table: table.assign(time=table["time"] * 100_000)),
        "32 rows whose time is no full hour from 0 to 10,000",
    ),
    "two data sets": (
        lambda raw: shutil.copytree(raw / "los/clinic", raw / "los/other"),
        "2 data sets: clinic, other",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_export_is_refused_in_one_message(small: Path, tmp_path: Path, case: str) -> None:
    make_wrong, found = WRONG[case]
    make_wrong(small)
    with pytest.raises(UserError, match=found) as refused:
        yaib(small).write_tables(small, tmp_path)
    assert not {str(FIRST), str(SECOND), str(SECOND + 1)} & set(re.findall(r"\d+", str(refused.value)))
    assert not list(tmp_path.glob("*.parquet"))


def test_a_cohort_whose_task_was_not_exported_is_refused_before_any_job(small: Path) -> None:
    with pytest.raises(
        UserError, match=r"no aki of this data set \(tasks present: los, sepsis, mortality24\)"
    ):
        yaib(small).require(["sepsis3", "aki"])
    yaib(small).require(["all", "sepsis3", "icu_deaths"])
