"""What a run's record says of its cost, and that it reads back as it was written."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.study_records import run_record, write_record
from tests.helpers.identifiers import as_names
from workflow_scripts.evaluation.recording import Provenance, record_run, record_transfer
from workflow_scripts.evaluation.run_record import RunHashes, RunKey, RunRecord
from workflow_scripts.evaluation.transfer_record import TransferHashes, TransferKey, TransferRecord
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.loop import History
from workflow_scripts.training.parameters import TrainingParameters
from workflow_scripts.training.run import Outcome
from workflow_scripts.training.tuning import Trial, Tuned
from workflow_scripts.windows.reading import WindowMetadata, Windows

FORECAST = {"forecast": {"quantiles": [0.1, 0.5, 0.9]}}
KEY = RunKey(dataset="simulated", cohort="all", vital="spo2", model="chronos-t5-nano", arm="lora-r2", seed=0)
HASHES = RunHashes(
    code="c0de",
    source="50ce",
    windows="da7a",
    weights="ba5e",
    forecasts="f04e",
    validation_forecasts="7a1f",
    adapter=None,
)


def tuned(steps: int, examples: int, seconds: float, failure: str = "") -> Tuned:
    """One candidate's training."""
    trial = Trial(1e-3, steps, steps, None if failure else 0.5, examples, seconds, failure)
    return Tuned(TrainingParameters(), History(steps, steps, 0.5, seconds=seconds), [trial], failure)


def two_windows() -> Windows:
    """Two test windows of one step, of one patient."""
    numbers = np.arange(2)
    return Windows(
        context=np.ones((2, 3), np.float32),
        target=np.ones((2, 1), np.float32),
        start=numbers,
        split=np.array(["test", "test"]),
        hours_from_onset=np.zeros(2, np.float32),
        steps_since_observed=np.zeros(2, np.int64),
        covariates=np.zeros((2, 0, 3), np.float32),
        window_id=numbers,
        subject_id=as_names([7, 7]),
        icustay_id=as_names(numbers),
        metadata=WindowMetadata("heart_rate", "bpm", 0.0, 300.0, 60, 3, 1, "by_patient"),
    )


def record(training: Tuned | None) -> RunRecord:
    """The record of a run on these windows, which began ten seconds ago."""
    outcome = Outcome(
        test=two_windows(),
        train_windows=40,
        quantiles=np.ones((2, 3, 1), np.float32),
        validation=two_windows(),
        validation_quantiles=np.ones((2, 3, 1), np.float32),
        parameters={"total": 10, "trainable": 2},
        start_up=1.0,
        forecast_seconds=0.5,
        tuned=training,
        growth_host_mib=12.34,
        peak_device_mib=88.0,
        adapter_mib=0.25,
    )
    started = time.perf_counter() - 10
    return record_run(KEY, outcome, FORECAST, HASHES, Provenance({}, {}, None), started)


def test_rates_count_the_windows_that_were_seen_not_full_batches() -> None:
    # 10 steps with batches of 32 on 40 windows: every second batch is the 8 that are left of an epoch.
    cost = record(tuned(steps=10, examples=5 * (32 + 8), seconds=4.0)).cost
    assert cost.examples_per_second == pytest.approx(50.0)
    assert cost.seconds_per_step == pytest.approx(0.4)
    assert cost.forecast_seconds_per_window == pytest.approx(0.25)


def test_what_trains_nothing_has_no_rates() -> None:
    cost = record(None).cost
    assert cost.examples_per_second is cost.seconds_per_step is None


@pytest.mark.parametrize(("steps", "seconds"), [(0, 4.0), (10, 0.0)])
def test_a_training_that_ended_at_once_has_no_rates(steps: int, seconds: float) -> None:
    cost = record(tuned(steps, examples=32 * steps, seconds=seconds)).cost
    assert cost.examples_per_second is cost.seconds_per_step is None


def test_a_record_that_lacks_everything_names_the_first_five_parts(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError) as refused:
        RunRecord.read(tmp_path / "run.json")
    assert refused.value.found == "; ".join(
        f"{name}: Field required" for name in ("failure", "windows", "metrics", "settings", "versions")
    )


def test_a_record_may_say_more_than_this_version_knows_and_is_looked_for_under_its_own_name(
    tmp_path: Path,
) -> None:
    record = run_record() | {"added_later": 1}
    path = write_record(tmp_path, record)
    assert RunRecord.read_in_place(path).key.arm == "lora-r2"
    moved = tmp_path.joinpath("explicit", "heart_rate", "chronos-t5-nano", "lora-r2", "seed1", "run.json")
    moved.parent.mkdir()
    path.rename(moved)
    assert RunRecord.read(moved).key.seed == 0
    with pytest.raises(UserError) as refused:
        RunRecord.read_in_place(moved)
    assert refused.value.found == (
        "the record of another job, explicit/heart_rate/chronos-t5-nano/lora-r2/seed0"
    )


