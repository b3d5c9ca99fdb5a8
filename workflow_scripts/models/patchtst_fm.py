"""PatchTST-FM r1: an encoder over patches of 16 that gives 99 quantiles, by IBM (granite-timeseries-patchtst-fm-r1).

Upstream: `tsfm_public.models.patchtst_fm` of granite-tsfm, whose pins do not fit this project's. The same network is in
darts, tensor for tensor; it is called here as upstream's class calls it, with at least 128 future steps masked.
"""

from pathlib import Path
from typing import Any, Self

import torch
from darts.models.forecasting.patchtst_fm_model import _PatchTSTFMBackbone
from torch import Tensor, nn
from torch.nn.functional import pad

from workflow_scripts.models.base_weights import load_tensors, read_config, reading, save_tensors
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.pinball import quantile_loss
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.runtime.files import write_json

SETTINGS: dict[str, Any] = {
    "context_length": 8192,
    "d_patch": 16,
    "d_model": 1024,
    "n_head": 16,
    "n_layer": 20,
    "num_quantile": 99,
}
"""Sizes of the published model, named as in its config.json."""

_MASKED_STEPS = 128
"""So many future steps upstream masks at least; up to them a forecast does not depend on the horizon asked for."""


class PatchTSTFMModule(nn.Module):
    """The network under the names of upstream's file."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.backbone = _PatchTSTFMBackbone(**settings)

    def forward(self, values: Tensor, future: Tensor, missing: Tensor, padding: Tensor) -> Tensor:
        """Quantiles of every step on the standardised scale, [batch, steps, levels]; all arguments [batch, steps]."""
        return self.backbone(values, future, missing, padding)


class PatchTSTFM(QuantileModel):
    """A PatchTST-FM r1 checkpoint. `module` is a PatchTSTFMModule.

    A context that begins late counts as a shorter one, as in upstream; gaps are masked. Contexts and horizons together
    longer than the network takes are refused; upstream cuts them. A horizon beyond 128 steps is refused too, because
    there the early steps depend on it.
    """

    attention_targets = r"backbone\.blocks\.\d+\.attn\.(qkv|proj)"
    linear_targets = rf"{attention_targets}|backbone\.blocks\.\d+\.mlp\.layers\.(0|4)"
    feedforward_targets = r"backbone\.blocks\.\d+\.mlp\.layers\.4"
    head_parameters = r"backbone\.out_layer\..*"
    norm_parameters = r"backbone\.blocks\.\d+\.norm\d\.(weight|bias)"

    def __init__(self, module: PatchTSTFMModule, settings: dict[str, Any]) -> None:
        self.module = module
        self._settings = settings
        self.levels = [
            place / (settings["num_quantile"] + 1) for place in range(1, settings["num_quantile"] + 1)
        ]

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode. sizes: what differs from SETTINGS."""
        settings = SETTINGS | sizes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(PatchTSTFMModule(settings).eval(), settings)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        config = read_config(folder, "PatchTST-FM", set(SETTINGS))
        with reading(folder):
            model = cls.create({name: config[name] for name in SETTINGS}, seed=0)
        load_tensors(folder, model.module)
        return model

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json, as upstream's PatchTSTFMForPrediction reads them."""
        save_tensors(folder, self.module)
        levels = {"quantile_levels": self.levels, "model_type": "patchtst_fm"}
        write_json(
            folder / "config.json", self._settings | levels | {"architectures": ["PatchTSTFMForPrediction"]}
        )

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Upstream's loss of pre-training on the observed future steps, on its standardised scale.

        Twice the pinball loss, summed over levels and divided by the root of their number.
        """
        forecast, centre, spread = self._forecast(context, target.shape[1])
        scaled = torch.asinh((target - centre) / spread)
        return quantile_loss(forecast, scaled, self.levels) * len(self.levels) ** 0.5

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """As upstream's `quantile_outputs`; see QuantileModel.trained_quantiles."""
        forecast, centre, spread = self._forecast(context, horizon)
        return torch.sinh(forecast) * spread[..., None] + centre[..., None]

    def _forecast(self, context: Series, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
        """Quantiles on the standardised scale, [batch, levels, horizon], means and spreads of contexts, [batch, 1]."""
        steps, patch = context.values.shape[1], self._settings["d_patch"]
        longest = self._settings["context_length"] - _MASKED_STEPS
        require_at_most("windows.context", steps, longest, "PatchTST-FM")
        require_at_most("windows.horizon", horizon, _MASKED_STEPS, "PatchTST-FM")
        front = -(steps + _MASKED_STEPS) % patch
        observed = ~context.values.isnan()
        # A series without any value would be all padding, which the attention cannot take.
        late = (observed.cumsum(dim=1) == 0) & observed.any(dim=1, keepdim=True)
        padding = pad(pad(late, (front, 0), value=True), (0, _MASKED_STEPS), value=False)
        future = torch.zeros_like(padding)
        future[:, -_MASKED_STEPS:] = True
        missing = pad(~observed, (front, _MASKED_STEPS), value=False)
        values = pad(context.values.nan_to_num(), (front, _MASKED_STEPS))
        forecast = self.module(values, future, missing, padding)[:, front + steps :][:, :horizon]
        centre, spread = self.module.backbone.norm_fn.get_statistics()
        return forecast.transpose(1, 2), centre, spread
