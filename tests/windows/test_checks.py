"""What check_data says of own tables with one trait each, and that windows leave implausible values out.

Counts are those of the rows that the test itself changed; conversions between units are their definitions.
"""

import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.own_tables import HOURS, PATIENTS, own_tables
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.checks.findings import Finding
from workflow_scripts.sources.mimic_iii.items import vital_sign
from workflow_scripts.steps.check_data import check_data
from workflow_scripts.steps.make_windows import make_windows
from workflow_scripts.windows.checks import check_tables, spacing_minutes
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import read_windows

ROWS = PATIENTS * HOURS
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return own_tables(tmp_path / "own")


def change(path: Path, how: Change) -> None:
    """Rewrite a table."""
    how(pd.read_parquet(path)).to_parquet(path, index=False, coerce_timestamps="us")


def found_in(folder: Path, vital: str = "heart_rate", left_out: bool = True, **windows: int) -> list[Finding]:
    return check_tables(
        folder / "vitals.parquet",
        folder / "cohorts/all.parquet",
        [vital_sign(vital)],
        WindowParameters(**windows),
        left_out,
    )


def windows_of(folder: Path, plausible_ranges: bool = True) -> Path:
    """Cut windows of heart rate with the step; return the windows file."""
    settings, output = folder / "settings.json", folder / "windows.parquet"
    settings.write_text(
        json.dumps({"parameters": {"windows": {}, "plausible_ranges": plausible_ranges}, "code": ""})
    )
    make_windows(
        folder / "vitals.parquet",
        folder / "cohorts/all.parquet",
        "heart_rate",
        settings,
        output,
        output.with_suffix(".csv"),
    )
    return output


def test_nothing_is_said_of_tables_without_a_trait(tables: Path) -> None:
    assert found_in(tables) == []


def with_sentinels(table: pd.DataFrame) -> pd.DataFrame:
    row = np.arange(len(table))
    value = np.select([row % 50 == 7, row % 50 == 9], [-9999, 1e30], table["value"])
    return table.assign(value=value)


def test_sentinels_are_counted_and_left_out_as_if_they_had_never_been_there(tables: Path) -> None:
    change(tables / "vitals.parquet", with_sentinels)
    (finding,) = found_in(tables)
    count = sum(1 for row in range(ROWS) if row % 50 in (7, 9))
    assert (finding.table, finding.check) == ("heart_rate", "plausible range")
    assert finding.found == (
        f"{count} of {ROWS:,} ({count / ROWS:.1%}) values are outside the plausible range, {count} of them so far that "
        "they are no measurement; left out of the windows"
    )
    with_them = read_windows(windows_of(tables))
    change(tables / "vitals.parquet", lambda table: table[table["value"].between(0, 300)])
    without = read_windows(windows_of(tables))
    for name in ("context", "target", "start", "split", "icustay_id"):
        np.testing.assert_array_equal(getattr(with_them, name), getattr(without, name))


