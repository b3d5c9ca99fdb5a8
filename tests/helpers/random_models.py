"""Random models and series for tests; the families that give quantiles in a small size."""

import torch
from torch import nn

from workflow_scripts.models.chronos_2 import Chronos2
from workflow_scripts.models.chronos_bolt import ChronosBolt
from workflow_scripts.models.interface import Series
from workflow_scripts.models.moirai_2 import Moirai2
from workflow_scripts.models.patchtst_fm import PatchTSTFM
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.models.t0 import T0
from workflow_scripts.models.timesfm_2_5 import TimesFM25
from workflow_scripts.models.timesfm_3 import TimesFM3

T5_SIZES = {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2, "d_kv": 16}
MOIRAI_2_SIZES = {
    "d_model": 64,
    "d_ff": 128,
    "num_layers": 2,
    "patch_size": 16,
    "max_seq_len": 512,
    "attn_dropout_p": 0.0,
    "dropout_p": 0.0,
    "scaling": True,
    "num_predict_token": 4,
    "quantile_levels": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
}
TIMESFM_2_5_SIZES = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 32,
    "head_dim": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
T0_SIZES = {"embed_dim": 32, "num_layers": 3, "num_heads": 4, "mlp_hidden_dim": 64, "dropout": 0.0}
PATCHTST_FM_SIZES = {"context_length": 512, "d_model": 32, "n_head": 4, "n_layer": 2}
FAMILIES: list[tuple[type[QuantileModel], dict]] = [
    (ChronosBolt, T5_SIZES),
    (Chronos2, T5_SIZES),
    (Moirai2, MOIRAI_2_SIZES),
    (TimesFM25, TIMESFM_2_5_SIZES),
    (TimesFM3, {"model_dims": 32, "num_layers": 2, "num_heads": 4}),
    (T0, T0_SIZES),
    (PatchTSTFM, PATCHTST_FM_SIZES),
]


def small(family: type[QuantileModel], seed: int = 3) -> QuantileModel:
    """A small random model with weights of ordinary size."""
    model = family.create(dict(FAMILIES)[family], seed)
    spread_out(model.module, seed)
    return model


def spread_out(module: nn.Module, seed: int) -> None:
    """Random weights that keep activations near 1: with upstream's own, outputs hardly depend on inputs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0)
            elif parameter.ndim > 1:
                # T5 does not divide its attention scores by the root of the width, 64 at most.
                smaller = 8 if name.endswith(".q.weight") else 1
                parameter.normal_(std=parameter.shape[-1] ** -0.5 / smaller, generator=generator)


def series(values: torch.Tensor) -> Series:
    return Series(values, torch.zeros(len(values), dtype=torch.int64), 3600)


def random_values(rows: int, length: int, seed: int, missing: float = 0.2) -> torch.Tensor:
    """Series around 80 with gaps; the first has no observation, the second starts late."""
    generator = torch.Generator().manual_seed(seed)
    values = 80 + 10 * torch.randn(rows, length, generator=generator)
    values[torch.rand(rows, length, generator=generator) < missing] = torch.nan
    if missing:
        values[0] = torch.nan
        values[1, : 2 * length // 3] = torch.nan
    return values


def random_uniforms(rows: int, samples: int, horizon: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, samples, horizon, dtype=torch.float64, generator=generator)
