"""Methods that train some of the base model's own parameters, chosen by name."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.method import Adaptation, Method, Plan, count_numbers

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workflow_scripts.models.interface import ForecastModel

SELECTED_WEIGHTS = "selected.safetensors"
NOTHING_MATCHES = "this model has no parameters of the kind that the method trains"


class Selection(Method, ABC):
    """Trains the parameters whose names match a pattern, and stores them under these names."""

    is_adapter = True

    @abstractmethod
    def pattern(self, model: "ForecastModel") -> str:
        """The regular expression that matches the full names of what trains."""

    def plan(self, asked: Adaptation) -> Plan:
        """The matching parameters, under every name that they have. Raises UserError where there are none."""
        named = matching_parameters(asked.model, self.pattern(asked.model))
        if not named:
            self.refuse(asked, NOTHING_MATCHES)
        return Plan(parameters=tuple(named), trainable=count_numbers(named))

    def apply(self, asked: Adaptation, planned: Plan) -> TrainingHooks:
        """Freeze everything else."""
        select(asked.model.module, planned.parameters)
        return TrainingHooks()

    def save(self, model: "ForecastModel", rank: int | None, folder: Path, base_name: str) -> dict[str, Any]:  # noqa: ARG002
        """Write the parameters that trained."""
        from workflow_scripts.adaptation.tensors import write_tensors

        named = model.module.named_parameters()
        trained = {name: weight for name, weight in named if weight.requires_grad}
        write_tensors(trained, folder / SELECTED_WEIGHTS)
        return {}

    def load(self, model: "ForecastModel", folder: Path, description: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Copy the stored parameters to their places."""
        import torch

        from workflow_scripts.adaptation.tensors import read_tensors, require_equal_shapes

        tensors = read_tensors(folder / SELECTED_WEIGHTS)
        require_equal_shapes(tensors, matching_parameters(model, self.pattern(model)))
        select(model.module, tensors)
        with torch.no_grad():
            for name, value in tensors.items():
                model.module.get_parameter(name).copy_(value)


def matching_parameters(model: "ForecastModel", pattern: str) -> "dict[str, Tensor]":
    """The parameters whose names match, under every name that they have."""
    named = model.module.named_parameters(remove_duplicate=False)
    return {name: weight for name, weight in named if re.fullmatch(pattern, name)}


def select(module: "nn.Module", names: Iterable[str]) -> None:
    """Let only the named parameters train.

    One that shares its values with a parameter of another name (T5's output layer with its embedding) gets
    values of its own, equal at the start: else the other one would be trained too.
    """
    from torch import nn

    chosen = set(names)
    module.requires_grad_(False)
    everything = list(module.named_parameters(remove_duplicate=False))
    shared = {id(weight) for name, weight in everything if name not in chosen}
    for name, weight in everything:
        if name in chosen:
            parent, _, leaf = name.rpartition(".")
            own = nn.Parameter(weight.detach().clone()) if id(weight) in shared else weight
            setattr(module.get_submodule(parent), leaf, own.requires_grad_(True))
