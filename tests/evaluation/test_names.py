"""Names as a clinician reads them."""

import pytest

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.names import (
    arm_name,
    capital,
    cohort_name,
    counted,
    dataset_name,
    is_implied,
    listed,
    run_name,
    vital_name,
)


def test_vital_signs_and_cohorts_have_words_and_unknown_ones_their_own() -> None:
    assert vital_name("spo2") == "oxygen saturation"
    assert vital_name("mean_blood_pressure") == "mean blood pressure"
    assert cohort_name("angus") == "sepsis (Angus' codes)"
    assert cohort_name("my_own_cohort") == "my own cohort"


def test_a_data_set_has_the_title_of_its_entry() -> None:
    assert dataset_name("mimic-iii-demo") == "the open MIMIC-III demo"


@pytest.mark.parametrize(
    ("model", "arm", "name"),
    [
        ("chronos-t5-nano", "lora-r4", "Chronos-T5 nano, LoRA, rank 4"),
        ("chronos-t5-nano", "full", "Chronos-T5 nano, full fine-tuning"),
        ("theta", "baseline", "Theta"),
        ("n-hits-hr", "trained-dilate", "N-HiTS (settings for heart rate), trained, DILATE loss"),
    ],
)
def test_a_run_is_its_model_and_its_arm(model: str, arm: str, name: str) -> None:
    assert run_name(model, arm) == name


def test_an_arm_is_implied_where_its_model_has_no_other_way_to_be() -> None:
    assert {name for name in ("baseline", "trained", "trained-dilate", "full") if is_implied(Arm(name))} == {
        "baseline",
        "trained",
    }
    assert arm_name("bitfit") == "BitFit"


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_ends_with_and(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_a_count_is_plural_but_for_one() -> None:
    assert [counted(number, "seed") for number in (0, 1, 2, 1234)] == [
        "0 seeds",
        "1 seed",
        "2 seeds",
        "1,234 seeds",
    ]


def test_a_sentence_begins_with_a_capital_and_keeps_the_others() -> None:
    assert capital("last value of MOIRAI") == "Last value of MOIRAI"
    assert capital("") == ""
