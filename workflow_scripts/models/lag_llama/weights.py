"""Weights and configuration on disk: model.safetensors and config.json, read strictly."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.models.lag_llama.network import LagLlamaNetwork
from workflow_scripts.models.weights import CONFIGURATION, WEIGHTS, read_configuration
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_path, write_json

FAMILY = "lag-llama"
_REMEDY = "prepare the model's weights again, or name the folder of a Lag-Llama model"


def save(network: LagLlamaNetwork, folder: Path) -> None:
    """Write both files, each atomically, the configuration last."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    settings = {"model_type": FAMILY, **network.configuration.model_dump(mode="json")}
    write_json(folder / CONFIGURATION, settings)


def load(folder: Path) -> LagLlamaNetwork:
    """Build the network that the configuration describes and give it the stored weights.

    Raises UserError where a file is missing or not readable, or do not fit each other.
    """
    settings = _read_settings(folder)
    configuration = LagLlamaConfiguration.parse(settings, where=str(folder / CONFIGURATION))
    return build(configuration, _read_tensors(folder / WEIGHTS), where=str(folder / WEIGHTS))


def build(configuration: LagLlamaConfiguration, tensors: dict[str, Tensor], where: str) -> LagLlamaNetwork:
    """The configured network with exactly these weights; UserError, naming `where`, if they do not fit it."""
    with torch.device("meta"):
        network = LagLlamaNetwork(configuration)
    _check_state(network, tensors, where)
    network.load_state_dict(tensors, assign=True)
    return network.requires_grad_(True)


def _check_state(network: LagLlamaNetwork, tensors: dict[str, Tensor], where: str) -> None:
    """Raise UserError unless names, shapes and types are the network's, and every value is finite."""
    expected = network.state_dict()
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or surplus:
        found = f"{_listed(missing)} missing, {_listed(surplus)} unknown"
        raise UserError(where, found, f"exactly the {len(expected)} tensors of the configuration", _REMEDY)
    for name, tensor in tensors.items():
        wanted = expected[name]
        if (tensor.shape, tensor.dtype) != (wanted.shape, wanted.dtype):
            raise UserError(where, f"{name}: {_kind(tensor)}", f"{_kind(wanted)}, as configured", _REMEDY)
    not_finite = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if not_finite:
        found = f"NaN or infinite weights in {_listed(not_finite)}"
        raise UserError(where, found, "finite weights", _REMEDY)


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} ({shown})" if names else "none"


def _read_settings(folder: Path) -> dict[str, Any]:
    settings = read_configuration(folder, "the configuration of a Lag-Llama model", _REMEDY)
    family = settings.pop("model_type", None)
    if family != FAMILY:
        raise UserError(
            str(folder / CONFIGURATION), f"model_type {family!r}", f"model_type {FAMILY!r}", _REMEDY
        )
    return settings


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(str(path), "no such file", f"{CONFIGURATION} and {WEIGHTS}", _REMEDY) from None
    except SafetensorError as error:
        raise UserError(str(path), f"not readable ({error})", "a whole safetensors file", _REMEDY) from None
