"""One arm of a model is recommended, chosen on validation alone, and the reason is said."""

from pathlib import Path

import pytest

from tests.evaluation.study_records import run_record, write_record
from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.choice import Choice, choose_adapter, recommended
from workflow_scripts.runtime.errors import UserError


def arms_with(folder: Path, errors: dict[tuple[str, int], float | None], test_errors=None):
    """Arms and seeds with these errors on the validation windows; None is a run that failed."""
    paths = []
    for (arm, seed), error in errors.items():
        record = run_record(arm=arm, seed=seed)
        record["validation_metrics"]["wql"] = error
        record["failure"] = "" if error is not None else "the training loss is nan at step 10"
        record["metrics"]["mse"] = (test_errors or {}).get(arm, 8e-4)
        paths.append(write_record(folder, record))
    return summarise_arms(collect_rows(paths))


def choice(folder: Path, errors: dict[tuple[str, int], float | None], test_errors=None) -> Choice:
    return choose_adapter(arms_with(folder, errors, test_errors))


def test_the_arm_with_the_smallest_mean_validation_error_is_chosen_with_its_best_seed(tmp_path: Path):
    chosen = choice(
        tmp_path,
        {("lora-r2", 0): 0.3, ("lora-r2", 1): 0.34, ("lora-r8", 0): 0.31, ("lora-r8", 1): 0.305},
    )
    assert (chosen.arm, chosen.seed) == ("lora-r8", 1)
    assert chosen.reason == (
        "lora-r8 has the smallest error of 2 arms on the validation windows, a weighted quantile loss of 0.3075 (mean "
        "over 2 seeds); next is lora-r2 with 0.32; seed 1 is the best of its seeds. Chosen on validation alone."
    )


def test_the_test_split_changes_nothing(tmp_path: Path):
    errors = {("lora-r2", 0): 0.3, ("lora-r8", 0): 0.31}
    one = choice(tmp_path / "one", errors, {"lora-r2": 9e-4, "lora-r8": 1e-4})
    other = choice(tmp_path / "other", errors, {"lora-r2": 1e-4, "lora-r8": 9e-4})
    assert one == other


def test_zero_shot_competes_and_may_win(tmp_path: Path):
    chosen = choice(tmp_path, {("zero-shot", 0): 0.2, ("full", 0): 0.25, ("lora-r2", 0): 0.21})
    assert chosen.arm == "zero-shot"
    assert "so no adapter is needed" in chosen.reason


def test_full_fine_tuning_competes(tmp_path: Path):
    assert choice(tmp_path, {("full", 0): 0.2, ("lora-r2", 0): 0.3}).arm == "full"


def test_an_arm_of_which_a_seed_failed_is_listed_and_not_chosen(tmp_path: Path):
    chosen = choice(
        tmp_path, {("lora-r2", 0): 0.1, ("lora-r2", 1): None, ("lora-r8", 0): 0.3, ("lora-r8", 1): 0.3}
    )
    assert chosen.arm == "lora-r8"
    assert [one.validation_wql for one in chosen.candidates] == [None, pytest.approx(0.3)]
    assert "nan at step 10" in chosen.candidates[0].reason


def test_of_equal_errors_the_arm_that_trains_least_is_chosen(tmp_path: Path):
    assert choice(tmp_path / "a", {("lora-r8", 0): 0.3, ("lora-r2", 0): 0.3}).arm == "lora-r2"
    # An arm that learned nothing forecasts what zero-shot does.
    assert choice(tmp_path / "b", {("lora-r2", 0): 0.3, ("zero-shot", 0): 0.3}).arm == "zero-shot"


def test_an_only_candidate_is_said_to_be_the_only_one(tmp_path: Path):
    chosen = choice(tmp_path, {("lora-r2", 0): 0.325})
    assert chosen.reason == (
        "lora-r2 is the only complete arm, with an error on the validation windows, a weighted quantile loss of 0.325 "
        "(one seed). Chosen on validation alone."
    )
    (candidate,) = chosen.candidates
    assert (candidate.arm, candidate.validation_wql, candidate.trainable_parameters) == (
        "lora-r2",
        0.325,
        2 * 1536,
    )


def test_where_every_arm_failed_none_is_chosen(tmp_path: Path):
    arms = arms_with(tmp_path, {("lora-r2", 0): None, ("full", 0): None})
    assert recommended(arms) is None
    with pytest.raises(UserError) as refused:
        choose_adapter(arms)
    assert refused.value.found == "2 arms, none complete"
    assert refused.value.where == "arms of chronos-t5-nano for heart_rate of explicit"
