"""Arms by name, and that naming them costs no heavy import."""

import re
import subprocess
import sys

import pytest

from workflow_scripts.adaptation.arms import (
    ADAPTATION_METHODS,
    SCRATCH_ARM_PATTERN,
    SCRATCH_ARMS,
    TRAINING_ARM_PATTERN,
    Arm,
    expand_arms,
)
from workflow_scripts.adaptation.methods import METHODS

RANKED_METHODS = ["lora", "rslora", "dora", "pissa", "adalora", "vera"]
ISSUE_S_METHODS = [
    "zero-shot", "full", *RANKED_METHODS, "fourierft", "bitfit", "layernorm", "ia3", "head-only",
]  # fmt: skip


def test_every_method_that_was_asked_for_is_there():
    assert sorted(ADAPTATION_METHODS) == sorted(ISSUE_S_METHODS)


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


def test_an_arm_is_printed_by_its_name():
    assert str(Arm("dora", 4)) == Arm("dora", 4).name == "dora-r4"
    assert str(Arm("full")) == "full"


def test_a_method_with_a_rank_gives_one_arm_for_each_rank():
    arms = expand_arms(["zero-shot", "lora", "bitfit", "dora"], [1, 8])
    assert [arm.name for arm in arms] == ["zero-shot", "lora-r1", "lora-r8", "bitfit", "dora-r1", "dora-r8"]


def test_naming_arms_imports_neither_torch_nor_peft():
    heavy = ("torch", "peft", "transformers")
    modules = ", ".join(
        f"workflow_scripts.adaptation.{name}" for name in ("arms", "parameters", "adapting", "hooks")
    )
    code = f"import sys, {modules}; print(sorted(set({heavy}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_pattern_for_rules_matches_whole_names_only():
    for pattern, names, others in (
        (
            TRAINING_ARM_PATTERN,
            ["adalora-r12", "full", "bitfit"],
            ["zero-shot", "trained", "lora", "baseline"],
        ),
        (
            SCRATCH_ARM_PATTERN,
            ["trained", "trained-dilate", "trained-quantile"],
            ["trained-d", "full", "baseline"],
        ),
    ):
        assert all(re.fullmatch(pattern, name) for name in names)
        assert not any(re.fullmatch(pattern, name) for name in others)


def test_what_trains_from_scratch_is_an_arm_but_no_method_of_adaptation():
    assert [(arm.name, arm.definition.loss) for arm in SCRATCH_ARMS] == [
        ("trained", "mse"),
        ("trained-dilate", "dilate"),
        ("trained-quantile", "quantile"),
    ]
    for arm in SCRATCH_ARMS:
        assert arm.method not in ADAPTATION_METHODS
        assert Arm.parse(arm.name) == arm
        assert arm.trains
        assert arm.is_from_scratch


WHAT_METHODS_ARE = {
    "zero-shot": set(),
    "full": {"trains"},
    "head-only": {"trains", "is_adapter"},
    "bitfit": {"trains", "is_adapter"},
    "ia3": {"trains", "is_adapter", "uses_peft"},
    "layernorm": {"trains", "is_adapter", "uses_peft"},
    "fourierft": {"trains", "is_adapter", "uses_peft"},
    **{key: {"trains", "is_adapter", "uses_peft", "has_rank"} for key in RANKED_METHODS},
    "trained": {"trains"},
    "trained-dilate": {"trains"},
    "trained-quantile": {"trains"},
    "baseline": set(),
}
"""Parameter-efficient methods leave an adapter; peft computes those that are no choice of the model's own weights."""


def test_a_method_has_a_rank_an_adapter_or_peft_as_its_paper_has_it():
    flags = ("trains", "is_adapter", "uses_peft", "has_rank")
    found = {name: {flag for flag in flags if getattr(method, flag)} for name, method in METHODS.items()}
    assert found == WHAT_METHODS_ARE
    assert {name for name, method in METHODS.items() if method.model_kind != "foundation"} == {
        "trained",
        "trained-dilate",
        "trained-quantile",
        "baseline",
    }


def test_an_arm_says_what_it_is():
    def kinds(name):
        arm = Arm.parse(name)
        flags = ("trains", "is_adapter", "is_zero_shot", "is_full", "is_from_scratch", "is_baseline")
        return {flag for flag in flags if getattr(arm, flag)}

    assert kinds("zero-shot") == {"is_zero_shot"}
    assert kinds("full") == {"trains", "is_full"}
    assert kinds("lora-r4") == kinds("bitfit") == {"trains", "is_adapter"}
    assert kinds("trained") == {"trains", "is_from_scratch"}
    assert kinds("baseline") == {"is_baseline"}
