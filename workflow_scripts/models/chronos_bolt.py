"""Chronos-Bolt: a T5 over patches that gives nine quantiles of the next 64 steps in one pass.

Upstream: `chronos.chronos_bolt` of chronos-forecasting, released with the Chronos models (Ansari et al. 2024,
arXiv 2403.07815). Importing the package costs little more than transformers' T5 alone.
"""

from pathlib import Path
from typing import Any, Self

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from torch import Tensor
from transformers.models.t5.configuration_t5 import T5Config

from workflow_scripts.models.base_weights import read_architecture
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.quantile_model import QuantileModel, at_levels, for_all
from workflow_scripts.models.transformers_parts import load_module, save_module

SETTINGS = {
    "context_length": 2048,
    "prediction_length": 64,
    "input_patch_size": 16,
    "input_patch_stride": 16,
    "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "use_reg_token": True,
}
"""`chronos_config` of all published sizes."""


class ChronosBolt(QuantileModel):
    """A Chronos-Bolt checkpoint of any size. `module` is upstream's ChronosBoltModelForForecasting.

    Upstream forecasts beyond its 64 steps by feeding quantiles back in, and warns that this is not what the
    model was trained for; here a longer horizon is refused.
    """

    attention_targets = r".*(SelfAttention|EncDecAttention)\.(q|k|v|o)"
    linear_targets = rf"{attention_targets}|.*DenseReluDense\.(wi|wo)"
    key_value_targets = r".*(SelfAttention|EncDecAttention)\.(k|v)"
    feedforward_targets = r".*DenseReluDense\.wo"
    head_parameters = r"output_patch_embedding\..*"
    # The blocks have no others than T5's; the linear maps with biases make and read the patches.
    bias_parameters = r".*\.bias|.*relative_attention_bias\.weight"
    norm_parameters = r".*layer_norm\.weight"

    def __init__(self, module: ChronosBoltModelForForecasting) -> None:
        # peft asks for the input embeddings, which transformers does not find in this class by itself.
        module._input_embed_layer = "shared"
        self.module = module
        settings = module.chronos_config
        self.levels = list(settings.quantiles)
        self._context_length: int = settings.context_length
        self._prediction_length: int = settings.prediction_length

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode.

        sizes: d_model, d_ff, num_layers, num_heads, d_kv.
        """
        config = T5Config(
            # The published configuration's factor; with T5's own, 1, the initial loss is in the hundreds.
            **{"initializer_factor": 0.05, **sizes},
            vocab_size=2,
            feed_forward_proj="relu",
            pad_token_id=0,
            eos_token_id=1,
            reg_token_id=1,
            decoder_start_token_id=0,
            chronos_config=dict(SETTINGS),
            chronos_pipeline_class="ChronosBoltPipeline",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(ChronosBoltModelForForecasting(config).eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        read_architecture(folder, "Chronos-Bolt", "ChronosBoltModelForForecasting")
        return cls(load_module(ChronosBoltModelForForecasting, folder))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; `BaseChronosPipeline.from_pretrained` reads them."""
        save_module(self.module, folder)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Quantile loss of upstream's own forward pass, on standardised values; see ForecastModel.loss."""
        self._check_lengths(context, target.shape[1])
        return self.module(context=context.values, target=target).loss

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass, as upstream's `ChronosBoltPipeline.predict`; see QuantileModel.trained_quantiles."""
        self._check_lengths(context, horizon)
        return self.module(context=context.values).quantile_preds[..., :horizon]

    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """As upstream's `ChronosBoltPipeline.predict_quantiles`; see QuantileModel.quantiles.

        Where a level between trained ones is asked, quantiles that cross are sorted, together with the outermost two,
        which stand for the levels 0 and 1.
        """
        if set(levels) <= set(self.levels):
            return super().quantiles(context, uniforms, levels)
        with torch.no_grad():
            trained = self.trained_quantiles(context, uniforms.shape[2])
            widened = torch.cat((trained[:, :1], trained, trained[:, -1:]), dim=1).sort(dim=1).values
            return at_levels(widened, [0.0, *self.levels, 1.0], for_all(levels, trained))

    def _check_lengths(self, context: Series, horizon: int) -> None:
        require_at_most("windows.context", context.values.shape[1], self._context_length, "Chronos-Bolt")
        require_at_most("windows.horizon", horizon, self._prediction_length, "Chronos-Bolt")
