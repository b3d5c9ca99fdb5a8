"""Chronos-2: an encoder over patches with attention in time and between series (arXiv 2510.15821).

Upstream: `chronos.chronos2` of chronos-forecasting. Every window is a group of its own, of its series and the
covariates beside it, so that nothing flows between the windows of a batch.
"""

from pathlib import Path
from typing import Any, Self

import torch
from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model
from torch import Tensor

from workflow_scripts.models.base_weights import read_architecture
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.models.transformers_parts import load_module, save_module

SETTINGS = {
    "context_length": 8192,
    "input_patch_size": 16,
    "input_patch_stride": 16,
    "output_patch_size": 16,
    "max_output_patches": 64,
    "quantiles": [0.01, *(percent / 100 for percent in range(5, 100, 5)), 0.99],
    "use_reg_token": True,
    "use_arcsinh": True,
    "time_encoding_scale": 8192,
}
"""`chronos_config` of the published model."""


class Chronos2(QuantileModel):
    """A Chronos-2 checkpoint of any size. `module` is upstream's Chronos2Model.

    Upstream forecasts beyond its 64 output patches (1,024 steps) by feeding quantiles back in; here a longer
    horizon is refused.
    """

    attention_targets = r".*\.self_attention\.(q|k|v|o)"
    linear_targets = rf"{attention_targets}|.*\.mlp\.(wi|wo)"
    key_value_targets = r".*\.self_attention\.(k|v)"
    feedforward_targets = r".*\.mlp\.wo"
    head_parameters = r"output_patch_embedding\..*"
    norm_parameters = r".*layer_norm\.weight"

    def __init__(self, module: Chronos2Model) -> None:
        # peft asks for the input embeddings, which transformers does not find in this class by itself.
        module._input_embed_layer = "shared"
        self.module = module
        settings = module.chronos_config
        self.levels = list(settings.quantiles)
        self._context_length: int = settings.context_length
        self._patch: int = settings.output_patch_size
        self._prediction_length: int = settings.max_output_patches * self._patch

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode.

        sizes: d_model, d_ff, num_layers, num_heads, d_kv; and what differs from SETTINGS.
        """
        config = Chronos2CoreConfig(
            **{name: size for name, size in sizes.items() if name not in SETTINGS},
            feed_forward_proj="relu",
            reg_token_id=1,
            chronos_config=SETTINGS | {name: size for name, size in sizes.items() if name in SETTINGS},
            chronos_pipeline_class="Chronos2Pipeline",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(Chronos2Model(config).eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        read_architecture(folder, "Chronos-2", "Chronos2Model")
        return cls(load_module(Chronos2Model, folder))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; `BaseChronosPipeline.from_pretrained` reads them."""
        save_module(self.module, folder)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Quantile loss of upstream's own forward pass, on standardised values; see ForecastModel.loss.

        Covariates carry none, as in upstream's training; its mean counts them with 0, which is undone here.
        """
        series = _together(context)
        future = torch.full((*series.shape[:2], target.shape[1]), torch.nan).to(target)
        future[:, 0] = target
        return (
            self._forward(series, target.shape[1], future_target=future.flatten(0, 1)).loss * series.shape[1]
        )

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass, as upstream's `Chronos2Pipeline.predict`; see QuantileModel.trained_quantiles."""
        series = _together(context)
        return self._forward(series, horizon).quantile_preds[:: series.shape[1], :, :horizon]

    def _forward(self, series: Tensor, horizon: int, **target: Tensor) -> Any:
        windows, together, steps = series.shape
        require_at_most("windows.context", steps, self._context_length, "Chronos-2")
        require_at_most("windows.horizon", horizon, self._prediction_length, "Chronos-2")
        return self.module(
            context=series.flatten(0, 1),
            group_ids=torch.arange(windows, device=series.device).repeat_interleave(together),
            num_output_patches=-(-horizon // self._patch),
            **target,
        )


def _together(context: Series) -> Tensor:
    """Each window's own series, then its covariates: [batch, 1 + others, time]."""
    own = context.values[:, None]
    return own if context.covariates is None else torch.cat((own, context.covariates), dim=1)
