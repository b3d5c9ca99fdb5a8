"""MOIRAI-2: a decoder over patches of 16 that gives nine quantiles of the next four (arXiv 2511.11698).

Upstream's `Moirai2Forecast` needs Lightning, so the tokens for one variate are built here, as its `_convert`
does. uni2ts 2.0.0 ships no training class for this model: the loss is its own `PackedQuantileMAELoss`, on the
standardised tokens after the context, which the last token of the context forecasts.
"""

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from uni2ts.loss.packed import PackedQuantileMAELoss

from workflow_scripts.models.base_weights import read_config
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.quantile_model import QuantileModel
from workflow_scripts.models.uni2ts_parts import load_module, patches, save_module, uni2ts_module

MODULE = uni2ts_module("moirai2")


class Moirai2(QuantileModel):
    """A MOIRAI 2.0-R checkpoint. `module` is uni2ts' Moirai2Module.

    Upstream forecasts beyond the tokens of one pass (64 steps) by feeding quantiles back in; here a longer
    horizon is refused.
    """

    attention_targets = r".*\.self_attn\.(q_proj|k_proj|v_proj|out_proj)"
    linear_targets = rf"{attention_targets}|.*\.ffn\.(fc1|fc2|fc_gate)"
    key_value_targets = r".*\.self_attn\.(k_proj|v_proj)"
    feedforward_targets = r".*\.ffn\.fc2"
    head_parameters = r"out_proj\..*"
    norm_parameters = r"encoder\..*norm[12]?\.weight"

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.levels = list(module.quantile_levels)
        self._patch: int = module.patch_size
        self._tokens: int = module.num_predict_token
        self._most_tokens: int = module.max_seq_len

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode.

        sizes: the arguments of uni2ts' Moirai2Module.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(MODULE.Moirai2Module(**sizes).eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        read_config(
            folder,
            "MOIRAI-2",
            {"d_model", "d_ff", "num_layers", "patch_size", "max_seq_len"},
            absent=frozenset({"distr_output", "chronos_config"}),
        )
        return cls(load_module(MODULE.Moirai2Module, folder))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; `Moirai2Module.from_pretrained` reads them."""
        save_module(self.module, folder)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Mean quantile loss over observed points, on standardised values; see ForecastModel.loss."""
        packed = self.inputs(context, target)
        forecasts, scaled = self.module(**packed, training_mode=True)
        future = slice(packed["target"].shape[1] - -(-target.shape[1] // self._patch), None)
        after = {name: packed[name][:, future] for name in _LOSS_INPUTS}
        return PackedQuantileMAELoss(self.levels)(
            pred=self._next_tokens(forecasts, future).flatten(2), target=scaled[:, future], **after
        )

    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """One pass, as upstream's `Moirai2Forecast.forward`; see QuantileModel.trained_quantiles."""
        unknown = context.values.new_zeros(len(context.values), horizon)
        packed = self.inputs(context, unknown)
        forecasts = self.module(**packed, training_mode=False)
        future = slice(packed["target"].shape[1] - -(-horizon // self._patch), None)
        tokens = self._next_tokens(forecasts, future)
        return tokens.transpose(1, 2).flatten(2)[..., :horizon]

    def _next_tokens(self, forecasts: Tensor, future: slice) -> Tensor:
        """What the context's last token says of the tokens after it, [batch, future tokens, levels, patch]."""
        shape = (self._tokens, len(self.levels), self._patch)
        after_context = forecasts[:, future.start - 1].unflatten(-1, shape)
        return after_context[:, : forecasts.shape[1] - future.start]

    def inputs(self, context: Series, target: Tensor) -> dict[str, Tensor]:
        """The module's inputs for one variate, a token for each patch: context, then target.

        Returns float32 and bool [batch, tokens, patch], int64 and bool [batch, tokens].
        """
        values, patch = context.values, self._patch
        require_at_most("windows.horizon", target.shape[1], self._tokens * patch, "MOIRAI-2")
        future_tokens = -(-target.shape[1] // patch)
        require_at_most(
            "windows.context", values.shape[1], (self._most_tokens - future_tokens) * patch, "MOIRAI-2"
        )
        past, past_mask = (patches(each, patch, left=True) for each in (impute(values), ~values.isnan()))
        future, future_mask = (
            patches(each, patch, left=False) for each in (target.nan_to_num(), ~target.isnan())
        )
        past_time = (past_mask.any(-1).cummax(dim=1).values.cumsum(dim=1) - 1).clamp(min=0)
        future_time = torch.arange(1, future_tokens + 1, device=values.device) + past_time[:, -1:]
        time_id = torch.cat((past_time, future_time), dim=1)
        return {
            "target": torch.cat((past, future), dim=1),
            "observed_mask": torch.cat((past_mask, future_mask), dim=1),
            "sample_id": torch.ones_like(time_id),
            "time_id": time_id,
            "variate_id": torch.zeros_like(time_id),
            "prediction_mask": torch.cat(
                (torch.zeros_like(past_time), torch.ones_like(future_time)), dim=1
            ).bool(),
        }


_LOSS_INPUTS = ("observed_mask", "prediction_mask", "sample_id", "variate_id")


def impute(values: Tensor) -> Tensor:
    """Replace what is missing by the mean of what came before, float32 [batch, time].

    As gluonts' CausalMeanValueImputation, which upstream's own transformation applies: the mean is over the
    series with the last value carried forward; before the first observation it is that observation, and a
    series without any is 0. (`Moirai2Forecast.predict` of uni2ts 2.0.0 means the same, and puts 0 everywhere.)
    """
    observed = ~values.isnan()
    steps = torch.arange(values.shape[1], device=values.device)
    last = torch.where(observed, steps, 0).cummax(dim=1).values
    first = observed.int().argmax(dim=1, keepdim=True)
    carried = values.gather(1, torch.maximum(last, first)).nan_to_num()
    before = carried.double().cumsum(dim=1).roll(1, dims=1) / steps
    before[:, 0] = carried[:, 0]
    return torch.where(observed, values, before.to(values.dtype))
