"""MOIRAI's mixture at single points, in float64: draws by inverse transform, and exact quantiles.

uni2ts' own Mixture has no quantiles, nor have its components, but for the normal ones, a distribution function.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import special
from torch import Tensor
from torch.distributions import Distribution, LogNormal, Normal, StudentT
from uni2ts.distribution.negative_binomial import NegativeBinomial

from workflow_scripts.runtime.errors import UserError

Array = NDArray[np.float64]

_TOLERANCE = 1e-7
"""Of a probability: a quantile at a level is one at a level so near."""
_NEWTON_STEPS, _BISECTIONS = 5, 80
_SUMMED = 32
"""Terms of a negative binomial that are summed: more than most quantiles need, and faster than the inverse."""
_SPACING = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Part:
    """One component of the mixture; every field has one dimension, the points."""

    def at(self, places: NDArray[np.int64]) -> Self:
        """The component at some of the points."""
        return type(self)(*(getattr(self, field.name)[places] for field in fields(self)))

    @abstractmethod
    def quantile(self, level: Array) -> Array:
        """Smallest value whose cumulative probability reaches `level`, [points]."""

    @abstractmethod
    def cumulative(self, value: Array) -> Array:
        """Probability of values up to this one, [points]."""

    @abstractmethod
    def density(self, value: Array) -> Array:
        """Slope of the cumulative probability, [points]; 0 between the jumps of a discrete component."""


@dataclass(frozen=True)
class StudentTPart(Part):
    """Student's t distribution."""

    df: Array
    loc: Array
    scale: Array

    def quantile(self, level: Array) -> Array:
        """See Part."""
        return self.loc + self.scale * special.stdtrit(self.df, level)

    def cumulative(self, value: Array) -> Array:
        """See Part."""
        return special.stdtr(self.df, (value - self.loc) / self.scale)

    def density(self, value: Array) -> Array:
        """See Part."""
        standard, next_df = (value - self.loc) / self.scale, (self.df + 1) / 2
        size = special.gammaln(next_df) - special.gammaln(self.df / 2) - np.log(self.df * np.pi) / 2
        return np.exp(size - next_df * np.log1p(standard**2 / self.df)) / self.scale


