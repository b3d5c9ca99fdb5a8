"""MOIRAI's mixture: draws and exact quantiles, against SciPy's distributions and upstream's samples."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch.distributions import Categorical, LogNormal, Normal, StudentT
from uni2ts.distribution.mixture import Mixture
from uni2ts.distribution.negative_binomial import NegativeBinomial

from workflow_scripts.models.moirai_components import negative_binomial_quantile
from workflow_scripts.models.moirai_mixture import draw_mixture, mixture_quantiles, read_mixture

LEVELS = np.array([0.01, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99])
POINTS = 300


def in_double(parameter: torch.Tensor) -> np.ndarray:
    return parameter.double().numpy()


def random_mixture(seed: int, heaviest: int | None = None) -> Mixture:
    """Of many points, their components narrow or wide, near or far. heaviest: has nine tenths of the weight."""
    random = np.random.default_rng(seed)

    def normal(size: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(random.normal(0, size, POINTS).astype(np.float32))

    components = [
        StudentT(2 + normal().exp(), normal(2), normal().exp()),
        Normal(normal(2), torch.tensor(1e-3)),
        NegativeBinomial(normal().exp(), normal(2)),
        LogNormal(normal(), normal(0.5).exp()),
    ]
    probabilities = torch.from_numpy(random.dirichlet(np.ones(4), POINTS)).float()
    if heaviest is not None:
        probabilities = 0.1 * probabilities
        probabilities[:, heaviest] += 0.9
    return Mixture(Categorical(probs=probabilities), components)


def cumulative(mixture: Mixture, value: np.ndarray) -> np.ndarray:
    """SciPy's distribution functions, weighted; value: [points, any]."""
    t, normal, counts, logarithmic = mixture.components
    columns = lambda parameter: in_double(parameter)[:, None]  # noqa: E731
    parts = [
        stats.t.cdf(value, columns(t.df), columns(t.loc), columns(t.scale)),
        stats.norm.cdf(value, columns(normal.loc), columns(normal.scale)),
        stats.nbinom.cdf(value, columns(counts.total_count), 1 / (1 + np.exp(columns(counts.logits)))),
        stats.lognorm.cdf(value, columns(logarithmic.scale), scale=np.exp(columns(logarithmic.loc))),
    ]
    weights = in_double(mixture.weights.logits)
    weights = np.exp(weights) / np.exp(weights).sum(axis=1, keepdims=True)
    return sum(weights[:, number, None] * part for number, part in enumerate(parts))


@pytest.mark.parametrize("heaviest", [None, 0, 1, 2, 3])
def test_quantiles_are_the_smallest_values_that_reach_their_level(heaviest: int | None) -> None:
    """Source: SciPy's distribution functions just below and just above. Tolerance: 1e-6 of probability."""
    mixture = random_mixture(1, heaviest)
    found = mixture_quantiles(read_mixture(mixture, in_double), LEVELS)
    assert found.shape == (POINTS, len(LEVELS))
    assert (np.diff(found, axis=1) >= -1e-6).all()
    near = 1e-9 * (1 + np.abs(found))
    assert (cumulative(mixture, found + near) >= LEVELS - 1e-6).all()
    assert (cumulative(mixture, found - near) <= LEVELS + 1e-6).all()


def test_smooth_mixtures_have_the_roots_that_scipy_finds() -> None:
    """Source: scipy.optimize.brentq on SciPy's distribution functions, without the component that jumps."""
    mixture = random_mixture(2)
    mixture.weights = Categorical(logits=mixture.weights.logits + torch.tensor([0.0, 0.0, -torch.inf, 0.0]))
    found = mixture_quantiles(read_mixture(mixture, in_double), LEVELS)
    for point in range(0, POINTS, 20):
        for place, level in enumerate(LEVELS):

            def excess(value: float, point: int = point, level: float = level) -> float:
                return float(cumulative(mixture, np.full((POINTS, 1), value))[point, 0]) - level

            root = optimize.brentq(excess, -1e4, 1e5, xtol=1e-12)
            slope = (excess(root + 1e-6) - excess(root - 1e-6)) / 2e-6
            assert abs(found[point, place] - root) < 1e-6 / max(slope, 1e-3)


def test_where_the_mixture_jumps_over_a_level_the_quantile_is_the_whole_number() -> None:
    """Mostly counts: P(0) = 0.5 and P(1) = 0.25 of the negative binomial with total count 1 and logits 0."""
    components = [
        StudentT(torch.tensor([3.0]), torch.tensor([-50.0]), torch.tensor([0.1])),
        NegativeBinomial(torch.tensor([1.0]), torch.tensor([0.0])),
    ]
    mixture = Mixture(Categorical(probs=torch.tensor([[0.2, 0.8]])), components)
    found = mixture_quantiles(read_mixture(mixture, in_double), np.array([0.25, 0.5, 0.59, 0.61, 0.79, 0.81]))
    # Cumulative: 0.2 below all counts, then 0.6 at 0, 0.8 at 1 and 0.9 at 2.
    np.testing.assert_allclose(found, [[0, 0, 0, 1, 1, 2]], atol=1e-6)


