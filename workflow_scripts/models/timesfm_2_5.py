"""TimesFM-2.5: a decoder over patches of 32 that gives nine quantiles of the next 128 steps (arXiv 2310.10688).

Upstream: `transformers.models.timesfm2_5`, the class of google/timesfm-2.5-200m-transformers. Its own forward pass pads
to 16,384 steps, clamps a forecast by the smallest value of its whole batch and takes no gaps; what is called here is
what it calls in turn.
"""

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.models.timesfm2_5.configuration_timesfm2_5 import TimesFm2_5Config
from transformers.models.timesfm2_5.modeling_timesfm2_5 import TimesFm2_5ModelForPrediction

from workflow_scripts.models.base_weights import read_config
from workflow_scripts.models.gaps import bridged
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.pinball import quantile_loss, standardised
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.models.transformers_parts import load_renamed_module, save_module

_MEDIAN = 5
"""Place of the median among the outputs: the mean, then the nine quantiles."""


class TimesFM25(QuantileModel):
    """A TimesFM-2.5 checkpoint. `module` is upstream's TimesFm2_5ModelForPrediction.

    Gaps are interpolated, what comes before the first value is masked, as in Google's own package. The forecast of the
    series is averaged with that of its negative, upstream's default (`force_flip_invariance`), in training too. Nothing
    is clamped at 0.
    """

    attention_targets = r".*\.self_attn\.(q_proj|k_proj|v_proj|o_proj)"
    linear_targets = rf"{attention_targets}|.*\.mlp\.(fc1|fc2)"
    key_value_targets = r".*\.self_attn\.(k_proj|v_proj)"
    feedforward_targets = r".*\.mlp\.fc2"
    head_parameters = r"output_projection_(point|quantiles)\..*"
    norm_parameters = r".*(norm|layernorm)\.weight"

    def __init__(self, module: TimesFm2_5ModelForPrediction) -> None:
        self.module = module
        config = module.config
        self.levels = list(config.quantiles)
        self._patch: int = config.patch_length
        self._context_length: int = config.context_length
        self._horizon_length: int = config.horizon_length

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode. sizes: as in upstream's configuration."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(TimesFm2_5ModelForPrediction(TimesFm2_5Config(**sizes)).eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        read_config(folder, "TimesFM-2.5", {"output_quantile_len", "patch_length"})
        return cls(load_renamed_module(TimesFm2_5ModelForPrediction, folder))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; upstream's `from_pretrained` reads them."""
        save_module(self.module, folder)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Quantile loss of the forecast, on values standardised by the context; see ForecastModel.loss.

        Not upstream's, which leaves the median out and pairs the other quantiles with the wrong levels (transformers
        5.23.0: the output of 0.1 learns 0.2).
        """
        values, missing = bridged(context.values)
        forecast = self._forecast(values, missing, target.shape[1])
        known = values.masked_fill(missing, torch.nan)
        return quantile_loss(*standardised(forecast, target, known), self.levels)

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """As upstream's `full_predictions`, without their clamp; see QuantileModel.trained_quantiles."""
        return self._forecast(*bridged(context.values), horizon)

    def _forecast(self, values: Tensor, missing: Tensor, horizon: int) -> Tensor:
        require_at_most("windows.context", values.shape[1], self._context_length, "TimesFM-2.5")
        require_at_most("windows.horizon", horizon, self._horizon_length, "TimesFM-2.5")
        before = -values.shape[1] % self._patch
        values, missing = pad(values, (before, 0)), pad(missing, (before, 0), value=True)
        forecast = (self._decoded(values, missing) - self._decoded(-values, missing).flip(2)) / 2
        return forecast[:, :horizon].transpose(1, 2)

    def _decoded(self, values: Tensor, missing: Tensor) -> Tensor:
        """All quantiles of all steps, [batch, steps, levels]: around the point head's median, as upstream has it."""
        points, spreads, _ = self.module._decode_and_project(values, missing.long())
        median = points[..., _MEDIAN]
        around = spreads[:, : median.shape[1], 1:] - spreads[:, : median.shape[1], _MEDIAN, None]
        return median[..., None] + around
