"""Lag-Llama behind the interface of all families: its loss and its sampling loop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from workflow_scripts.models.interface import Series
from workflow_scripts.models.lag_llama import weights
from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.models.lag_llama.network import LagLlamaNetwork
from workflow_scripts.models.lag_llama.sampling import SAMPLERS, Past
from workflow_scripts.models.lag_llama.scaling import SCALERS
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.lag_llama.tokens import assemble_tokens, lag, lag_positions, window_calendar
from workflow_scripts.models.paths import Choose, PathModel
from workflow_scripts.runtime.errors import UserError

Pick = Callable[[StudentT, int], Tensor]
"""How a roll-out chooses the next values [batch, paths], from their distributions and the step's number."""

# Paths that grow side by side.
_CPU_PATHS = 80
_DEVICE_PATHS = 4096


class LagLlama(PathModel):
    """Lag-Llama with a window of `context_length` tokens, whatever the length of the context it is given.

    A context shorter than the window and its lags counts as padded on the left with unobserved zeros, as
    upstream pads; a longer one is cut. Only what was observed enters a row's location and scale.
    """

    module: nn.Module
    attention_targets = r".*\.attn\.(q_proj|kv_proj|c_proj)"
    linear_targets = rf"{attention_targets}|.*\.mlp\.(c_fc1|c_fc2|c_proj)"
    key_value_targets = r".*\.attn\.kv_proj"
    feedforward_targets = r".*\.mlp\.c_proj"
    head_parameters = r"param_proj\..*"
    norm_parameters = r".*\.(rms_1|rms_2|ln_f)\.scale"

    samplers = tuple(SAMPLERS)
    sampler: str = "exact"

    def __init__(self, network: LagLlamaNetwork) -> None:
        self.module = network
        self.configuration = network.configuration

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """Random weights (torch's initialisation of linear layers, ones for norms), in evaluation mode.

        sizes: n_layer, n_head, n_embd_per_head, and whatever else should differ from the released model.
        Raises UserError where they do not make an architecture.
        """
        configuration = LagLlamaConfiguration.parse(sizes, where="sizes of a Lag-Llama model")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(LagLlamaNetwork(configuration).eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load model.safetensors and config.json, strictly, in evaluation mode.

        Raises UserError where a file is missing, damaged or of another family, where names, shapes or types
        of the weights do not fit the configuration, or where a weight is not finite.
        """
        return cls(weights.load(folder).eval())

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json.

        Upstream's Lightning module holds the same tensors with `model.` before every name.
        Raises TypeError where the network is wrapped, for then the base weights' names are gone.
        """
        if not isinstance(self.module, LagLlamaNetwork):
            raise TypeError("only a bare network can be saved as base weights, not a wrapped one")
        weights.save(self.module, folder)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Negative log-likelihood of the window's and the horizon's values, averaged over what was observed.

        The window is trained on too, each token on the next value, all with the same weight. Location and
        scale come from the context alone. (Upstream's lightning_module.compute_loss.)
        """
        past = self.read_past(context, horizon=target.shape[1])
        tokens = past.window + target.shape[1] - 1
        loc, scale = SCALERS[self.configuration.scaling](past.values, past.observed)
        known = torch.cat([past.values, target.nan_to_num(nan=0.0)], dim=1)
        observed = torch.cat([past.observed, ~target.isnan()], dim=1)
        lags = torch.tensor(self.configuration.lags, device=known.device)
        gap, positions = self.configuration.gap, lag_positions(known.shape[1] - 1, tokens, lags)
        lagged = lag(known.masked_fill(~observed, gap)[:, :-1], gap, positions)
        features = assemble_tokens(lagged, loc, scale, past.calendar)
        wanted, counted = known[:, -tokens:], observed[:, -tokens:]
        df, shift, spread = self.module(features, past.repeats)
        # A value that does not count must not bring an infinity into the gradient either.
        wanted = torch.where(counted, wanted, loc)
        losses = StudentT(df, shift, spread, loc, scale).negative_log_likelihood(wanted)
        return (losses * counted).sum() / counted.sum().clamp(min=1)

    def grow(self, context: Series, horizon: int, choose: Choose) -> Tensor:
        """Grow paths; see PathModel.grow.

        `sampler` says how. "exact": as upstream without its cache, every step from the grown past: location, scale
        and all tokens anew, the samples included. "frozen": location and scale stay the context's, which is much
        faster and another forecast (docs/lag-llama.md).
        Raises UserError for an unknown sampler or a geometry that the model cannot forecast.
        """
        if self.sampler not in SAMPLERS:
            names = ", ".join(SAMPLERS)
            raise UserError(
                "sampler of Lag-Llama", repr(self.sampler), f"one of {names}", "name one of these"
            )
        return self.roll_out(
            context, horizon, lambda distribution, step: choose(distribution.path_quantiles, step)
        )

    def paths_at_once(self, device: torch.device) -> int:
        """On a CPU few, for its caches' sake; see PathModel.paths_at_once."""
        return _CPU_PATHS if device.type == "cpu" else _DEVICE_PATHS

    @torch.no_grad()
    def roll_out(self, context: Series, horizon: int, pick: Pick) -> Tensor:
        """Grow paths by the values that `pick` chooses; float32 [batch, paths, horizon]."""
        past = self.read_past(context, horizon)
        sampler = SAMPLERS[self.sampler](self.module, self.configuration, past, horizon)
        chosen = []
        for step in range(horizon):
            chosen.append(pick(sampler.next(), step))
            sampler.append(chosen[-1])
        return torch.stack(chosen, dim=2)

    def read_past(self, context: Series, horizon: int) -> Past:
        """Cut the context to what is used, and find out where its window begins."""
        configuration, length = self.configuration, context.values.shape[1]
        self._check_geometry(length, horizon)
        values = context.values[:, -configuration.past_length :]
        # The padding's one token, and then every value of a short context.
        window = min(configuration.context_length, length + 1)
        calendar = None
        if configuration.time_feat:
            first, tokens = length - window, window + horizon - 1
            calendar = window_calendar(context.start, context.step, first, tokens)
        repeats = configuration.context_length - window
        return Past(values.nan_to_num(nan=0.0), ~values.isnan(), calendar, window, repeats)

    def _check_geometry(self, length: int, horizon: int) -> None:
        configuration = self.configuration
        if min(length, horizon) < 1:
            found = f"a context of {length} values and a horizon of {horizon}"
            raise UserError("series for Lag-Llama", found, "at least one of each", "give longer windows")
        positions = configuration.context_length + horizon - 1
        if positions > configuration.max_context_length and not configuration.stretches:
            raise UserError(
                "window of Lag-Llama",
                f"{configuration.context_length} tokens of context and a horizon of {horizon}",
                f"at most {configuration.max_context_length} positions (max_context_length)",
                "choose a smaller context_length or a shorter horizon, or dynamic rope_scaling",
            )
