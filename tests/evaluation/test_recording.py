"""What a run's record says of its cost, and that it reads back as it was written."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.study_records import run_record
from workflow_scripts.evaluation.recording import Provenance, record_run
from workflow_scripts.evaluation.run_record import RunHashes, RunKey, RunRecord
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.loop import History
from workflow_scripts.training.parameters import TrainingParameters
from workflow_scripts.training.run import Outcome
from workflow_scripts.training.tuning import Trial, Tuned
from workflow_scripts.windows.reading import WindowMetadata, Windows

FORECAST = {"forecast": {"quantiles": [0.1, 0.5, 0.9]}}
KEY = RunKey(dataset="simulated", cohort="all", vital="spo2", model="chronos-t5-nano", arm="lora-r2", seed=0)
HASHES = RunHashes(code="c0de", windows="da7a", weights="ba5e", forecasts="f04e", adapter=None)


def tuned(steps: int, examples: int, seconds: float, failure: str = "") -> Tuned:
    """One candidate's training."""
    trial = Trial(1e-3, steps, steps, None if failure else 0.5, examples, seconds, failure)
    return Tuned(TrainingParameters(), History(steps, steps, 0.5, seconds=seconds), [trial], failure)


def record(training: Tuned | None) -> RunRecord:
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
        test=windows,
        train_windows=40,
        validation_windows=8,
        quantiles=np.ones((2, 3, 1), np.float32),
        parameters={"total": 10, "trainable": 2},
        start_up=1.0,
        forecast_seconds=0.5,
        tuned=training,
        growth_host_mib=12.34,
    )
    return record_run(KEY, outcome, FORECAST, HASHES, Provenance({}, {}, None), started=0.0)


def test_rates_count_the_windows_that_were_seen_not_full_batches() -> None:
    # 10 steps with batches of 32 on 40 windows: every second batch is the 8 that are left of an epoch.
    cost = record(tuned(steps=10, examples=5 * (32 + 8), seconds=4.0)).cost
    assert cost.examples_per_second == pytest.approx(50.0)
    assert cost.seconds_per_step == pytest.approx(0.4)
    assert cost.forecast_seconds_per_window == pytest.approx(0.25)


def test_what_trains_nothing_has_no_rates() -> None:
    cost = record(None).cost
    assert cost.examples_per_second is cost.seconds_per_step is None


def test_growth_of_memory_is_beside_the_peak() -> None:
    memory = record(None).memory
    assert memory.growth_host_mib == 12.3
    assert memory.peak_host_mib is not None
    assert memory.peak_host_mib > memory.growth_host_mib


def test_a_training_that_failed_has_its_reason_and_no_best_loss() -> None:
    failed = record(tuned(steps=3, examples=96, seconds=1.0, failure="the loss is nan at step 3"))
    assert failed.failure == "the loss is nan at step 3"
    assert failed.training is not None
    assert failed.training.best_validation_loss is None
    assert failed.training.trials[0].failure == failed.failure


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path.joinpath("all", "spo2", "chronos-t5-nano", "lora-r2", "seed0", "run.json")
    written = record(tuned(steps=10, examples=320, seconds=4.0))
    written.write(path)
    assert RunRecord.read_in_place(path) == written
    assert (written.family, written.rank, written.arm.method) == ("chronos", 2, "lora")


def test_a_record_of_an_older_version_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    older = run_record()
    del older["windows"], older["training"]["total_steps"]
    (tmp_path / "run.json").write_text(json.dumps(older))
    with pytest.raises(UserError, match=r"windows: Field required; training\.total_steps: Field required"):
        RunRecord.read(tmp_path / "run.json")
