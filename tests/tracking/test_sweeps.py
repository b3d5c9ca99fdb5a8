"""Checks what is recommended of a sweep, on records whose errors on the validation windows are known."""

import pytest

from tests.evaluation.study_records import run_record
from workflow_scripts.evaluation.aggregation import run_row
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.tracking.sweeps import StoredRun, Sweep


def stored_run(tmp_path, arm, error=0.05, best_step=20):
    record = run_record(model="moirai-nano", arm=arm)
    record["validation_metrics"]["wql"] = error
    if record["training"]:
        record["training"]["best_step"] = best_step
    typed = RunRecord.model_validate(record)
    return StoredRun(tmp_path / arm / "run.json", typed, run_row(typed))


def sweep(*runs):
    return Sweep("simulated", "explicit", "heart_rate", runs[0].row.model, list(runs))


@pytest.mark.parametrize(
    ("errors", "recommended", "registered", "rank"),
    [
        ({"zero-shot": 0.3, "full": 0.2, "lora-r2": 0.1}, "lora-r2", "lora-r2", 2),
        ({"zero-shot": 0.3, "full": 0.1, "lora-r2": 0.2}, "full", "full", 2),
        ({"zero-shot": 0.1, "full": 0.2, "lora-r2": 0.3}, "zero-shot", None, 2),
        ({"zero-shot": 0.1}, "zero-shot", None, None),
    ],
)
def test_the_smallest_validation_error_is_recommended_and_registered_if_it_has_an_adapter(
    tmp_path, errors, recommended, registered, rank
):
    found = sweep(*(stored_run(tmp_path, arm, error) for arm, error in errors.items()))
    assert found.recommended.first.arm == recommended
    best = found.best_run()
    assert (best.row.arm if best else None) == registered
    assert found.best_rank() == rank


def test_an_arm_that_learned_nothing_gives_way_to_zero_shot(tmp_path):
    idle = stored_run(tmp_path, "lora-r4", 0.2, best_step=0)
    found = sweep(stored_run(tmp_path, "zero-shot", 0.2), idle)
    assert found.recommended.first.arm == "zero-shot"
    assert (found.best_rank(), found.best_run()) == (None, None)
    alone = sweep(idle)
    assert (alone.recommended.first.arm, alone.best_run()) == ("lora-r4", None)
