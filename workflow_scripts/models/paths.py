"""Forecasters that draw one step after the other: how their paths grow, and what is read from them.

Families that forecast all steps in one pass need none of this: their quantiles are exact (docs/statistics.md).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from workflow_scripts.models.interface import POINTS, ForecastModel, Series, path_quantiles

QuantileFunction = Callable[[Tensor], Tensor]
"""Values of the next step at probabilities, float64 [batch, paths, any] in (0, 1); the same shape, never falling."""

Choose = Callable[[QuantileFunction, int], Tensor]
"""Picks the next value of every path, [batch, paths], from the next step's quantile function and the step's number."""

_GOLDEN_RATIO = 0.6180339887498949
_ALL_AT_ONCE = 2**31


class PathModel(ForecastModel):
    """A family whose forecast of a step depends on the values drawn before it: a path is a trajectory."""

    joint_paths = True

    @abstractmethod
    def grow(self, context: Series, horizon: int, choose: Choose) -> Tensor:
        """Grow paths by the values that `choose` picks: [batch, paths, horizon], as `decode` reads them.

        At the first step there is one distribution for each window, so the quantile function is asked with
        [batch, any, any]; the first choice decides the number of paths.
        """

    def decode(self, drawn: Tensor, context: Series) -> Tensor:  # noqa: ARG002 (for families that draw tokens)
        """Values on the scale of the context, float32, of what the quantile functions gave; the same shape."""
        return drawn

    def paths_at_once(self, device: torch.device) -> int:  # noqa: ARG002 (for families that it matters to)
        """Paths that may grow side by side; the windows of a batch are divided accordingly."""
        return _ALL_AT_ONCE

    @torch.no_grad()
    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """Paths that know nothing of one another; see ForecastModel.sample."""
        return self._grown(context, uniforms, lambda portion: Independent(portion))

    @torch.no_grad()
    def paths(self, context: Series, uniforms: Tensor) -> Tensor:
        """Paths that grow together, see `Together`; see ForecastModel.paths."""
        return self._grown(context, uniforms, lambda portion: Together(portion))

    @torch.no_grad()
    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """Of the first step the exact quantiles; of later ones those of the mean of all paths' distributions.

        Each path gives POINTS quantiles of its next step instead of the one value it goes on with (conditional
        Monte Carlo: Asmussen and Glynn, Stochastic Simulation, 2007, section V.4). See ForecastModel.quantiles.
        """
        found = []
        for part, portion in self._portions(context, uniforms):
            together = Together(portion, levels)
            self.grow(part, portion.shape[2], together)
            found.append(self.decode(together.first[:, :, None], part).float().cpu())
            if together.points:
                points = self.decode(torch.stack(together.points, dim=2), part).cpu().numpy()
                later = torch.from_numpy(path_quantiles(points, levels, "hazen"))
                found[-1] = torch.cat((found[-1], later), dim=2)
        return torch.cat(found)

    def _grown(self, context: Series, uniforms: Tensor, chooser: Callable[[Tensor], Choose]) -> Tensor:
        return torch.cat(
            [
                self.decode(self.grow(part, portion.shape[2], chooser(portion)), part)
                for part, portion in self._portions(context, uniforms)
            ]
        )

    def _portions(self, context: Series, uniforms: Tensor) -> Iterator[tuple[Series, Tensor]]:
        size = max(1, self.paths_at_once(uniforms.device) // uniforms.shape[1])
        for first in range(0, len(uniforms), size):
            rows = slice(first, first + size)
            yield context.rows(rows), uniforms[rows]


class Independent:
    """Chooses each value at its own uniform, whatever the other paths do."""

    def __init__(self, uniforms: Tensor) -> None:
        self._uniforms = uniforms

    def __call__(self, quantile: QuantileFunction, step: int) -> Tensor:
        """See Choose."""
        return quantile(self._uniforms[:, :, step, None])[..., 0]


class Together:
    """Chooses values so that paths side by side go apart, and keeps what the quantiles are made of.

    A step's uniforms are dealt to the paths in the order of their last values, as a lattice (array-RQMC: L'Ecuyer,
    Lécot and Tuffin, Oper. Res. 56 (2008), 958-975). A random turn of the lattice makes every path's uniform
    independent of its past, so each path alone has the model's own distribution.

    first: the exact quantiles of the first step, [batch, levels]. points: of each later step, [batch, paths x POINTS].
    """

    first: Tensor

    def __init__(self, uniforms: Tensor, levels: list[float] | None = None) -> None:
        self._uniforms, self._last = uniforms, torch.zeros_like(uniforms[:, :, 0])
        self._levels = None if levels is None else uniforms.new_tensor(levels)
        self.points: list[Tensor] = []

    def __call__(self, quantile: QuantileFunction, step: int) -> Tensor:
        """See Choose."""
        uniforms = dealt(self._uniforms[:, :, step], self._last)
        wanted = uniforms[:, :, None]
        if self._levels is not None and step == 0:
            self.first = quantile(self._levels.expand(len(uniforms), 1, -1))[:, 0]
        elif self._levels is not None:
            strata = torch.arange(POINTS, device=uniforms.device)
            wanted = torch.cat((wanted, (strata + wanted) / POINTS), dim=2)
        values = quantile(wanted)
        if wanted.shape[2] > 1:
            self.points.append(values[:, :, 1:].flatten(1))
        self._last = values[:, :, 0]
        return self._last


def dealt(uniforms: Tensor, last: Tensor) -> Tensor:
    """The uniforms of a step in the order in which they are given to paths with these last values.

    uniforms: float64 [batch, paths]; last: [batch, paths]. The lattice's turn is the rank of the first uniform, which
    is as random as the uniforms are.
    """
    paths = uniforms.shape[1]
    lattice = ((torch.arange(paths, dtype=torch.float64) * _GOLDEN_RATIO) % 1).argsort().argsort()
    ranks = last.argsort(dim=1, stable=True).argsort(dim=1)
    turn = (uniforms < uniforms[:, :1]).sum(dim=1, keepdim=True)
    places = (lattice.to(uniforms.device)[ranks] + turn) % paths
    return uniforms.sort(dim=1).values.gather(1, places)
