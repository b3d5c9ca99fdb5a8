"""Arms by name: what is compared, and how each one changes a model before training."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.adaptation.parameters import AdaptationParameters

if TYPE_CHECKING:
    from torch import nn

    from workflow_scripts.models.interface import ForecastModel

RANKED_METHODS = ("lora",)
"""Methods with a rank: one arm for each rank of params.yaml, named <method>-r<rank>."""

PLAIN_METHODS = ("zero-shot", "full")

METHODS = (*PLAIN_METHODS, *RANKED_METHODS)

TRAINED_ARM = rf"full|({'|'.join(RANKED_METHODS)})-r[1-9]\d*"
"""Pattern of the names of all arms that change a weight."""


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
        return re.fullmatch(TRAINED_ARM, self.name) is not None

    @classmethod
    def parse(cls, name: str) -> "Arm":
        """Read an arm's name; raises ValueError for one that does not exist."""
        ranked = re.fullmatch(rf"({'|'.join(RANKED_METHODS)})-r([1-9]\d*)", name)
        if ranked:
            return cls(ranked[1], int(ranked[2]))
        if name in PLAIN_METHODS:
            return cls(name)
        raise ValueError(f"no such arm: {name!r}")


def expand_arms(methods: list[str], ranks: list[int]) -> list[Arm]:
    """The closed list of arms, in the order of the tables."""
    arms: list[Arm] = []
    for method in methods:
        arms += [Arm(method, rank) for rank in ranks] if method in RANKED_METHODS else [Arm(method)]
    return arms


def adapt(model: "ForecastModel", arm: Arm, parameters: AdaptationParameters, seed: int) -> None:
    """Prepare a base model for an arm: choose what trains, and wrap the module where the method asks for it.

    LoRA's A is Gaussian and B zero (arXiv 2405.10216), so an adapted model starts as the base model.
    """
    if arm.method in PLAIN_METHODS:
        model.module.requires_grad_(arm.method == "full")
    elif arm.method == "lora":
        model.module = _with_lora(model, arm, parameters, seed)


def _with_lora(model: "ForecastModel", arm: Arm, parameters: AdaptationParameters, seed: int) -> "nn.Module":
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=arm.rank,
        lora_alpha=parameters.lora_alpha,
        lora_dropout=parameters.lora_dropout,
        target_modules=model.attention_targets,
        init_lora_weights="gaussian",
        bias="none",
    )
    return get_peft_model(model.module, config)


def count_parameters(model: "ForecastModel") -> dict[str, int]:
    """Total parameters (the adapter's included) and those that train."""
    weights = list(model.module.parameters())
    return {
        "total": sum(weight.numel() for weight in weights),
        "trainable": sum(weight.numel() for weight in weights if weight.requires_grad),
    }


def save_adapter(model: "ForecastModel", arm: Arm, folder: Path, base_name: str) -> None:
    """Write what the arm learned: all weights for `full`, only the adapter for any other method."""
    if arm.method == "full":
        model.save(folder)
        return
    # The base is named, not located: an absolute path would mean nothing on another machine.
    for config in model.module.peft_config.values():
        config.base_model_name_or_path = base_name
    model.module.save_pretrained(str(folder), save_embedding_layers=False)
