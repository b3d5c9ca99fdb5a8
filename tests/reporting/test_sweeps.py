"""Checks what a sweep chooses among its arms, on records whose losses are known."""

import pytest

from workflow_scripts.reporting.sweeps import Sweep


def record(arm, loss, best_step=20, model="moirai-nano"):
    rank = int(arm.rpartition("-r")[2]) if "-r" in arm else None
    training = None if arm == "zero-shot" else {"best_step": best_step, "best_validation_loss": loss}
    key = {"model": model, "arm": arm, "seed": 0}
    return {"key": key, "rank": rank, "training": training, "parameters": {"trainable": 10 * (rank or 50)}}


def sweep(*records):
    return Sweep({}, records, len(records), {}, stand_in=True)


def test_a_model_from_scratch_has_no_adapter_though_one_of_its_losses_is_the_smallest():
    # Mean squared error and DILATE are different quantities: the smaller number says nothing.
    found = sweep(record("trained", 0.01), record("trained-dilate", 0.4))
    assert (found.chosen(), found.best_adapter(), found.best_rank()) == ([], None, None)
    assert sweep(record("trained", 0.01)).best_adapter() is None


def test_full_fine_tuning_is_no_adapter():
    found = sweep(record("zero-shot", None), record("full", 1.0), record("lora-r2", 2.0))
    assert found.best_adapter()["key"]["arm"] == "lora-r2"


@pytest.mark.parametrize(("steps", "best"), [((0, 0), None), ((0, 10), 4)])
def test_an_adapter_that_learned_nothing_is_never_the_best(steps, best):
    losses = (2.0, 2.0 if steps[1] == 0 else 1.9)
    ranks = [
        record(f"lora-r{rank}", loss, step) for rank, loss, step in zip((1, 4), losses, steps, strict=True)
    ]
    found = sweep(record("zero-shot", None), *ranks)
    assert found.best_rank() == best
    assert (found.best_adapter() or {}).get("rank") == best
