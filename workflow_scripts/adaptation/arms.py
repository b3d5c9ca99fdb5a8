"""Arms by name: what is compared. Light to import; docs/methods.md says what each method trains."""

import re
from dataclasses import dataclass

RANKED_METHODS = ("lora", "rslora", "dora", "pissa", "adalora", "vera")
"""Methods with a rank: one arm for each rank of params.yaml, named <method>-r<rank>."""

METHODS = (
    "zero-shot",
    "full",
    *RANKED_METHODS,
    "fourierft",
    "bitfit",
    "layernorm",
    "ia3",
    "head-only",
)

PLAIN_METHODS = tuple(method for method in METHODS if method not in RANKED_METHODS)

FITTING_METHODS = {"fit": "mse", "fit-dilate": "dilate"}
"""The arms of a model that is trained from scratch, and the loss that each one trains with."""

_RANKED_ARM = rf"({'|'.join(RANKED_METHODS)})-r([1-9]\d*)"

TRAINED_ARM = rf"{'|'.join(PLAIN_METHODS[1:])}|{_RANKED_ARM}"
"""Pattern of the names of all arms that change a base weight."""

FITTED_ARM = "|".join(FITTING_METHODS)
"""Pattern of the names of all arms that train from scratch."""


@dataclass(frozen=True)
class Arm:
    """A method and, where it has one, its rank."""

    method: str
    rank: int | None = None

    @property
    def name(self) -> str:
        """The arm's name in paths and tables: `zero-shot`, `full`, `lora-r4`."""
        return self.method if self.rank is None else f"{self.method}-r{self.rank}"

    @property
    def trains(self) -> bool:
        """Whether the arm changes any weight."""
        return re.fullmatch(rf"{TRAINED_ARM}|{FITTED_ARM}", self.name) is not None

    @classmethod
    def parse(cls, name: str) -> "Arm":
        """Read an arm's name; raises ValueError for one that does not exist."""
        ranked = re.fullmatch(_RANKED_ARM, name)
        if ranked:
            return cls(ranked[1], int(ranked[2]))
        if name in PLAIN_METHODS or name in FITTING_METHODS:
            return cls(name)
        raise ValueError(f"no such arm: {name!r}")


def expand_arms(methods: list[str], ranks: list[int]) -> list[Arm]:
    """The closed list of arms, in the order of the tables."""
    arms: list[Arm] = []
    for method in methods:
        arms += [Arm(method, rank) for rank in ranks] if method in RANKED_METHODS else [Arm(method)]
    return arms