def test_ten_thousand_of_upstreams_samples_have_these_quantiles() -> None:
    """Source: uni2ts' own sampler. Of 10,000 samples the share up to a quantile is within four standard errors."""
    mixture = random_mixture(3)
    torch.manual_seed(4)
    drawn = mixture.sample((10_000,)).double().numpy()
    found = mixture_quantiles(read_mixture(mixture, in_double), LEVELS)
    near = 1e-4 * (1 + np.abs(found.T))
    tolerance = 5 * np.sqrt(LEVELS * (1 - LEVELS) / 10_000)
    assert (LEVELS - tolerance <= (drawn[:, None] <= found.T + near).mean(axis=0).T).all()
    assert (LEVELS + tolerance >= (drawn[:, None] < found.T - near).mean(axis=0).T).all()


def test_a_points_quantiles_do_not_depend_on_the_other_points() -> None:
    mixture = read_mixture(random_mixture(6), in_double)
    together = mixture_quantiles(mixture, LEVELS)
    for point in range(0, POINTS, 30):
        alone = mixture_quantiles(mixture.at(np.array([point])), LEVELS)
        np.testing.assert_array_equal(alone[0], together[point])


def test_a_point_with_parameters_that_are_not_finite_has_no_quantiles_and_no_other_loses_its_own() -> None:
    mixture = random_mixture(5)
    expected = mixture_quantiles(read_mixture(mixture, in_double), LEVELS)
    mixture.components[0].df[7], mixture.components[3].loc[8] = torch.nan, torch.nan
    found = mixture_quantiles(read_mixture(mixture, in_double), LEVELS)
    assert np.isnan(found[7:9]).all()
    np.testing.assert_array_equal(np.delete(found, [7, 8], axis=0), np.delete(expected, [7, 8], axis=0))


def test_each_component_and_the_whole_mixture_are_drawn_from_their_distribution() -> None:
    """Kolmogorov-Smirnov against torch's own samplers, for a mixture with well-separated shapes."""
    components = [
        StudentT(torch.tensor([2.5]), torch.tensor([-4.0]), torch.tensor([0.7])),
        Normal(torch.tensor([1.0]), torch.tensor(1e-3)),
        NegativeBinomial(torch.tensor([3.2]), torch.tensor([0.8])),
        LogNormal(torch.tensor([0.3]), torch.tensor([0.6])),
    ]
    weights = torch.tensor([[0.4, 0.1, 0.2, 0.3]])
    uniforms = np.random.default_rng(3).random((1, 30_000, 1))

    def points(parameter: torch.Tensor) -> np.ndarray:
        return parameter.double().numpy().reshape(1, 1)

    torch.manual_seed(3)
    only = torch.full((1, 4), -1e9)
    for number, component in enumerate(components):
        logits = only.clone()
        logits[0, number] = 0.0
        drawn = draw_mixture(read_mixture(Mixture(Categorical(logits=logits), components), points), uniforms)
        assert stats.ks_2samp(drawn.ravel(), component.sample((30_000,)).numpy().ravel()).pvalue > 0.001
    whole = Mixture(Categorical(probs=weights), components)
    drawn = draw_mixture(read_mixture(whole, points), uniforms)
    assert stats.ks_2samp(drawn.ravel(), whole.sample((30_000,)).numpy().ravel()).pvalue > 0.001


def test_negative_binomial_quantiles_equal_scipys() -> None:
    generator = np.random.default_rng(0)
    level = generator.random(5000)
    total_count, logits = np.exp(generator.normal(0, 3, 5000)), generator.normal(0, 4, 5000)
    expected = stats.nbinom.ppf(level, total_count, 1 / (1 + np.exp(logits)))
    np.testing.assert_array_equal(negative_binomial_quantile(level, total_count, logits), expected)


@pytest.mark.filterwarnings("ignore:overflow")
def test_parameters_that_are_not_numbers_give_forecasts_that_are_not_numbers() -> None:
    level = np.array([0.5, np.nan, 0.999999, 0.5])
    total_count = np.array([np.nan, 1.0, 1e30, 1.0])
    drawn = negative_binomial_quantile(level, total_count, np.array([0.0, 0.0, 60.0, np.inf]))
    assert np.isnan(drawn[[0, 1, 3]]).all()
