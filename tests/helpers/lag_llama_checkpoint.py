"""Stand-ins for Lag-Llama's official checkpoint, and a pickle that would run something."""

from collections.abc import Callable
from typing import Any

import torch
from gluonts.torch.distributions.studentT import StudentTOutput

from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.models.lag_llama.configuration import DEFAULT_LAGS
from workflow_scripts.models.registry import VARIANTS


def stand_in() -> dict[str, Any]:
    """What Lightning stores: the network under `model.`, the optimiser, and the arguments of the module.

    The hub's page of the official file lists a set among its names; here, too, one lies beside the rest.
    """
    network = LagLlama.create(VARIANTS["lag-llama"].sizes, seed=4).module
    arguments = {
        **VARIANTS["lag-llama"].sizes,
        "max_context_length": 2048,
        "scaling": "robust",
        "input_size": 1,
        "distr_output": StudentTOutput(),
        "lags_seq": list(DEFAULT_LAGS),
        "rope_scaling": None,
        "num_parallel_samples": 100,
        "time_feat": True,
        "dropout": 0.0,
    }
    return {
        "epoch": 158,
        "pytorch-lightning_version": "2.0.4",
        "state_dict": {f"model.{name}": tensor for name, tensor in network.state_dict().items()},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4}]}],
        "callbacks": {"names": {"val_loss"}},
        "hyper_parameters": {"model_kwargs": arguments, "loss": StudentTOutput(), "lr": 1e-4},
    }


class Runs:
    """Unpickled in the ordinary way, this runs a command."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call
