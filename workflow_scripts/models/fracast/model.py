"""Fracast behind the one interface of all families."""

from pathlib import Path
from typing import Any, Self

import torch
from fracast._core.model import build_from_cfg
from torch import Tensor, nn

from workflow_scripts.models.base_weights import load_tensors, read_config, reading, save_tensors
from workflow_scripts.models.fracast.shared_context import forecast_scaled
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.pinball import quantile_loss
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.runtime.files import write_json

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
SETTINGS: dict[str, Any] = {
    "d_model": 64,
    "W": 2048,
    "horizon": 48,
    "n_stages": 10,
    "quantiles": LEVELS,
    "future_queries": 3,
    "future_patch": 16,
    "head_d_ff": 96,
    "head_fc_layers": 2,
    "head_fc_kernel": 3,
    "head_future_conv": True,
    "kernel_size": 3,
    "ffn_mult": 1.5,
    "periodic_topk": 4,
    "scale_cond_dim": 8,
    "level_widths": [2048],
    "family": "fracast",
}
"""`model` of the published config.json, where it differs from what upstream's code takes without it."""

_SMALLEST_SPAN = 1e-5
"""Upstream's: the span by which a constant context is divided."""


class FracastModule(nn.Module):
    """Encoder and head in one module, under the names of the published file."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.core, self.head = build_from_cfg(config)

    def forward(self, values: Tensor, observed: Tensor, horizon: int) -> Tensor:
        """Quantiles on the scale of `values`, float32 [windows, horizon, levels]; see shared_context.py."""
        return forecast_scaled(self.core, self.head, values, observed, horizon)


class Fracast(QuantileModel):
    """Fracast-0. `module` is a FracastModule.

    Upstream forecasts beyond its 48 steps by feeding its median back in; here a longer horizon is refused. It refuses
    a series of fewer than 8 observed values; here, as for all families, any series gives a finite forecast.
    """

    # It has no attention. Its convolution filters in time channel by channel; these maps mix the channels.
    attention_targets = r"(core|head\.future_conv)\.block\.(pw|ffn\.up|ffn\.down)"
    linear_targets = rf"{attention_targets}|head\.decoder_ffns\.\d+\.(up|down)"
    feedforward_targets = r"(core|head\.future_conv)\.block\.ffn\.down|head\.decoder_ffns\.\d+\.down"
    head_parameters = r"head\.out_proj\..*"
    bias_parameters = r".*\.(bias|dw_bias)"
    norm_parameters = r".*\.(norm\d?|decoder_norms\.\d+)\.weight"
    levels = LEVELS

    def __init__(self, module: FracastModule, config: dict[str, Any]) -> None:
        self.module = module
        self._config = config

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode. sizes: what differs from SETTINGS."""
        settings = SETTINGS | sizes
        config = {"model": settings | {"level_widths": [settings["W"]]}, "pyramid": {"ratios": []}}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(FracastModule(config).eval(), config)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the published folder; see ForecastModel.load."""
        config = read_config(folder, "Fracast", {"model", "pyramid"})
        with reading(folder):
            model = cls(FracastModule({name: config[name] for name in ("model", "pyramid")}), config)
        load_tensors(folder, model.module)
        model.module.eval()
        return model

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; upstream's `from_pretrained(folder, weights="fp32")` reads them."""
        save_tensors(folder, self.module)
        write_json(folder / "config.json", self._config)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Quantile loss on scaled values; upstream's own is not published."""
        values, observed, low, span = _scaled(context.values)
        forecast = self._forecast(values, observed, target.shape[1]).transpose(1, 2)
        return quantile_loss(forecast, ((target - low) / span).float(), self.levels)

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass, as upstream's `FracastModel.forecast_batch`; see QuantileModel.trained_quantiles."""
        values, observed, low, span = _scaled(context.values)
        forecast = self._forecast(values, observed, horizon)
        return (forecast * span[..., None] + low[..., None]).float().transpose(1, 2)

    def _forecast(self, values: Tensor, observed: Tensor, horizon: int) -> Tensor:
        settings = self._config["model"]
        require_at_most("windows.context", values.shape[1], settings["W"], "Fracast")
        require_at_most("windows.horizon", horizon, settings["horizon"], "Fracast")
        return self.module(values, observed, horizon)


def _scaled(context: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A context between 0 and 1, what of it is observed, and its lowest value and span.

    float32 [batch, time], 0 where not observed; bool of that shape; float64 [batch, 1] each, 0 and 1 where nothing is
    observed. As upstream, by lowest and highest value.
    """
    observed = context.isfinite()
    none = ~observed.any(dim=1, keepdim=True)
    low = torch.where(observed, context, torch.inf).amin(dim=1, keepdim=True).double().masked_fill(none, 0)
    high = torch.where(observed, context, -torch.inf).amax(dim=1, keepdim=True).double().masked_fill(none, 1)
    span = (high - low).clamp(min=_SMALLEST_SPAN)
    values = torch.where(observed, (context - low) / span, 0.0).float()
    return values, observed, low, span