@dataclass(frozen=True)
class NormalPart(Part):
    """Normal distribution."""

    loc: Array
    scale: Array

    def quantile(self, level: Array) -> Array:
        """See Part."""
        return self.loc + self.scale * special.ndtri(level)

    def cumulative(self, value: Array) -> Array:
        """See Part."""
        return special.ndtr((value - self.loc) / self.scale)

    def density(self, value: Array) -> Array:
        """See Part."""
        standard = (value - self.loc) / self.scale
        return np.exp(-(standard**2) / 2) / (self.scale * np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class LogNormalPart(NormalPart):
    """Values whose logarithm is normal."""

    def quantile(self, level: Array) -> Array:
        """See Part."""
        return np.exp(super().quantile(level))

    def cumulative(self, value: Array) -> Array:
        """See Part."""
        return np.where(value > 0, super().cumulative(_logarithm(value)), 0.0)

    def density(self, value: Array) -> Array:
        """See Part."""
        positive = np.maximum(value, np.finfo(np.float64).tiny)
        return np.where(value > 0, super().density(_logarithm(value)) / positive, 0.0)


def _logarithm(value: Array) -> Array:
    return np.log(np.maximum(value, np.finfo(np.float64).tiny))


@dataclass(frozen=True)
class NegativeBinomialPart(Part):
    """Whole numbers from 0, as uni2ts has them: P(0) = (1 + exp(logits)) ** -total_count."""

    total_count: Array
    logits: Array
    whole: "NegativeBinomialPart | None" = None
    """The component of which this is a part, whose sums serve its every part, and the places in it."""
    places: NDArray[np.int64] | None = None

    def at(self, places: NDArray[np.int64]) -> Self:
        """See Part."""
        of_whole = places if self.places is None else self.places[places]
        return type(self)(self.total_count[places], self.logits[places], self.whole or self, of_whole)

    def quantile(self, level: Array) -> Array:
        """See Part."""
        return negative_binomial_quantile(level, self.total_count, self.logits)

    def cumulative(self, value: Array) -> Array:
        """See Part."""
        number = np.floor(value)
        inside = np.clip(np.nan_to_num(number) + 1, 0, _SUMMED).astype(np.int64)
        rows = np.arange(len(value)) if self.places is None else self.places
        found = (self.whole or self)._sums[rows, inside]
        beyond = np.flatnonzero(number >= _SUMMED)
        if beyond.size:
            found[beyond] = special.betainc(
                self.total_count[beyond], number[beyond] + 1, special.expit(-self.logits[beyond])
            )
        return found

    def density(self, value: Array) -> Array:
        """See Part."""
        return np.zeros_like(value)

    @cached_property
    def _sums(self) -> Array:
        """Cumulative probability of fewer than 0, 1, ... _SUMMED, [points, _SUMMED + 1]."""
        failure = special.expit(self.logits)
        terms = [np.zeros_like(failure), np.exp(self.total_count * special.log_expit(-self.logits))]
        for number in range(_SUMMED - 1):
            terms.append(terms[-1] * failure * (self.total_count + number) / (number + 1))
        return np.cumsum(np.stack(terms, axis=1), axis=1)


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
    parts = tuple(
        _read_part(component, lambda each: points(each).ravel()) for component in mixture.components
    )
    return Mixture(logits.shape[1:], special.softmax(logits, axis=0).reshape(len(parts), -1), parts)


def _read_part(component: Distribution, points: Callable[[Tensor], Array]) -> Part:
    if isinstance(component, StudentT):
        return StudentTPart(points(component.df), points(component.loc), points(component.scale))
    if isinstance(component, Normal):
        return NormalPart(points(component.loc), points(component.scale))
    if isinstance(component, LogNormal):
        return LogNormalPart(points(component.loc), points(component.scale))
    if isinstance(component, NegativeBinomial):
        return NegativeBinomialPart(points(component.total_count), points(component.logits))
    raise UserError(
        "config.json, distr_output",
        f"a mixture component {type(component).__name__}",
        "StudentT, Normal, LogNormal or NegativeBinomial, the components of the published models",
        "point to weights of a published MOIRAI 1.x model",
    )


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


def negative_binomial_quantile(level: Array, total_count: Array, logits: Array) -> Array:
    """Smallest whole number whose cumulative probability reaches `level`; float64 of one dimension.

    The first terms are summed, each from the one before: P(k + 1) = P(k) (k + r) / (k + 1) / (1 + exp(-logits)).
    What is beyond them is found by the inverse of the cumulative probability.
    """
    quantile = np.full_like(level, np.nan)
    rest, failure = np.arange(len(level)), special.expit(logits)
    with np.errstate(invalid="ignore"):
        term = np.exp(total_count * special.log_expit(-logits))
    wanted, count, reached = level, total_count, term
    for number in range(_SUMMED):
        if not rest.size:
            break
        enough = reached >= wanted
        quantile[rest[enough]] = number
        rest, wanted, count, failure, term, reached = (
            part[~enough] for part in (rest, wanted, count, failure, term, reached)
        )
        term = term * failure * (count + number) / (number + 1)
        reached = reached + term
    quantile[rest] = _far_quantile(level[rest], total_count[rest], logits[rest])
    return np.where(np.isfinite(total_count) & np.isfinite(logits) & np.isfinite(level), quantile, np.nan)


def _far_quantile(level: Array, total_count: Array, logits: Array) -> Array:
    """The same by inverting the cumulative probability, as scipy.stats.nbinom.ppf does."""
    success = special.expit(-logits)
    count = np.ceil(special.nbdtrik(level, total_count, success))
    below = np.maximum(count - 1, 0.0)
    return np.where(special.betainc(total_count, below + 1, success) >= level, below, count)
