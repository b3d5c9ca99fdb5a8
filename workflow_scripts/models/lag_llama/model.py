"""Lag-Llama behind the interface of all families: its loss and its sampling loop."""

from collections.abc import Callable, Mapping
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
    calendar: float32 [batch, tokens, 6] of the window and the horizon, or None.
    """

    values: Tensor
    observed: Tensor
    calendar: Tensor | None


class LagLlama(ForecastModel):
    """Lag-Llama with a window of `context_length` tokens, whatever the length of the context it is given.

    A context shorter than the window and its lags counts as padded on the left with unobserved zeros, as
    upstream pads; a longer one is cut. Only what was observed enters a row's location and scale.
    """

    module: nn.Module
    attention_targets = r".*\.attn\.(q_proj|kv_proj|c_proj)"

    def __init__(self, network: LagLlamaNetwork) -> None:
        self.module = network
        self.configuration = network.configuration

    @classmethod
    def create(cls, sizes: Mapping[str, Any], seed: int) -> Self:
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
        tokens = self.configuration.context_length + target.shape[1] - 1
        context, centre = self._centred(context)
        target = target - centre
        past = self._past(context, tokens)
        loc, scale = SCALERS[self.configuration.scaling](past.values, past.observed)
        known = torch.cat([past.values, target.nan_to_num(nan=0.0)], dim=1)
        features = self._tokens(known[:, :-1], loc, scale, past.calendar, tokens)
        wanted, counted = known[:, -tokens:], torch.cat([past.observed, ~target.isnan()], dim=1)[:, -tokens:]
        # The first tokens before a short context predict padding, which carries no loss.
        df, location, width = (parameter[:, -wanted.shape[1] :] for parameter in self.module(features))
        # A value that does not count must not bring an infinity into the gradient either.
        wanted = torch.where(counted, wanted, loc)
        losses = StudentT(df, location, width, loc, scale).negative_log_likelihood(wanted)
        return (losses * counted).sum() / counted.sum().clamp(min=1)

    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """Draw sample paths as upstream does without its cache: every step starts from the grown past.

        Location, scale and all tokens are computed again at each step, the samples included; the first step,
        at which the paths of a series do not differ yet, is computed once for each series. A draw is the
        quantile of its uniform number.
        """

        def draw(distribution: StudentT, step: int) -> Tensor:
            return distribution.quantile(uniforms[:, :, step]).float()

        context, centre = self._centred(context)
        return self._roll_out(context, uniforms.shape[2], draw) + centre[:, :, None]

    @torch.no_grad()
    def _roll_out(self, context: Series, horizon: int, pick: Pick) -> Tensor:
        """Grow paths by the values that `pick` chooses; float32 [batch, paths, horizon]."""
        past = self._past(context, self.configuration.context_length + horizon - 1)
        paths = past.values.new_empty(len(past.values), 1, 0)
        for step in range(horizon):
            chosen = pick(self._next_distribution(past, paths), step)
            paths = torch.cat([paths.expand(-1, chosen.shape[1], -1), chosen[:, :, None]], dim=2)
        return paths

    def _centred(self, context: Series) -> tuple[Series, Tensor]:
        """The context without its centre, and the centre [batch, 1]: its median, or 0 if not configured.

        Padding is 0. To a context far from 0 that is many scales away, in most of the 84 lags, and drowns
        what was observed; without its centre padding is a typical value.
        """
        values = context.values[:, -self.configuration.past_length :]
        if not self.configuration.centred:
            return context, values.new_zeros(len(values), 1)
        centre, _ = SCALERS["robust"](values, ~values.isnan())
        return Series(context.values - centre, context.start, context.step), centre

    def _past(self, context: Series, tokens: int) -> Past:
        """Cut the context to what is used; the calendar covers `tokens` from the window's first on."""
        configuration, length = self.configuration, context.values.shape[1]
        surplus = max(0, length - configuration.past_length)
        values = context.values[:, surplus:]
        calendar = None
        if configuration.time_feat:
            first = length - configuration.context_length
            calendar = window_calendar(context.start, context.step, first, tokens)
        return Past(values.nan_to_num(nan=0.0), ~values.isnan(), calendar)

    def _tokens(
        self, values: Tensor, loc: Tensor, scale: Tensor, calendar: Tensor | None, tokens: int
    ) -> Tensor:
        lags = torch.tensor(self.configuration.lags, device=values.device)
        positions = lag_positions(values.shape[1], tokens, lags)
        return assemble_tokens(values, loc, scale, positions, calendar)

    def _next_distribution(self, past: Past, paths: Tensor) -> StudentT:
        """The next value's distribution for each path [batch, paths, steps so far]; fields [batch, paths]."""
        batch, paths_of_each, steps = paths.shape
        tokens = self.configuration.context_length + steps
        rows = torch.arange(batch * paths_of_each, device=paths.device)
        budget = _CPU_VALUES if paths.device.type == "cpu" else _DEVICE_VALUES
        parts = []
        for chunk in rows.split(max(1, budget // (tokens * self.configuration.hidden_width))):
            series, grown = chunk // paths_of_each, paths.flatten(0, 1)[chunk]
            values = torch.cat([past.values[series], grown], dim=1)
            observed = torch.cat([past.observed[series], torch.ones_like(grown, dtype=torch.bool)], dim=1)
            calendar = None if past.calendar is None else past.calendar[series, :tokens]
            parts.append(self._last_distribution(values, observed, calendar, tokens))
        return StudentT(*torch.cat(parts, dim=1).unflatten(1, (batch, paths_of_each)))

    def _last_distribution(
        self, values: Tensor, observed: Tensor, calendar: Tensor | None, tokens: int
    ) -> Tensor:
        """The five fields of the distribution after each row's last value, stacked: [5, rows]."""
        loc, scale = SCALERS[self.configuration.scaling](values, observed)
        features = self._tokens(values, loc, scale, calendar, tokens)
        return torch.stack([*self.module(features, last_only=True), loc, scale]).squeeze(-1)