def test_sentinels_that_stay_are_warned_of_in_the_log_and_beside_the_windows(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(tables / "vitals.parquet", with_sentinels)
    windows = windows_of(tables, plausible_ranges=False)
    assert np.nanmax(np.abs(read_windows(windows).context)) > 1e29
    assert "kept, and every error that they are in is meaningless" in capsys.readouterr().err
    (finding,) = json.loads(windows.with_name("windows.check.json").read_text())["findings"]
    assert "extraction.plausible_ranges" in finding["remedy"]


UNITS = [
    ("temperature", 37, 0.5, lambda celsius: celsius * 9 / 5 + 32, "degree Fahrenheit"),
    ("mean_blood_pressure", 80, 10, lambda mmhg: mmhg * 0.133322, "kPa"),
    ("systolic_blood_pressure", 120, 12, lambda mmhg: mmhg * 0.133322, "kPa"),
    ("spo2", 96, 1, lambda percent: percent / 100, "fraction"),
]


@pytest.mark.parametrize(
    ("vital", "mean", "spread", "convert", "unit"), UNITS, ids=[unit[0] for unit in UNITS]
)
def test_another_unit_is_named_and_the_right_one_is_not(
    vital: str, mean: float, spread: float, convert: Callable, unit: str, tables: Path
) -> None:
    value = np.random.default_rng(3).normal(mean, spread, ROWS).clip(max=100 if vital == "spo2" else None)
    change(tables / "vitals.parquet", lambda table: table.assign(vital=vital, value=value))
    assert found_in(tables, vital) == []
    change(tables / "vitals.parquet", lambda table: table.assign(value=convert(value)))
    errors = [finding for finding in found_in(tables, vital) if finding.level == "error"]
    assert [finding.check for finding in errors] == ["unit"]
    assert unit in errors[0].found


def test_fahrenheit_of_which_no_value_is_plausible_is_refused_with_the_command_that_tells_the_unit(
    tables: Path,
) -> None:
    change(tables / "vitals.parquet", lambda table: table.assign(value=table["value"] * 1000))
    with pytest.raises(UserError, match="no value of heart_rate within its plausible range") as caught:
        windows_of(tables)
    assert "check_data" in caught.value.remedy


def test_an_end_in_the_year_9999_is_counted_and_costs_nothing(tables: Path) -> None:
    def end(stays: pd.DataFrame) -> pd.DataFrame:
        outtime = stays["outtime"].to_numpy().astype("datetime64[us]")
        outtime[:12] = np.datetime64("9999-12-31", "us")
        return stays.assign(outtime=outtime)

    change(tables / "cohorts/all.parquet", end)
    tracemalloc.start()
    (finding,) = found_in(tables, interval_minutes=60)
    windows_of(tables)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert finding.found == "12 of 30 (40.0%) stays end more than 365 days after they began"


STAYS = [
    (
        "onset",
        lambda stays: stays.assign(onset=stays["intime"] - pd.Timedelta(days=3)),
        "30 of 30 (100.0%) onsets",
    ),
    ("deaths", lambda stays: stays.assign(died_in_hospital=False), "no stay with died_in_hospital"),
    (
        "deaths",
        lambda stays: stays.assign(died_in_hospital=True),
        "30 of 30 (100.0%) stays with died_in_hospital",
    ),
    ("patients", lambda stays: stays.assign(included=stays.index < 12), "12 patients"),
    ("patients", lambda stays: stays.assign(included=stays.index < 7), "fewer than 11 patients"),
    (
        "length",
        lambda stays: stays.assign(outtime=stays["intime"] + pd.Timedelta(hours=35.5)),
        "30 of 30 (100.0%) stays are too short for a window",
    ),
]


@pytest.mark.parametrize(("check", "how", "words"), STAYS)
def test_what_is_unusual_in_the_stays_is_counted(check: str, how: Change, words: str, tables: Path) -> None:
    change(tables / "cohorts/all.parquet", how)
    assert [(finding.check, words in finding.found) for finding in found_in(tables)] == [(check, True)]


def test_deaths_that_nobody_knows_are_not_judged(tables: Path) -> None:
    change(
        tables / "cohorts/all.parquet",
        lambda stays: stays.assign(died_in_hospital=pd.array([None] * PATIENTS, "boolean")),
    )
    assert found_in(tables) == []


@pytest.mark.parametrize(
    ("minutes", "interval", "words"),
    [
        (60, 60, ""),
        (60, 45, ""),
        (240, 60, "half of the values are 240 min or more after the one before, the grid's steps are 60 min"),
        (1, 60, "half of the values are 1 min or less after the one before, the grid's steps are 60 min"),
    ],
)
def test_the_spacing_of_values_is_compared_with_the_grid(
    minutes: int, interval: int, words: str, tables: Path
) -> None:
    hour = np.tile(np.arange(HOURS), PATIENTS)
    change(
        tables / "vitals.parquet",
        lambda table: table.assign(
            charttime=table["charttime"] - pd.to_timedelta(hour, "h") + pd.to_timedelta(hour * minutes, "min")
        ),
    )
    change(
        tables / "cohorts/all.parquet",
        lambda stays: stays.assign(outtime=stays["intime"] + pd.Timedelta(days=20)),
    )
    spacing = [each.found for each in found_in(tables, interval_minutes=interval) if each.check == "spacing"]
    assert spacing == ([words] if words else [])


def test_the_spacing_is_the_median_of_the_gaps_by_pandas() -> None:
    random = np.random.default_rng(0)
    stay, time = random.integers(0, 5, 200), random.integers(0, 10**10, 200)
    table = pd.DataFrame({"stay": stay, "time": time}).drop_duplicates().sort_values(["stay", "time"])
    gaps = table.groupby("stay")["time"].diff().dropna()
    assert spacing_minutes(stay, time) == pytest.approx(gaps.median() / 60e6)


@pytest.mark.parametrize(
    ("how", "checks"),
    [
        (
            lambda table: table.assign(charttime=table["charttime"] + pd.DateOffset(years=100)),
            {"times", "stays with values"},
        ),
        (lambda table: table[table["icustay_id"] <= "0012"], {"stays with values"}),
        (lambda table: table.assign(icustay_id="4" + table["icustay_id"]), {"identifiers"}),
    ],
    ids=["another calendar", "few stays", "other identifiers"],
)
def test_values_that_are_not_where_their_stays_are_are_told(
    how: Change, checks: set[str], tables: Path
) -> None:
    change(tables / "vitals.parquet", how)
    assert {finding.check for finding in found_in(tables)} == checks


def command(tables: Path, vital: str) -> None:
    """The command on these tables, as the rule calls it."""
    groups = {
        "source": {"path": str(tables)},
        "cohorts": ["all"],
        "vitals": [vital],
        "windows": {},
        "plausible_ranges": True,
    }
    (tables / "settings.json").write_text(json.dumps({"code": "", "parameters": groups}))
    check_data("our-hospital", tables / "settings.json")


def test_neither_a_value_nor_a_small_count_is_printed(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_patient(table: pd.DataFrame) -> pd.DataFrame:
        value = table["value"].to_numpy(copy=True)
        value[:3] = 4711.25
        return table.assign(value=value)

    change(tables / "vitals.parquet", one_patient)
    command(tables, "heart_rate")
    printed = capsys.readouterr().out
    assert f"fewer than 11 of {ROWS:,} values are outside the plausible range" in printed
    assert "4711" not in printed
    assert not re.search(r"\b3 of", printed)


def test_the_command_ends_with_1_where_a_unit_is_another_one(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        tables / "vitals.parquet",
        lambda table: table.assign(vital="mean_blood_pressure", value=table["value"] / 8),
    )
    with pytest.raises(SystemExit):
        command(tables, "mean_blood_pressure")
    assert "looks like kPa" in capsys.readouterr().out
