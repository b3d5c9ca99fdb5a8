"""The simulated monitor export keeps the windows' contract and the five-minute grid."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator.monitor import simulate_monitor
from workflow_scripts.windows.making import make_windows
from workflow_scripts.windows.parameters import WindowParameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monitor")
    simulate_monitor(SimulatorParameters(patients=40, seed=3), folder)
    return folder


def test_the_values_of_a_stay_are_five_minutes_strides_but_for_gaps(folder: Path) -> None:
    values = pd.read_parquet(folder / "vitals.parquet")
    heart_rate = values[values["vital"] == "heart_rate"].sort_values(["icustay_id", "charttime"])
    strides = heart_rate.groupby("icustay_id")["charttime"].diff().dropna().dt.total_seconds() / 60
    assert (strides % 5 == 0).all()
    assert 0.95 < (strides == 5).mean() < 1
    assert heart_rate["value"].between(20, 220).all()


def test_only_the_patients_that_were_asked_for_are_there(folder: Path) -> None:
    cohort = pd.read_parquet(folder / "cohorts/all.parquet")
    values = pd.read_parquet(folder / "vitals.parquet", columns=["icustay_id"])
    assert cohort["subject_id"].nunique() == 40
    assert set(values["icustay_id"]) == set(cohort["icustay_id"])


def test_septic_stays_have_an_onset_and_the_others_none(folder: Path) -> None:
    septic = pd.read_parquet(folder / "cohorts/septic.parquet")
    assert septic["included"].sum() >= 10
    assert (septic["onset"].notna() == septic["included"]).all()


def test_the_paper_s_geometry_runs_on_it(folder: Path) -> None:
    """Five minutes, context 72, horizon 36: arXiv 2405.10216 as the authors' preprocessing has it."""
    geometry = WindowParameters(interval_minutes=5, context=72, horizon=36, placement="after_onset")
    windows, _ = make_windows(
        folder / "vitals.parquet", folder / "cohorts/septic.parquet", "heart_rate", geometry, "bpm", 0, 300
    )
    assert windows.context.shape[1:] == (72,)
    assert windows.target.shape[1:] == (36,)
    assert {*windows.split} == {"train", "validation", "test"}
    # Six hours of context lie between a window's start, at the onset or later, and its forecast.
    assert (windows.hours_from_onset >= 6).all()


def test_the_same_seed_gives_the_same_values(folder: Path, tmp_path: Path) -> None:
    simulate_monitor(SimulatorParameters(patients=40, seed=3), tmp_path)
    once, again = (pd.read_parquet(path / "vitals.parquet") for path in (folder, tmp_path))
    np.testing.assert_array_equal(once["value"], again["value"])