def test_small_rates_keep_six_decimals_and_times_three() -> None:
    found = record(tuned(steps=3, examples=96, seconds=2.00049))
    assert found.cost.seconds_per_step == 0.66683
    assert found.cost.examples_per_second == 47.988
    assert found.seconds.training == 2.0
    assert (found.seconds.start_up, found.seconds.forecast) == (1.0, 0.5)
    assert found.seconds.total == pytest.approx(10, abs=5)
    assert len(str(found.seconds.total).partition(".")[2]) <= 3


def test_the_record_counts_windows_and_patients_and_has_their_geometry() -> None:
    found = record(None)
    assert found.counts.model_dump() == {
        "train_windows": 40,
        "validation_windows": 2,
        "test_windows": 2,
        "test_patients": 1,
        "non_finite_windows": 0,
    }
    assert found.windows.model_dump() == {
        "unit": "bpm",
        "scale_low": 0.0,
        "scale_high": 300.0,
        "interval_minutes": 60,
        "context": 3,
        "horizon": 1,
        "split_kind": "by_patient",
        "smoothing": "none",
        "stratified_by": "died_in_hospital",
        "subject_kind": "patient",
        "covariates": [],
    }
    assert (found.parameters.total, found.parameters.trainable) == (10, 2)
    assert (found.cost.adapter_mib, found.memory.peak_device_mib) == (0.25, 88.0)
    assert (found.metrics.mse, found.metrics.coverage_80) == (0.0, 1.0)
    assert found.training is None


def test_totals_are_over_all_candidates_and_the_history_is_that_of_the_chosen_one() -> None:
    chosen = TrainingParameters(learning_rate=2e-3, batch_size=16)
    trials = [Trial(1e-3, 7, 5, 0.5, 224, 3.0, ""), Trial(2e-3, 10, 10, 0.25, 160, 1.0, "")]
    history = History(10, 10, 0.25, train_loss=[(1, 0.5)], validation_loss=[(0, 0.75)], examples=160)
    found = record(Tuned(chosen, history, trials, ""))
    training = found.training
    assert training is not None
    assert (training.learning_rate, training.batch_size) == (2e-3, 16)
    assert (training.total_steps, training.total_examples) == (17, 384)
    assert (training.steps, training.best_step, training.best_validation_loss) == (10, 10, 0.25)
    assert (training.train_loss, training.validation_loss) == ([(1, 0.5)], [(0, 0.75)])
    assert [trial.model_dump() for trial in training.trials] == [vars(trial) for trial in trials]
    assert found.cost.seconds_per_step == pytest.approx(4 / 17, abs=1e-6)
    assert found.seconds.training == 4.0


TRANSFER_KEY = TransferKey(
    dataset="simulated",
    trained_on="all",
    evaluated_on="sepsis3",
    vital="spo2",
    model="chronos-t5-nano",
    arm="lora-r2",
    seed=0,
)
TRANSFER_HASHES = TransferHashes(
    code="c0de",
    source="50ce",
    windows="da7a",
    own_windows="0e0e",
    weights="ba5e",
    adapter="ada9",
    forecasts="f04e",
)


def transfer(test: Windows, quantiles: np.ndarray, failure: str = "") -> TransferRecord:
    """The record of an adapter on another cohort."""
    return record_transfer(
        TRANSFER_KEY,
        test,
        quantiles,
        FORECAST,
        TRANSFER_HASHES,
        Provenance({"python": "3.11"}, {"cores": 2}, "0123"),
        time.perf_counter() - 10,
        1.23456,
        failure,
    )


def test_a_transfer_is_counted_and_scored(tmp_path: Path) -> None:
    written = transfer(two_windows(), np.full((2, 3, 1), 31, np.float32))
    assert written.counts.model_dump() == {
        "test_windows": 2,
        "test_patients": 1,
        "non_finite_windows": 0,
    }
    assert (written.metrics.mae, written.metrics.mse) == (30.0, pytest.approx(0.01))
    assert written.seconds.forecast == 1.235
    assert written.seconds.total == pytest.approx(10, abs=5)
    assert written.memory.peak_host_mib > 10
    assert (written.failure, written.git_commit, written.machine) == ("", "0123", {"cores": 2})
    path = tmp_path.joinpath(*written.folder, "record.json")
    path.parent.mkdir(parents=True)
    written.write(path)
    assert TransferRecord.read_in_place(path) == written


def test_a_transfer_that_failed_counts_its_windows() -> None:
    failed = transfer(two_windows(), np.full((2, 3, 1), np.nan, np.float32), "nan")
    assert (failed.failure, failed.counts.non_finite_windows) == ("nan", 2)
    assert set(failed.metrics.model_dump().values()) == {None}


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
