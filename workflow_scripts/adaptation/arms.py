"""Arms: what is compared. Light to import; docs/methods.md says what each method trains."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.adaptation.method import Method
from workflow_scripts.adaptation.methods import METHODS


@dataclass(frozen=True)
class Arm:
    """A method and, where it has one, its rank."""

    method: str
    rank: int | None = None

    @classmethod
    def parse(cls, name: str) -> "Arm":
        """Read an arm's name; raises ValueError for one that does not exist."""
        for method in METHODS.values():
            if found := re.fullmatch(_name_pattern(method), name):
                return cls(method.name, int(found[1]) if method.has_rank else None)
        raise ValueError(f"no such arm: {name!r}")

    @property
    def definition(self) -> Method:
        """What the method does."""
        return METHODS[self.method]

    @property
    def name(self) -> str:
        """The arm's name in paths and tables: `zero-shot`, `full`, `lora-r4`."""
        return self.definition.arm_name(self.rank)

    def __str__(self) -> str:
        return self.name

    @property
    def trains(self) -> bool:
        """Whether the arm changes any weight."""
        return self.definition.trains

    @property
    def is_zero_shot(self) -> bool:
        """Whether it is a foundation model as it is."""
        return self == ZERO_SHOT

    @property
    def is_full(self) -> bool:
        """Whether it is full fine-tuning."""
        return self == FULL

    @property
    def is_adapter(self) -> bool:
        """Whether it leaves a small adapter: every parameter-efficient method does."""
        return self.definition.is_adapter

    @property
    def is_from_scratch(self) -> bool:
        """Whether it trains a model that has no base weights."""
        return self.definition.model_kind == "from scratch"

    @property
    def is_baseline(self) -> bool:
        """Whether it is the one arm of a baseline."""
        return self == BASELINE


def _name_pattern(method: Method) -> str:
    return rf"{method.name}-r([1-9]\d*)" if method.has_rank else method.name


ZERO_SHOT, FULL, BASELINE = Arm("zero-shot"), Arm("full"), Arm("baseline")

ADAPTATION_METHODS = tuple(method.name for method in METHODS.values() if method.model_kind == "foundation")
"""Methods that params.yaml may name in `arms`."""

SCRATCH_ARMS = tuple(Arm(method.name) for method in METHODS.values() if method.model_kind == "from scratch")
"""All arms of a model that is trained from scratch."""

TRAINING_ARM_PATTERN = "|".join(
    _name_pattern(method)
    for method in METHODS.values()
    if method.model_kind == "foundation" and method.trains
)
"""Matches the names of all arms that train a foundation model."""

SCRATCH_ARM_PATTERN = "|".join(arm.name for arm in SCRATCH_ARMS)
"""Matches the names of all arms that train from scratch."""


def expand_arms(methods: Sequence[str], ranks: Sequence[int]) -> list[Arm]:
    """The arms of some methods, in their order: one for each rank where a method has a rank."""
    arms: list[Arm] = []
    for method in methods:
        arms += [Arm(method, rank) for rank in ranks] if METHODS[method].has_rank else [Arm(method)]
    return arms
