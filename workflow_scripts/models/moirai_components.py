"""The components of MOIRAI's mixture in float64: quantiles, cumulative probabilities and densities.

uni2ts has no quantiles of them and, but for the normal ones, no cumulative probabilities.
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

_SUMMED = 32
"""Terms of a negative binomial that are summed: more than most quantiles need, and faster than the inverse."""


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


def read_part(component: Distribution, points: Callable[[Tensor], Array]) -> Part:
    """A component in float64. points: gives a parameter as an array of one dimension, the points that are wanted.

    Raises UserError for a component that the published models do not have.
    """
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
