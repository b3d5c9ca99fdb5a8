"""Arms by name, and that naming them costs no heavy import."""

import subprocess
import sys

import pytest

from workflow_scripts.adaptation.arms import (
    FITTED_ARM,
    FITTING_METHODS,
    METHODS,
    RANKED_METHODS,
    TRAINED_ARM,
    Arm,
    expand_arms,
)

ISSUE_S_METHODS = [
    "zero-shot", "full", "lora", "rslora", "dora", "pissa", "adalora", "vera", "fourierft", "bitfit", "layernorm",
    "ia3", "head-only",
]  # fmt: skip


def test_every_method_that_was_asked_for_is_there():
    assert list(METHODS) == ISSUE_S_METHODS


@pytest.mark.parametrize("arm", expand_arms(ISSUE_S_METHODS, [1, 64]), ids=lambda arm: arm.name)
def test_an_arm_s_name_reads_back_as_itself(arm):
    assert Arm.parse(arm.name) == arm
    assert (arm.rank is None) == (arm.method not in RANKED_METHODS)
    assert arm.trains == (arm.name != "zero-shot")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lora",
        "lora-r0",
        "lora-r",
        "lora-r2x",
        "Full",
        "zero-shot-r2",
        "bitfit-r2",
        "ia3-r1",
        "dora",
        "vera-r-1",
    ],
)
def test_a_name_that_is_no_arm_is_refused(name):
    with pytest.raises(ValueError, match="no such arm"):
        Arm.parse(name)


def test_a_method_with_a_rank_gives_one_arm_for_each_rank():
    arms = expand_arms(["zero-shot", "lora", "bitfit", "dora"], [1, 8])
    assert [arm.name for arm in arms] == ["zero-shot", "lora-r1", "lora-r8", "bitfit", "dora-r1", "dora-r8"]


def test_naming_arms_imports_neither_torch_nor_peft():
    heavy = ("torch", "peft", "transformers")
    modules = ", ".join(
        f"workflow_scripts.adaptation.{name}" for name in ("arms", "parameters", "plan", "hooks")
    )
    code = f"import sys, {modules}; print(sorted(set({heavy}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_pattern_for_rules_matches_whole_names_only():
    import re

    assert re.fullmatch(TRAINED_ARM, "adalora-r12")
    assert not re.fullmatch(TRAINED_ARM, "zero-shot")
    assert not re.fullmatch(TRAINED_ARM, "fit")
    assert re.fullmatch(FITTED_ARM, "fit-dilate")
    assert not re.fullmatch(FITTED_ARM, "fit-d")


def test_what_trains_from_scratch_is_an_arm_but_no_method_of_adaptation():
    assert list(FITTING_METHODS.items()) == [("fit", "mse"), ("fit-dilate", "dilate")]
    assert not set(FITTING_METHODS) & set(METHODS)
    for name in FITTING_METHODS:
        assert Arm.parse(name) == Arm(name)
        assert Arm.parse(name).trains
