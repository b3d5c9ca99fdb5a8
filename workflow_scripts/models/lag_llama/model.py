"""Lag-Llama behind the interface of all families: its loss and its sampling loop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from workflow_scripts.models.interface import ForecastModel, Series
from workflow_scripts.models.lag_llama import weights
from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.models.lag_llama.network import LagLlamaNetwork
from workflow_scripts.models.lag_llama.scaling import SCALERS
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.lag_llama.tokens import assemble_tokens, lag_positions, window_calendar

Pick = Callable[[StudentT, int], Tensor]
"""How a roll-out chooses the next values [batch, paths], from their distributions and the step's number."""

# Values of the widest layer that a chunk of rows may have while sampling. On a CPU, tensors that stay in its
# caches, and below the size from which every allocation is fresh memory, are several times faster.
_CPU_VALUES = 2**18
_DEVICE_VALUES = 2**26


@dataclass(frozen=True)
class Past:
    """What the model takes of a context, without any padding.

    values: float32 [batch, time], 0 where nothing was observed. observed: bool [batch, time].
    calendar: float32 [batch, tokens, 6] of the window and all of the horizon but its last step, or None.
    window: tokens before the horizon. repeats: how often more than once the first of them stands there.

    The tokens of the padding before a short context are all the same: only one of them is computed.
    """

    values: Tensor
    observed: Tensor
    calendar: Tensor | None
    window: int
    repeats: int


class LagLlama(ForecastModel):
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
        past = self._past(context, horizon=target.shape[1])
        tokens = past.window + target.shape[1] - 1
        loc, scale = SCALERS[self.configuration.scaling](past.values, past.observed)
        known = torch.cat([past.values, target.nan_to_num(nan=0.0)], dim=1)
        observed = torch.cat([past.observed, ~target.isnan()], dim=1)
        features = self._tokens(known[:, :-1], observed[:, :-1], loc, scale, past.calendar, tokens)
        wanted, counted = known[:, -tokens:], observed[:, -tokens:]
        df, shift, spread = self.module(features, past.repeats)
        # A value that does not count must not bring an infinity into the gradient either.
        wanted = torch.where(counted, wanted, loc)
        losses = StudentT(df, shift, spread, loc, scale).negative_log_likelihood(wanted)
        return (losses * counted).sum() / counted.sum().clamp(min=1)

    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """Draw sample paths as upstream does without its cache: every step starts from the grown past.

        Location, scale and all tokens are computed again at each step, the samples included; the first step,
        at which the paths of a series do not differ yet, is computed once for each series. A draw is the
        quantile of its uniform number.
        """

        def draw(distribution: StudentT, step: int) -> Tensor:
            return distribution.quantile(uniforms[:, :, step]).float()

        return self._roll_out(context, uniforms.shape[2], draw)

    @torch.no_grad()
    def _roll_out(self, context: Series, horizon: int, pick: Pick) -> Tensor:
        """Grow paths by the values that `pick` chooses; float32 [batch, paths, horizon]."""
        past = self._past(context, horizon)
        paths = past.values.new_empty(len(past.values), 1, 0)
        for step in range(horizon):
            chosen = pick(self._next_distribution(past, paths), step)
            paths = torch.cat([paths.expand(-1, chosen.shape[1], -1), chosen[:, :, None]], dim=2)
        return paths

    def _past(self, context: Series, horizon: int) -> Past:
        """Cut the context to what is used, and find out where its window begins."""
        configuration, length = self.configuration, context.values.shape[1]
        values = context.values[:, -configuration.past_length :]
        # The padding's one token, and then every value of a short context.
        window = min(configuration.context_length, length + 1)
        calendar = None
        if configuration.time_feat:
            first, tokens = length - window, window + horizon - 1
            calendar = window_calendar(context.start, context.step, first, tokens)
        repeats = configuration.context_length - window
        return Past(values.nan_to_num(nan=0.0), ~values.isnan(), calendar, window, repeats)

    def _tokens(
        self,
        values: Tensor,
        observed: Tensor,
        loc: Tensor,
        scale: Tensor,
        calendar: Tensor | None,
        tokens: int,
    ) -> Tensor:
        """The features of the last `tokens` points.

        Upstream enters 0 where nothing was observed, padding included. To a short context far from 0 that is
        many scales away, in most of the 84 lags, and drowns what was observed; the location is a typical value.
        """
        missing = loc if self.configuration.missing_as == "location" else torch.zeros_like(loc)
        values = torch.where(observed, values, missing)
        lags = torch.tensor(self.configuration.lags, device=values.device)
        positions = lag_positions(values.shape[1], tokens, lags)
        return assemble_tokens(values, missing, loc, scale, positions, calendar)

    def _next_distribution(self, past: Past, paths: Tensor) -> StudentT:
        """The next value's distribution for each path [batch, paths, steps so far]; fields [batch, paths]."""
        batch, paths_of_each, steps = paths.shape
        tokens = past.window + steps
        rows = torch.arange(batch * paths_of_each, device=paths.device)
        budget = _CPU_VALUES if paths.device.type == "cpu" else _DEVICE_VALUES
        parts = []
        for chunk in rows.split(max(1, budget // (tokens * self.configuration.hidden_width))):
            series, grown = chunk // paths_of_each, paths.flatten(0, 1)[chunk]
            values = torch.cat([past.values[series], grown], dim=1)
            observed = torch.cat([past.observed[series], torch.ones_like(grown, dtype=torch.bool)], dim=1)
            calendar = None if past.calendar is None else past.calendar[series, :tokens]
            loc, scale = SCALERS[self.configuration.scaling](values, observed)
            features = self._tokens(values, observed, loc, scale, calendar, tokens)
            parameters = self.module(features, past.repeats, last_only=True)
            parts.append(torch.cat([*parameters, loc, scale], dim=1))
        return StudentT(*torch.cat(parts).T.unflatten(1, (batch, paths_of_each)))
