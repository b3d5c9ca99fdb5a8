"""TimesFM-3: a decoder over patches of 32 with attention in time and between series, that gives nine quantiles.

Upstream: google-research/timesfm, as darts 0.48.1 carries it (`_TimesFM3Module`, the same tensors). Its weights may not
be used commercially (TimesFM Non-Commercial License).
"""

from pathlib import Path
from typing import Any, Self

import torch
from darts.models.forecasting.timesfm3_model import _TimesFM3Module
from torch import Tensor

from workflow_scripts.models.base_weights import load_tensors, read_config, reading, save_tensors
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.pinball import quantile_loss
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.runtime.files import write_json

_BLOCK = {"hidden_dims": 1280, "output_dims": 1280, "use_bias": False, "activation": "relu"}
_TRANSFORMER = {
    "model_dims": 1280,
    "hidden_dims": 1280,
    "num_heads": 16,
    "attention_norm": "rms",
    "feedforward_norm": "rms",
    "qk_norm": "rms",
    "use_rope_seq": True,
    "use_rope_var": False,
    "use_bias": False,
    "ff_activation": "relu",
    "deterministic": True,
    "max_variates": 32,
}
LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
_LONGEST_CONTEXT, _LONGEST_HORIZON = 15_360, 1024
_SMALLEST_SPREAD = 1e-6


class TimesFM3(QuantileModel):
    """A TimesFM-3 checkpoint. `module` is darts' _TimesFM3Module.

    Missing values are masked. Covariates are past-only series beside the own one.
    """

    attention_targets = (
        r"transformer_stack\.layers\.\d+\.(seq|var)_attn\.(query_proj|key_proj|value_proj|out_proj)"
    )
    linear_targets = rf"{attention_targets}|transformer_stack\.layers\.\d+\.(ff0|ff1)"
    key_value_targets = r"transformer_stack\.layers\.\d+\.(seq|var)_attn\.(key_proj|value_proj)"
    feedforward_targets = r"transformer_stack\.layers\.\d+\.ff1"
    head_parameters = r"output_head\..*"
    norm_parameters = r"transformer_stack\..*_ln\.weight"
    levels = LEVELS

    def __init__(self, module: _TimesFM3Module, config: dict[str, Any]) -> None:
        self.module = module
        self._config = config

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode.

        sizes: model_dims (also the width of the residual block and of the feed-forward layers), num_layers, num_heads.
        """
        width = {"hidden_dims": sizes["model_dims"]}
        transformer = _TRANSFORMER | width | {name: sizes[name] for name in ("model_dims", "num_heads")}
        config = {
            "residual_block_config": _BLOCK | width | {"output_dims": sizes["model_dims"]},
            "transformer_config": {"num_layers": sizes["num_layers"], "transformer": transformer},
            "quantiles": LEVELS,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(_network(config), config)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        config = read_config(
            folder, "TimesFM-3", {"residual_block_config", "transformer_config", "quantiles"}
        )
        with reading(folder):
            model = cls(_network(config), config)
        load_tensors(folder, model.module)
        return model

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json, as upstream's and darts' loaders read them."""
        save_tensors(folder, self.module)
        write_json(folder / "config.json", self._config)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Quantile loss on values standardised by the context; see ForecastModel.loss."""
        observed = ~context.values.isnan()
        count = observed.sum(dim=1, keepdim=True).clamp(min=1)
        known = context.values.nan_to_num()
        centre = known.sum(dim=1, keepdim=True) / count
        spread = (((known - centre) * observed).square().sum(dim=1, keepdim=True) / count).sqrt()
        spread = torch.where(spread < _SMALLEST_SPREAD, torch.ones_like(spread), spread)
        forecast = self.trained_quantiles(context, target.shape[1])
        scaled = (forecast - centre[..., None]) / spread[..., None]
        return quantile_loss(scaled, (target - centre) / spread, self.levels)

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass of upstream's `decode`; see QuantileModel.trained_quantiles."""
        require_at_most("windows.context", context.values.shape[1], _LONGEST_CONTEXT, "TimesFM-3")
        require_at_most("windows.horizon", horizon, _LONGEST_HORIZON, "TimesFM-3")
        values, others = context.values[:, None], context.covariates
        forecast = self.module._decode(
            target=values.nan_to_num(),
            target_mask=values.isnan(),
            horizon=horizon,
            past_only_covariates=None if others is None else others.nan_to_num(),
            past_only_mask=None if others is None else others.isnan(),
        )
        return forecast[:, 0].transpose(1, 2)


def _network(config: dict[str, Any]) -> _TimesFM3Module:
    """Darts' module of a configuration; the lengths that its constructor asks for bind nothing in `_decode`."""
    return _TimesFM3Module(input_chunk_length=32, output_chunk_length=32, **config).eval()
