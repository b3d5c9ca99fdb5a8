"""What check_data says of a data set, against numbers of pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.checking import check_source
from workflow_scripts.sources.parameters import SourceParameters
from workflow_scripts.sources.source import source_of

START = pd.Timestamp("2130-05-17")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Your own tables of 12 stays: a heart rate every hour, and a temperature of one of them."""
    stays = pd.DataFrame(
        {"subject_id": range(12), "icustay_id": range(12), "intime": START, "included": True}
    )
    stays = stays.assign(outtime=START + pd.Timedelta(hours=40), died_in_hospital=False, onset=START)
    hours = pd.DataFrame({"charttime": pd.date_range(START, periods=40, freq="h")})
    rates = stays[["icustay_id"]].merge(hours, how="cross").assign(vital="heart_rate")
    rates["value"] = np.random.default_rng(0).normal(80, 10, len(rates))
    one = rates.iloc[:1].assign(vital="temperature", value=37.0)
    (tmp_path / "cohorts").mkdir()
    stays.to_parquet(tmp_path / "cohorts" / "all.parquet", coerce_timestamps="us")
    pd.concat([rates, one]).to_parquet(tmp_path / "vitals.parquet", coerce_timestamps="us")
    return tmp_path


def check(path: Path, folder: Path, **entry: str) -> list[str]:
    folder.mkdir()
    return list(
        check_source(source_of("our-hospital", SourceParameters(path=str(path), **entry)), ["all"], folder)
    )


def test_own_tables_are_counted_and_summarised(own: Path, tmp_path: Path) -> None:
    low, middle, high = (
        pd.read_parquet(own / "vitals.parquet")
        .query("vital == 'heart_rate'")["value"]
        .quantile([0.01, 0.5, 0.99])
    )
    assert check(own, tmp_path / "out") == [
        "cohort all: 12 stays are included",
        f"heart_rate: 480 values in 12 stays; median {middle:g}, 1 % below {low:g}, 1 % above {high:g} bpm",
        "temperature: fewer than 11 values in fewer than 11 stays; not summarised",
    ]


def test_own_tables_that_break_the_contract_are_refused(own: Path, tmp_path: Path) -> None:
    values = pd.read_parquet(own / "vitals.parquet")
    values.assign(vital="sats").to_parquet(own / "vitals.parquet", coerce_timestamps="us")
    with pytest.raises(UserError, match="nobody knows: sats"):
        check(own, tmp_path / "out")


def test_raw_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    record = tmp_path / "raw" / "p000001.psv"
    record.parent.mkdir()
    record.write_text("HR|O2Sat\n80|98\n")
    with pytest.raises(UserError, match="another header"):
        check(record.parent, tmp_path / "out", format="challenge-2019")
