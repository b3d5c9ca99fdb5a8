"""The best adapter is chosen on validation alone, and says why."""

from pathlib import Path

import pytest

from tests.evaluation.study_records import run_record, write_record
from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.choice import Choice, choose_adapter
from workflow_scripts.runtime.errors import UserError


def choice(folder: Path, losses: dict[tuple[str, int], float | None], test_errors=None, **parts) -> Choice:
    """What is chosen among arms and seeds with these validation losses; None is a run that failed."""
    paths = []
    for (arm, seed), loss in losses.items():
        record = run_record(arm=arm, seed=seed, **parts)
        record["training"]["best_validation_loss"] = loss
        record["failure"] = "" if loss is not None else "the training loss is nan at step 10"
        record["metrics"]["mse"] = (test_errors or {}).get(arm, 8e-4)
        paths.append(write_record(folder, record))
    return choose_adapter(summarise_arms(collect_rows(paths)))


def test_the_arm_with_the_smallest_mean_validation_loss_is_chosen_with_its_best_seed(tmp_path: Path):
    chosen = choice(
        tmp_path,
        {("lora-r2", 0): 3.0, ("lora-r2", 1): 3.4, ("lora-r8", 0): 3.1, ("lora-r8", 1): 3.05},
    )
    assert (chosen.arm, chosen.seed) == ("lora-r8", 1)
    assert "3.0750 (mean over 2 seeds); next is lora-r2 with 3.2000" in chosen.reason


def test_the_test_split_changes_nothing(tmp_path: Path):
    losses = {("lora-r2", 0): 3.0, ("lora-r8", 0): 3.1}
    one = choice(tmp_path / "one", losses, {"lora-r2": 9e-4, "lora-r8": 1e-4})
    other = choice(tmp_path / "other", losses, {"lora-r2": 1e-4, "lora-r8": 9e-4})
    assert one == other


def test_full_fine_tuning_is_named_and_never_chosen(tmp_path: Path):
    chosen = choice(tmp_path, {("full", 0): 2.0, ("lora-r2", 0): 3.0})
    assert chosen.arm == "lora-r2"
    assert "full fine-tuning has 2.0000" in chosen.reason


def test_an_arm_of_which_a_seed_failed_is_listed_and_not_chosen(tmp_path: Path):
    chosen = choice(
        tmp_path, {("lora-r2", 0): 1.0, ("lora-r2", 1): None, ("lora-r8", 0): 3.0, ("lora-r8", 1): 3.0}
    )
    assert chosen.arm == "lora-r8"
    assert [one.validation_loss for one in chosen.candidates] == [None, 3.0]
    assert "nan at step 10" in chosen.candidates[0].reason


def test_of_equal_losses_the_smaller_adapter_is_chosen(tmp_path: Path):
    assert choice(tmp_path, {("lora-r8", 0): 3.0, ("lora-r2", 0): 3.0}).arm == "lora-r2"


def test_an_only_candidate_is_said_to_be_the_only_one(tmp_path: Path):
    chosen = choice(tmp_path, {("lora-r2", 0): 3.25})
    assert chosen.reason == (
        "lora-r2 is the only adapted arm, with a validation loss of 3.2500 (one seed). Chosen on validation alone."
    )
    assert (chosen.model, len(chosen.candidates)) == ("chronos-t5-nano", 1)
    (candidate,) = chosen.candidates
    assert (candidate.arm, candidate.validation_loss, candidate.trainable_parameters, candidate.reason) == (
        *("lora-r2", 3.25, 2 * 1536, ""),
    )


def test_the_reason_counts_the_arms_and_names_the_next_and_the_seed(tmp_path: Path):
    losses = {("lora-r2", 0): 3.5, ("lora-r2", 1): 3.5, ("lora-r4", 0): 3.25, ("lora-r4", 1): 3.25}
    chosen = choice(
        tmp_path, losses | {("lora-r8", 0): 3.75, ("lora-r8", 1): 4.0, ("full", 0): 3.0, ("full", 1): 3.5}
    )
    assert chosen.reason == (
        "lora-r4 has the smallest validation loss of 3 adapted arms, 3.2500 (mean over 2 seeds); next is lora-r2 with "
        "3.5000; full fine-tuning has 3.2500; seed 0 is the best of its seeds. Chosen on validation alone."
    )


def test_where_every_adapted_arm_failed_none_is_chosen(tmp_path: Path):
    with pytest.raises(UserError) as refused:
        choice(tmp_path, {("lora-r2", 0): None, ("lora-r4", 0): None, ("full", 0): 2.0})
    assert refused.value.found == "2 arms with an adapter, none complete"
    assert refused.value.where == "adapters of chronos-t5-nano for heart_rate of explicit"


def test_that_training_did_not_help_is_said(tmp_path: Path):
    paths = [write_record(tmp_path, run_record(arm="lora-r2"))]
    record = run_record(arm="lora-r2", seed=1)
    record["training"]["best_step"] = 0
    paths.append(write_record(tmp_path, record))
    reason = choose_adapter(summarise_arms(collect_rows(paths))).reason
    assert "in 1 of 2 seeds no step made the validation loss smaller" in reason


def test_without_an_adapter_the_reason_is_said(tmp_path: Path):
    with pytest.raises(UserError, match="no arm with an adapter"):
        choice(tmp_path, {("full", 0): 2.0})
