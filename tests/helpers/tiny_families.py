"""Every family as small as its code allows, with random weights, and a few series to train them on."""

import copy
from collections.abc import Callable
from functools import cache

import torch

from workflow_scripts.models.interface import ForecastModel, Series

GENERATOR = torch.Generator().manual_seed(7)
CONTEXT = Series(5 + torch.randn(3, 24, generator=GENERATOR), torch.zeros(3, dtype=torch.int64), 3600)
TARGET = 5 + torch.randn(3, 4, generator=GENERATOR)
UNIFORMS = torch.rand(3, 2, 4, generator=GENERATOR, dtype=torch.float64)


def _chronos() -> ForecastModel:
    from workflow_scripts.models.chronos import Chronos

    sizes = {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
    return Chronos.create(
        {**sizes, "vocab_size": 64, "bin_limit": 4.0, "initializer_factor": 1.0, "dropout_rate": 0.0}, seed=0
    )


def _moirai() -> ForecastModel:
    from workflow_scripts.models.moirai import Moirai

    return Moirai.create({"d_model": 64, "num_layers": 1, "patch_sizes": [8]}, seed=0)


def _lag_llama() -> ForecastModel:
    from workflow_scripts.models.lag_llama import LagLlama

    return LagLlama.create({"n_layer": 1, "n_head": 2, "n_embd_per_head": 8, "context_length": 16}, seed=0)


_MAKERS: dict[str, Callable[[], ForecastModel]] = {
    "chronos": _chronos,
    "moirai": _moirai,
    "lag-llama": _lag_llama,
}
FAMILIES = tuple(_MAKERS)

_made = cache(lambda family: _MAKERS[family]())


def tiny(family: str) -> ForecastModel:
    """A fresh copy of the family's smallest model, always with the same weights."""
    return copy.deepcopy(_made(family))
