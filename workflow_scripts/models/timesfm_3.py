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
from workflow_scripts.models.pinball import quantile_loss, standardised
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
        forecast = self.trained_quantiles(context, target.shape[1])
        loss = quantile_loss(*standardised(forecast, target, context.values), self.levels)
        if torch.is_grad_enabled() and not loss.requires_grad:
            # Constant series alone: nothing to learn, but a training loop asks for a gradient.
            loss = loss + 0 * sum(weight.sum() for weight in self.module.parameters() if weight.requires_grad)
        return loss

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass of upstream's `decode`; see QuantileModel.trained_quantiles."""
        require_at_most("windows.context", context.values.shape[1], _LONGEST_CONTEXT, "TimesFM-3")
        require_at_most("windows.horizon", horizon, _LONGEST_HORIZON, "TimesFM-3")
        series = context.values[:, None]
        if context.covariates is not None:
            series = torch.cat((series, context.covariates), dim=1)
        late, flat = _empty_patches(series, self.module.input_patch_len), _is_flat(series[:, 0])
        forecast = series.new_empty((len(series), horizon, len(self.levels)))
        for patches, without_gradient in torch.stack((late, flat.long()), dim=1).unique(dim=0).tolist():
            rows = torch.nonzero((late == patches) & (flat == bool(without_gradient))).flatten()
            # A patch in which nothing is observed attends to nothing, which has no gradient: such rows are shortened.
            first = _first_step(series.shape[2], patches, self.module.input_patch_len)
            # Nor has the spread of a constant series, which is 0: its row counts in a loss, and teaches nothing.
            with torch.set_grad_enabled(torch.is_grad_enabled() and not without_gradient):
                decoded = self._decoded(series[rows, :, first:], horizon)
            forecast = forecast.index_put((rows,), decoded)
        return forecast.transpose(1, 2)

    def _decoded(self, series: Tensor, horizon: int) -> Tensor:
        """Upstream's decode, [batch, horizon, levels]. series: own and others, [batch, series, time]."""
        missing = series.isnan()
        # A series without any value counts as one of zeros.
        missing = missing & ~missing.all(dim=2, keepdim=True)
        values = series.nan_to_num()
        others = values.shape[1] > 1
        return self.module._decode(
            target=values[:, :1],
            target_mask=missing[:, :1],
            horizon=horizon,
            past_only_covariates=values[:, 1:] if others else None,
            past_only_mask=missing[:, 1:] if others else None,
        )[:, 0]


def _empty_patches(series: Tensor, patch: int) -> Tensor:
    """How many whole patches before a row's first value may go, int64 [batch]; the last one stays."""
    steps = series.shape[2]
    observed = (~series.isnan()).any(dim=1)
    first = torch.where(observed.any(dim=1), observed.long().argmax(dim=1), steps - 1)
    return (first + -steps % patch) // patch


def _is_flat(own: Tensor) -> Tensor:
    """Whether all observed values of a row are the same, or none is observed, bool [batch]."""
    highest = own.nan_to_num(-torch.inf).amax(dim=1)
    return highest <= own.nan_to_num(torch.inf).amin(dim=1)


def _first_step(steps: int, patches: int, patch: int) -> int:
    """The step with which a context begins that loses so many patches; the first patch may be cut."""
    return max(0, patches * patch - -steps % patch)


def _network(config: dict[str, Any]) -> _TimesFM3Module:
    """Darts' module of a configuration; the lengths that its constructor asks for bind nothing in `_decode`."""
    return _TimesFM3Module(input_chunk_length=32, output_chunk_length=32, **config).eval()
