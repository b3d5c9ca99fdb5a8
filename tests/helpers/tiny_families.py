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


T5_SIZES = {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8, "dropout_rate": 0.0}
CHRONOS_SIZES = {**T5_SIZES, "vocab_size": 64, "bin_limit": 4.0, "initializer_factor": 1.0}


def _chronos() -> ForecastModel:
    from workflow_scripts.models.chronos import Chronos

    return Chronos.create(CHRONOS_SIZES, seed=0)


def _chronos_bolt() -> ForecastModel:
    from workflow_scripts.models.chronos_bolt import ChronosBolt

    return ChronosBolt.create({**T5_SIZES, "initializer_factor": 1.0}, seed=0)


def _chronos_2() -> ForecastModel:
    from workflow_scripts.models.chronos_2 import Chronos2

    return Chronos2.create({**T5_SIZES, "initializer_factor": 1.0}, seed=0)


def _moirai() -> ForecastModel:
    from workflow_scripts.models.moirai import Moirai

    return Moirai.create({"d_model": 64, "num_layers": 1, "patch_sizes": [8]}, seed=0)


def _moirai_2() -> ForecastModel:
    from workflow_scripts.models.moirai_2 import Moirai2

    sizes = {"d_model": 64, "d_ff": 96, "num_layers": 1, "patch_size": 16, "max_seq_len": 64}
    return Moirai2.create({**sizes, "attn_dropout_p": 0.0, "dropout_p": 0.0}, seed=0)


def _lag_llama() -> ForecastModel:
    from workflow_scripts.models.lag_llama import LagLlama

    return LagLlama.create({"n_layer": 1, "n_head": 2, "n_embd_per_head": 8, "context_length": 16}, seed=0)


def _fracast() -> ForecastModel:
    from workflow_scripts.models.fracast import Fracast

    sizes = {"d_model": 16, "W": 64, "horizon": 8, "n_stages": 4, "future_queries": 2, "future_patch": 4}
    return Fracast.create({**sizes, "head_d_ff": 24}, seed=0)


def _timesfm_2_5() -> ForecastModel:
    from workflow_scripts.models.timesfm_2_5 import TimesFM25

    sizes = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "head_dim": 8}
    return TimesFM25.create(sizes | {"num_attention_heads": 2, "num_key_value_heads": 2}, seed=0)


def _timesfm_3() -> ForecastModel:
    from workflow_scripts.models.timesfm_3 import TimesFM3

    return TimesFM3.create({"model_dims": 16, "num_layers": 1, "num_heads": 2}, seed=0)


def _t0() -> ForecastModel:
    from workflow_scripts.models.t0 import T0

    sizes = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_hidden_dim": 32, "group_every_n": 2}
    return T0.create(sizes | {"dropout": 0.0}, seed=0)


def _patchtst_fm() -> ForecastModel:
    from workflow_scripts.models.patchtst_fm import PatchTSTFM

    sizes = {"context_length": 512, "d_model": 16, "n_head": 2, "n_layer": 1, "num_quantile": 9}
    return PatchTSTFM.create(sizes, seed=0)


_MAKERS: dict[str, Callable[[], ForecastModel]] = {
    "chronos": _chronos,
    "chronos-bolt": _chronos_bolt,
    "chronos-2": _chronos_2,
    "moirai": _moirai,
    "moirai-2": _moirai_2,
    "lag-llama": _lag_llama,
    "fracast": _fracast,
    "timesfm-2.5": _timesfm_2_5,
    "timesfm-3": _timesfm_3,
    "t0": _t0,
    "patchtst-fm": _patchtst_fm,
}
FAMILIES = tuple(_MAKERS)

_made = cache(lambda family: _MAKERS[family]())


def tiny(family: str) -> ForecastModel:
    """A fresh copy of the family's smallest model, always with the same weights."""
    # Upstream's t0 holds rotary embeddings that cannot be copied.
    return _MAKERS[family]() if family == "t0" else copy.deepcopy(_made(family))
