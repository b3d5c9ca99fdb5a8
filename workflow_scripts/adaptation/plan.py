"""What an arm trains, and how much of it: found out from names and shapes, before any weight is changed."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from workflow_scripts.adaptation.arms import FITTING_METHODS, RANKED_METHODS, Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workflow_scripts.models.interface import ForecastModel

SELECTING_METHODS = ("bitfit", "head-only")
"""Methods that train some of the base model's own parameters, chosen by name."""


@dataclass(frozen=True)
class Plan:
    """What an arm trains.

    modules: names of the modules that an adapter is put around.
    parameters: names of the base model's own parameters that train.
    trainable: how many numbers train, in closed form.
    """

    modules: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    trainable: int = 0


def plan(model: "ForecastModel", arm: Arm, parameters: AdaptationParameters) -> Plan:
    """Find what the arm trains on a base model; its weights may be on torch's meta device.

    Raises UserError where the method cannot be had on this model as asked, saying why.
    """
    _check_start(model, arm)
    if arm.method in FITTING_METHODS:
        # Those that its library does not train have no part in the forecast.
        own = {name: weight for name, weight in model.module.named_parameters() if weight.requires_grad}
        return Plan(parameters=tuple(own), trainable=_size(own))
    if arm.method == "zero-shot":
        return Plan()
    if arm.method == "full":
        own = dict(model.module.named_parameters())
        return Plan(parameters=tuple(own), trainable=_size(own))
    if arm.method in SELECTING_METHODS:
        own = _own_parameters(model, arm)
        return Plan(parameters=tuple(own), trainable=_size(own))
    if arm.method == "layernorm":
        own = _own_parameters(model, arm)
        norms = dict.fromkeys(name.rpartition(".")[0] for name in own)
        return Plan(modules=tuple(norms), trainable=_size(own))
    layers = _linear_layers(model, arm, target_pattern(model, arm, parameters))
    _check_layers(layers, model, arm, parameters)
    counts = (_count(name, layer, model, arm, parameters) for name, layer in layers.items())
    return Plan(modules=tuple(layers), trainable=sum(counts))


def target_pattern(model: "ForecastModel", arm: Arm, parameters: AdaptationParameters) -> str:
    """The regular expression for the names of the linear maps that an adapter is put around.

    (IA)3 has targets of its own: keys, values, and the inner activation of the feed-forward layers.
    """
    if arm.method == "ia3":
        return "|".join(filter(None, (model.key_value_targets, model.feedforward_targets)))
    return model.attention_targets if parameters.targets == "attention" else model.linear_targets


def initial_rank(rank: int, parameters: AdaptationParameters) -> int:
    """AdaLoRA's rank before any is cut: always above the rank that is left in the end."""
    return max(rank + 1, math.ceil(rank * parameters.adalora_start))


def _check_start(model: "ForecastModel", arm: Arm) -> None:
    """Refuse to adapt what has no base weights, and to train anew what has some."""
    if arm.method in FITTING_METHODS and not model.losses:
        _refuse(arm, model, "this model has base weights, which such an arm would not use")
    if arm.method not in FITTING_METHODS and model.losses:
        _refuse(arm, model, f"this model is trained from scratch: it only has {', '.join(FITTING_METHODS)}")


def _own_parameters(model: "ForecastModel", arm: Arm) -> "dict[str, Tensor]":
    """The base model's parameters that a method trains, under every name that they have."""
    pattern = {
        "bitfit": model.bias_parameters,
        "head-only": model.head_parameters,
        "layernorm": model.norm_parameters,
    }[arm.method]
    names = model.module.named_parameters(remove_duplicate=False)
    own = {name: weight for name, weight in names if re.fullmatch(pattern, name)}
    if not own:
        _refuse(arm, model, "this model has no parameters of the kind that the method trains")
    return own


def _linear_layers(model: "ForecastModel", arm: Arm, pattern: str) -> "dict[str, nn.Linear]":
    from torch import nn

    named = model.module.named_modules()
    found = {name: module for name, module in named if name and re.fullmatch(pattern, name)}
    if not found:
        _refuse(arm, model, "this model has no layers of the kind that the method adapts")
    for name, module in found.items():
        if not isinstance(module, nn.Linear):
            _refuse(
                arm, model, f"{name} is a {type(module).__name__}, not a linear map with one weight matrix"
            )
    return found


def _check_layers(
    layers: "dict[str, nn.Linear]", model: "ForecastModel", arm: Arm, parameters: AdaptationParameters
) -> None:
    """Refuse what the layers' shapes or weights do not allow."""
    for name, layer in layers.items():
        rows, columns = layer.weight.shape
        shape = f"{name} is a {rows} x {columns} matrix"
        # VeRA's rank is that of its fixed random basis, which may be wider than the layer (arXiv 2310.11454).
        if arm.rank is not None and arm.method != "vera":
            rank = initial_rank(arm.rank, parameters) if arm.method == "adalora" else arm.rank
            if rank > min(rows, columns):
                _refuse(arm, model, f"a rank of {rank} is larger than the layer: {shape}")
        if arm.method == "fourierft" and parameters.fourierft_coefficients > rows * columns:
            _refuse(
                arm, model, f"{parameters.fourierft_coefficients} coefficients are more than entries: {shape}"
            )
        if arm.method == "dora" and not layer.weight.is_meta and not layer.weight.any(dim=1).all():
            _refuse(arm, model, f"{name} has a row of zeros, which has no direction to be scaled")


def _count(
    name: str, layer: "nn.Linear", model: "ForecastModel", arm: Arm, parameters: AdaptationParameters
) -> int:
    """How many numbers an adapter of one linear map trains."""
    rows, columns, rank = layer.out_features, layer.in_features, arm.rank or 0
    if arm.method in ("lora", "rslora", "pissa"):
        return rank * (rows + columns)
    if arm.method == "dora":
        return rank * (rows + columns) + rows
    if arm.method == "adalora":
        return initial_rank(rank, parameters) * (rows + columns + 1)
    if arm.method == "vera":
        return rank + rows
    if arm.method == "fourierft":
        return parameters.fourierft_coefficients
    return columns if re.fullmatch(model.feedforward_targets, name) else rows


def _size(named: "dict[str, Tensor]") -> int:
    """Numbers in these tensors; one that has two names counts once."""
    return sum(weight.numel() for weight in {id(weight): weight for weight in named.values()}.values())


def _refuse(arm: Arm, model: "ForecastModel", reason: str) -> NoReturn:
    ranked = arm.method in RANKED_METHODS
    raise UserError(
        where=f"arm {arm.name} on {type(model).__name__}",
        found=reason,
        expected="a method, and settings of it, that this model can be adapted by",
        remedy=f"change {'ranks, ' if ranked else ''}arms or adaptation in params.yaml; nothing was trained",
    )
