"""MOIRAI's mixture at single points, in float64: draws by inverse transform, and exact quantiles."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from torch import Tensor
from torch.distributions import Distribution

from workflow_scripts.models.moirai_components import Array, Part, read_part

_TOLERANCE = 1e-7
"""Of a probability: a quantile at a level is one at a level so near."""
_NEWTON_STEPS, _BISECTIONS = 5, 80
_SPACING = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Mixture:
    """The forecast distribution of every point. shape: of the points; weights: float64 [parts, points]."""

    shape: tuple[int, ...]
    weights: Array
    parts: tuple[Part, ...]

    def at(self, places: NDArray[np.int64]) -> "Mixture":
        """The mixture at some of the points."""
        return Mixture(places.shape, self.weights[:, places], tuple(part.at(places) for part in self.parts))

    def cumulative(self, value: Array) -> Array:
        """Probability of values up to this one, [points]."""
        return sum(w * part.cumulative(value) for w, part in zip(self.weights, self.parts, strict=True))

    def density(self, value: Array) -> Array:
        """Slope of the cumulative probability between its jumps, [points]."""
        return sum(w * part.density(value) for w, part in zip(self.weights, self.parts, strict=True))


def read_mixture(mixture: Distribution, points: Callable[[Tensor], Array]) -> Mixture:
    """uni2ts' Mixture in float64. points: gives a parameter as an array of the points that are wanted.

    Raises UserError for a component that the published models do not have.
    """
    logits = np.stack([points(logit) for logit in mixture.weights.logits.unbind(-1)])
    parts = tuple(read_part(component, lambda each: points(each).ravel()) for component in mixture.components)
    return Mixture(logits.shape[1:], special.softmax(logits, axis=0).reshape(len(parts), -1), parts)


def mixture_quantiles(mixture: Mixture, levels: Array) -> Array:
    """Smallest value at every point whose cumulative probability reaches each level, [*points, levels].

    Where the mixture jumps over a level, which the negative binomial makes it do at whole numbers, that is the place
    of the jump. Newton's method from the heaviest component's quantile finds nearly all in two or three steps; what it
    does not find, as the places of jumps, bisection between the components' quantiles does. A point whose
    parameters are not finite has NaN.
    """
    points = np.arange(mixture.weights.shape[1]).repeat(len(levels))
    level = np.tile(levels, mixture.weights.shape[1])
    with np.errstate(all="ignore"):
        found, missed = _newton(mixture, points, level)
        if missed.size:
            found[missed] = _bisection(mixture.at(points[missed]), level[missed])
    return found.reshape(*mixture.shape, len(levels))


def _newton(mixture: Mixture, points: NDArray[np.int64], level: Array) -> tuple[Array, NDArray[np.int64]]:
    """Quantiles, and the places of those that were not found; points, level: which is asked at each place."""
    here = mixture.at(points)
    found, excess = _start(here, level)
    rest = np.arange(len(level))
    for _ in range(_NEWTON_STEPS):
        # What is found stays as it is, so that no point depends on the others. What is not a number is not found.
        missed = ~(np.abs(excess) <= _TOLERANCE)
        found[rest] -= np.where(missed, excess / here.density(found[rest]), 0.0)
        excess = here.cumulative(found[rest]) - level[rest]
        kept = np.flatnonzero(~(np.abs(excess) <= _TOLERANCE))
        if kept.size < rest.size / 2:
            rest, excess, here = rest[kept], excess[kept], here.at(kept)
        if not kept.size:
            break
    return found, rest[~(np.abs(excess) <= _TOLERANCE)]


def _start(mixture: Mixture, level: Array) -> tuple[Array, Array]:
    """The quantile of each place's heaviest component, and by how much the mixture exceeds the level there."""
    heaviest = mixture.weights.argmax(axis=0)
    found, excess = np.empty_like(level), -level
    for number, part in enumerate(mixture.parts):
        its = np.flatnonzero(heaviest == number)
        found[its] = part.at(its).quantile(level[its])
    for number, (weight, part) in enumerate(zip(mixture.weights, mixture.parts, strict=True)):
        # The heaviest one's own probability is the level: need not be computed.
        others = np.flatnonzero(heaviest != number)
        excess += weight * level
        excess[others] += weight[others] * (part.at(others).cumulative(found[others]) - level[others])
    return found, excess


def _bisection(mixture: Mixture, level: Array) -> Array:
    """Quantiles between the smallest and the largest quantile of the components that have any weight."""
    each = np.stack([part.quantile(level) for part in mixture.parts])
    low = np.where(mixture.weights > 0, each, np.inf).min(axis=0)
    high = np.where(mixture.weights > 0, each, -np.inf).max(axis=0)
    margin = 1e-9 * (1 + np.abs(low) + np.abs(high))
    low, high = low - margin, high + margin
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reached = mixture.cumulative(middle) >= level
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.where(np.isfinite(mixture.cumulative(high)), high, np.nan)


def draw_mixture(mixture: Mixture, uniforms: Array) -> Array:
    """Draw by inverse transform, with one uniform for each value; [batch, any, horizon] as the uniforms.

    mixture: of points [batch, horizon]. A uniform chooses the component, and what remains of it, stretched to (0, 1),
    is again uniform and independent of that choice: exact.
    """
    place = np.arange(mixture.weights.shape[1]).reshape(mixture.shape)[:, None]
    flat, place = uniforms.ravel(), np.broadcast_to(place, uniforms.shape).ravel()
    upper = np.cumsum(mixture.weights, axis=0)
    # Not the last edge, so that a uniform above rounding's last sum still finds the last component.
    chosen = sum(flat > edge[place] for edge in upper[:-1])
    edges = np.concatenate((np.zeros_like(upper[:1]), upper[:-1], np.ones_like(upper[:1])))
    drawn = np.empty(flat.size)
    for number, part in enumerate(mixture.parts):
        rows = np.flatnonzero(np.equal(chosen, number))
        low, high = edges[number][place[rows]], edges[number + 1][place[rows]]
        level = np.clip((flat[rows] - low) / (high - low), _SPACING, 1 - _SPACING)
        drawn[rows] = part.at(place[rows]).quantile(level)
    return drawn.reshape(uniforms.shape)
