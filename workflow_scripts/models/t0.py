"""t0: a decoder over patches of 32 with attention in time and between series, by The Forecasting Company.

Upstream: `t0.torch.T0Forecaster` of tfc-t0 0.6.0. Its `predict` scales, makes one pass and interpolates; the pass is
called here, because it can be differentiated.
"""

from pathlib import Path
from typing import Any, Self

import torch
from t0.config import T0Config
from t0.data import TimeSeries
from t0.rollout import prepare_rollout_buffer
from t0.torch import T0Forecaster
from torch import Tensor

from workflow_scripts.models.base_weights import load_tensors, read_config, reading, save_tensors
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.pinball import quantile_loss
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.runtime.files import write_json

_LONGEST_HORIZON = 1024


class T0(QuantileModel):
    """A t0 checkpoint. `module` is upstream's T0Forecaster.

    Covariates are further rows of a window's group. Upstream's optional corrections (symmetric averaging, clipping at
    0, rounding) stay off, as by default.
    """

    attention_targets = r"transformer\.layers\.\d+\.attention_block\.attention\.(wQKV|wO)"
    linear_targets = rf"{attention_targets}|transformer\.layers\.\d+\..*mlp\.(0|2)"
    feedforward_targets = r"transformer\.layers\.\d+\..*mlp\.2"
    head_parameters = r"decoder\..*"
    norm_parameters = r".*norm\w*\.scale"

    def __init__(self, module: T0Forecaster) -> None:
        self.module = module
        self.levels = list(module.config.quantile_levels)
        self._patch: int = module.config.patch_size

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode. sizes: what differs from t0-alpha's T0Config."""
        config = T0Config.from_dict(T0Config.medium().to_dict() | sizes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(T0Forecaster.from_config(config).eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        config = read_config(folder, "t0", {"embed_dim", "group_every_n", "quantile_levels"})
        with reading(folder):
            model = cls(T0Forecaster.from_config(T0Config.from_dict(config)).eval())
        load_tensors(folder, model.module)
        return model

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; upstream's `from_pretrained` reads them."""
        save_tensors(folder, self.module)
        write_json(folder / "config.json", self.module.config.to_dict())

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Quantile loss on values standardised by the context, as upstream's LoRA notebook has it on its own scale."""
        forecast, centre, spread = self._forecast(context, target.shape[1])
        scaled = (forecast - centre[..., None]) / spread[..., None]
        return quantile_loss(scaled, (target - centre) / spread, self.levels)

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass, as upstream's `predict` at the trained levels; see QuantileModel.trained_quantiles."""
        return self._forecast(context, horizon)[0]

    def _forecast(self, context: Series, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
        """Quantiles [batch, levels, horizon], and location and scale of the last context step, [batch, 1]."""
        values = context.values[:, None]
        if context.covariates is not None:
            values = torch.cat((values, context.covariates), dim=1)
        windows, together, steps = values.shape
        require_at_most("windows.horizon", horizon, _LONGEST_HORIZON, "t0")
        groups = torch.arange(windows, device=values.device).repeat_interleave(together)
        series = TimeSeries.from_array(values.flatten(0, 1), group_ids=groups)
        padded = prepare_rollout_buffer(series, horizon, steps, self._patch)
        scaled, place = self.module.scaler.scale_input(padded)
        quantiles = self.module.scaler.rescale_predictions(self.module(scaled), place, self._patch)
        first = -(-steps // self._patch) - 1
        own = quantiles[::together, first:].flatten(1, 2)[:, :horizon]
        last = padded.seq_len - (-(-horizon // self._patch)) * self._patch - 1
        return own.transpose(1, 2), place.loc[::together, [last]], place.scale[::together, [last]]
