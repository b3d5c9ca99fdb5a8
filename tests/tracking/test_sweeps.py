"""Checks what a sweep chooses among its arms, on records whose losses are known."""

import pytest

from tests.evaluation.study_records import run_record
from workflow_scripts.evaluation.aggregation import run_row
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.tracking.sweeps import StoredRun, Sweep


def stored_run(tmp_path, arm, loss=None, best_step=20):
    record = run_record(model="moirai-nano", arm=arm)
    if loss is not None:
        record["training"] |= {"best_step": best_step, "best_validation_loss": loss}
    typed = RunRecord.model_validate(record)
    return StoredRun(tmp_path / arm / "run.json", typed, run_row(typed))


def sweep(*runs):
    return Sweep("simulated", "explicit", "heart_rate", "moirai-nano", list(runs))


def test_a_model_from_scratch_has_no_adapter_though_one_of_its_losses_is_the_smallest(tmp_path):
    # Mean squared error and DILATE are different quantities: the smaller number says nothing.
    found = sweep(stored_run(tmp_path, "trained", 0.01), stored_run(tmp_path, "trained-dilate", 0.4))
    assert (found.chosen(), found.best_run(), found.best_rank()) == (None, None, None)
    assert sweep(stored_run(tmp_path, "trained", 0.01)).best_run() is None


def test_full_fine_tuning_is_no_adapter(tmp_path):
    arms = {"zero-shot": None, "full": 1.0, "lora-r2": 2.0}
    found = sweep(*(stored_run(tmp_path, arm, loss) for arm, loss in arms.items()))
    assert found.best_run().row.arm == "lora-r2"


@pytest.mark.parametrize(("steps", "best"), [((0, 0), None), ((0, 10), 4)])
def test_an_adapter_that_learned_nothing_is_never_the_best(tmp_path, steps, best):
    losses = (2.0, 2.0 if steps[1] == 0 else 1.9)
    ranks = [
        stored_run(tmp_path, f"lora-r{rank}", loss, step)
        for rank, loss, step in zip((1, 4), losses, steps, strict=True)
    ]
    found = sweep(stored_run(tmp_path, "zero-shot"), *ranks)
    assert found.best_rank() == best
    assert (found.best_run().row.rank if found.best_run() else None) == best
