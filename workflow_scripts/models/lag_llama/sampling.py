"""How sample paths grow, step by step: two samplers, one reading of the context.

Both read the window before the horizon once for all paths that see it alike, keep its keys and values, and let
each path's own steps attend to them. They differ in when paths see it alike.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.models.lag_llama.network import Memory
from workflow_scripts.models.lag_llama.scaling import SCALERS
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.lag_llama.tokens import assemble_tokens, lag, lag_positions
from workflow_scripts.runtime.errors import UserError


@dataclass(frozen=True)
class Past:
    """What the model takes of a context, without any padding.

    values: float32 [batch, time], 0 where nothing was observed. observed: bool [batch, time].
    calendar: float32 [batch, tokens, 6] of the window and all of the horizon but its last step, or None.
    window: tokens before the horizon. repeats: how many more times the first of them is repeated.

    The tokens of the padding before a short context are all the same: only one of them is computed.
    """

    values: Tensor
    observed: Tensor
    calendar: Tensor | None
    window: int
    repeats: int


class Sampler(ABC):
    """Paths of a batch of series, all of one length. Ask for the next values' distributions, then append."""

    def __init__(
        self, module: nn.Module, configuration: LagLlamaConfiguration, past: Past, horizon: int
    ) -> None:
        self._module, self._configuration, self._past = module, configuration, past
        self._horizon, self._steps, self._paths = horizon, 0, 1
        self._lags = torch.tensor(configuration.lags, device=past.values.device)
        self._scaler = SCALERS[configuration.scaling]
        # The series that each path continues, and all that the path knows.
        self._series = torch.arange(len(past.values), device=past.values.device)
        self._values, self._observed = past.values, past.observed
        self._window = self._lagged(past.window)

    def next(self) -> StudentT:
        """The next value's distribution for each path; fields [batch, paths], one path at the first step."""
        fields = self._first() if self._steps == 0 else self._later()
        return StudentT(*(field.view(-1, self._paths) for field in fields))

    def append(self, chosen: Tensor) -> None:
        """Grow every path by one value; float32 [batch, paths]. The first call decides the number of paths."""
        if self._steps == 0:
            self._paths = chosen.shape[1]
            self._series = self._series.repeat_interleave(self._paths)
            self._values, self._observed = self._values[self._series], self._observed[self._series]
        newest = chosen.reshape(-1, 1)
        self._values = torch.cat([self._values, newest], dim=1)
        self._observed = torch.cat([self._observed, torch.ones_like(newest, dtype=torch.bool)], dim=1)
        self._steps += 1

    @abstractmethod
    def _first(self) -> tuple[Tensor, ...]:
        """The distribution after the context alone, each field [series, 1]."""

    @abstractmethod
    def _later(self) -> tuple[Tensor, ...]:
        """The distribution after the paths so far, each field [batch x paths, 1]."""

    def _statistics(self) -> tuple[Tensor, Tensor]:
        return self._scaler(self._values, self._observed)

    def read_window(self, series: Tensor, loc: Tensor, scale: Tensor, memory: Memory) -> tuple[Tensor, ...]:
        """Read the window of these series, in these scales, into an empty memory."""
        calendar = None if self._past.calendar is None else self._past.calendar[series, : self._past.window]
        tokens = assemble_tokens(self._window[series], loc, scale, calendar)
        return self._module(tokens, self._past.repeats, last_only=True, memory=memory)

    def _read_newest(self, count: int, loc: Tensor, scale: Tensor, memory: Memory) -> tuple[Tensor, ...]:
        """Read the newest `count` tokens of every path after what its row of the memory holds."""
        calendar = None
        if self._past.calendar is not None:
            end = self._past.window + self._steps
            calendar = self._past.calendar[self._series, end - count : end]
        tokens = assemble_tokens(self._lagged(count), loc, scale, calendar)
        return self._module(tokens, last_only=True, memory=memory)

    def _lagged(self, count: int) -> Tensor:
        gap = self._configuration.gap
        values = self._values.masked_fill(~self._observed, gap)
        return lag(values, gap, lag_positions(values.shape[1], count, self._lags))

    def _memory(self, rows: int, steps: int) -> Memory:
        """An empty memory for the window and so many steps."""
        capacity = self._past.repeats + self._past.window + steps
        return Memory(self._configuration, rows, capacity, self._past.values.device)


class Exact(Sampler):
    """Upstream's loop without its cache: every step starts from the grown past, in its new scale.

    A path enters its window's tokens only through its location and scale, and few values move a median or a
    quartile: paths of a series that agree in both share one reading of the window.
    """

    def _first(self) -> tuple[Tensor, ...]:
        loc, scale = self._statistics()
        parameters = self.read_window(self._series, loc, scale, self._memory(len(loc), steps=0))
        return *parameters, loc, scale

    def _later(self) -> tuple[Tensor, ...]:
        loc, scale = self._statistics()
        seen = torch.cat([self._series[:, None].double(), loc.double(), scale.double()], dim=1)
        distinct, which = seen.unique(dim=0, return_inverse=True)
        memory = self._memory(len(distinct), self._steps)
        series, (its_loc, its_scale) = distinct[:, 0].long(), distinct[:, 1:].float().split(1, dim=1)
        self.read_window(series, its_loc, its_scale, memory)
        return *self._read_newest(self._steps, loc, scale, memory.select(which)), loc, scale


class Frozen(Sampler):
    """Location and scale stay those of the context, so that nothing once read changes: one token a step."""

    def _first(self) -> tuple[Tensor, ...]:
        self._loc, self._scale = self._statistics()
        self._kept = self._memory(len(self._loc), self._horizon - 1)
        longest = self._configuration.max_context_length
        if self._configuration.stretches and self._kept.capacity > longest:
            raise UserError(
                "sampler frozen of Lag-Llama",
                f"a window of {self._kept.capacity} positions with dynamic rope_scaling",
                f"at most {longest} positions, beyond which every step rotates all keys anew",
                "use the sampler exact",
            )
        parameters = self.read_window(self._series, self._loc, self._scale, self._kept)
        return *parameters, self._loc, self._scale

    def _later(self) -> tuple[Tensor, ...]:
        if self._steps == 1:
            self._kept = self._kept.select(self._series)
            self._loc, self._scale = self._loc[self._series], self._scale[self._series]
        return *self._read_newest(1, self._loc, self._scale, self._kept), self._loc, self._scale


SAMPLERS: dict[str, type[Sampler]] = {"exact": Exact, "frozen": Frozen}
"""The samplers by name."""
