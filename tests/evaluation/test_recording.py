"""What a run's record says of its cost."""

import numpy as np
import pytest

from workflow_scripts.evaluation.recording import Outcome, Subject, run_record
from workflow_scripts.windows.reading import WindowMetadata, Windows

FORECAST = {"forecast": {"quantiles": [0.1, 0.5, 0.9]}}


def record(training: dict[str, int] | None, seconds: float) -> dict:
    """The record of a run on two test windows of one step."""
    numbers = np.arange(2)
    windows = Windows(
        context=np.ones((2, 3), np.float32),
        target=np.ones((2, 1), np.float32),
        start=numbers,
        split=np.array(["test", "test"]),
        hours_from_onset=np.zeros(2, np.float32),
        covariates=np.zeros((2, 0, 3), np.float32),
        window_id=numbers,
        subject_id=numbers,
        icustay_id=numbers,
        metadata=WindowMetadata("heart_rate", "bpm", 0.0, 300.0, 60, 3, 1, "by_patient"),
    )
    outcome = Outcome(
        quantiles=np.ones((2, 3, 1), np.float32),
        parameters={"total": 10, "trainable": 2},
        seconds={"start_up": 1.0, "training": seconds, "forecast": 0.5},
        training=training,
        growth_host_mib=12.34,
    )
    return run_record(Subject({"seed": 0}, "chronos", 2, windows), outcome, FORECAST)


def test_rates_count_the_windows_that_were_seen_not_full_batches() -> None:
    # 10 steps with batches of 32 on 40 windows: every second batch is the 8 that are left of an epoch.
    cost = record({"total_steps": 10, "total_examples": 5 * (32 + 8), "batch_size": 32}, seconds=4.0)["cost"]
    assert cost["examples_per_second"] == pytest.approx(50.0)
    assert cost["seconds_per_step"] == pytest.approx(0.4)
    assert cost["forecast_seconds_per_window"] == pytest.approx(0.25)


def test_what_trains_nothing_has_no_rates() -> None:
    cost = record(None, seconds=0.0)["cost"]
    assert cost["examples_per_second"] is cost["seconds_per_step"] is None


def test_growth_of_memory_stands_beside_the_peak() -> None:
    memory = record(None, seconds=0.0)["memory"]
    assert memory["growth_host_mib"] == 12.3
    assert memory["peak_host_mib"] > memory["growth_host_mib"]
