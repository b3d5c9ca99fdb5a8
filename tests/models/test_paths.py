"""Quantiles of sampled families, on samplers whose distribution is known: what they cover, lose and depend on."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from tests.helpers.linear_model import LinearModel
from workflow_scripts.models.interface import ForecastModel, Series
from workflow_scripts.models.paths import Choose, PathModel, dealt
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.forecasting import forecast, forecast_paths, window_uniforms
from workflow_scripts.training.parameters import ForecastParameters

CPU = torch.device("cpu")
HORIZON, WINDOWS = 12, 1500


class FirstOrder(PathModel):
    """x(t) = c x(t - 1) + a standard normal number, from x(0) = 0: the exact law of every step is known."""

    def __init__(self, coefficient: float) -> None:
        self.module, self.coefficient = nn.Identity(), coefficient

    def loss(self, context: Series, target: Tensor) -> Tensor:
        raise NotImplementedError

    def grow(self, context: Series, horizon: int, choose: Choose) -> Tensor:
        value, chosen = context.values[:, -1:].double(), []
        for step in range(horizon):
            middle = self.coefficient * value[:, :, None]
            value = choose(lambda levels, middle=middle: middle + torch.special.ndtri(levels), step)
            chosen.append(value)
        return torch.stack(chosen, dim=2)

    def deviations(self) -> np.ndarray:
        """Standard deviation of each step's law, [horizon]."""
        return np.sqrt(np.cumsum(self.coefficient ** (2 * np.arange(HORIZON))))

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class OnePass(LinearModel):
    """Every step is a normal number around 0 with standard deviation 0.1."""

    def deviations(self) -> np.ndarray:
        return np.full(HORIZON, 0.1)


SAMPLERS = {
    "random walk": FirstOrder(1.0),
    "slow return": FirstOrder(0.9),
    "quick return": FirstOrder(0.3),
    "one pass": OnePass(),
}


def windows(count: int = WINDOWS) -> WindowArrays:
    context, target = np.zeros((count, 2), np.float32), np.zeros((count, HORIZON), np.float32)
    return WindowArrays(context, target, np.zeros(count, np.int64), 3600)


def quantiles(model: ForecastModel, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles in standard deviations of their step's law, float64 [windows, levels, horizon], and the levels."""
    parameters = ForecastParameters(batch_size=512, **settings)
    found = forecast(model, windows(), np.arange(WINDOWS), parameters, 0, CPU)
    return found.astype(np.float64) / model.deviations(), np.array(parameters.quantiles)


def coverage(standard: np.ndarray) -> float:
    """Probability of the 80 % interval under the true law."""
    return float((norm.cdf(standard[:, -1]) - norm.cdf(standard[:, 0])).mean())


def loss_ratio(standard: np.ndarray, levels: np.ndarray) -> float:
    """Expected quantile loss over the least possible one, both in closed form for a normal law.

    E (y - q)(p - [y < q]) = density(q) + q (cdf(q) - p), which is least, density(quantile(p)), at the true quantile.
    """
    wanted = levels[None, :, None]
    expected = norm.pdf(standard) + standard * (norm.cdf(standard) - wanted)
    return float(expected.mean() / norm.pdf(norm.ppf(levels)).mean())


@pytest.mark.parametrize("samples", [10, 20, 50, 100])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_calibrated_sampler_covers_80_percent_and_has_the_least_loss(name: str, samples: int) -> None:
    standard, levels = quantiles(SAMPLERS[name], samples=samples)
    assert coverage(standard) == pytest.approx(0.8, abs=0.005)
    assert loss_ratio(standard, levels) == pytest.approx(1, abs=0.005 if samples >= 20 else 0.01)


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_adds_less_than_one_percent_to_the_squared_error_of_a_calibrated_sampler(name: str) -> None:
    """The true median is 0, so its mean square is the noise; the true law's variance is 1."""
    standard, levels = quantiles(SAMPLERS[name], samples=20)
    assert np.square(standard[:, list(levels).index(0.5)]).mean() < 0.01


@pytest.mark.parametrize("samples", [20, 50, 100])
@pytest.mark.parametrize("name", ["random walk", "one pass"])
def test_the_papers_protocol_covers_too_little_by_what_theory_says(name: str, samples: int) -> None:
    """0.8 (S - 1) / (S + 1): of S independent samples the probability at each rank is known."""
    standard, _ = quantiles(SAMPLERS[name], samples=samples, protocol="paper")
    assert coverage(standard) == pytest.approx(0.8 * (samples - 1) / (samples + 1), abs=0.004)


def test_the_papers_protocol_costs_what_the_noise_of_twenty_samples_costs() -> None:
    """The median's variance is near pi / 2 / 20 of the law's, 7.9 %; the loss of all levels is 4 to 5 % too high."""
    standard, levels = quantiles(SAMPLERS["random walk"], protocol="paper")
    assert 0.06 < np.square(standard[:, list(levels).index(0.5)]).mean() < 0.08
    assert 1.035 < loss_ratio(standard, levels) < 1.055


def test_the_first_step_is_exact() -> None:
    standard, levels = quantiles(FirstOrder(0.9))
    np.testing.assert_allclose(standard[:, :, 0], np.tile(norm.ppf(levels), (WINDOWS, 1)), rtol=1e-6)


@pytest.mark.parametrize("samples", [20, 23])
def test_each_path_alone_has_the_models_own_distribution(samples: int) -> None:
    """Of all windows the same path: every step, and how steps belong together, are those of the random walk."""
    model = FirstOrder(1.0)
    ids, parameters = np.arange(4000), ForecastParameters(samples=samples)
    paths = forecast_paths(model, windows(4000), ids, parameters, 0, CPU).astype(np.float64)
    for path in (0, 7, samples - 1):
        steps = np.diff(paths[:, path], axis=1, prepend=0.0)
        # The increments are independent standard normal numbers. Tolerance: four standard errors.
        np.testing.assert_allclose(steps.mean(axis=0), 0, atol=4 / np.sqrt(4000))
        np.testing.assert_allclose(np.cov(steps.T), np.eye(HORIZON), atol=4 * np.sqrt(2 / 4000))


def test_paths_that_grow_together_know_more_of_an_event_than_independent_ones() -> None:
    """The share of paths that are once above 2, against that of many independent paths; its noise is smaller."""
    model, ids = FirstOrder(0.9), np.arange(WINDOWS)
    parameters = ForecastParameters(samples=100)
    together = forecast_paths(model, windows(), ids, parameters, 0, CPU)
    context = Series(torch.zeros(WINDOWS, 2), torch.zeros(WINDOWS, dtype=torch.int64), 3600)
    uniforms = torch.from_numpy(window_uniforms(ids, 100, HORIZON, 1, stratified=False))
    independent = model.sample(context, uniforms).numpy()
    found, plain = ((paths.max(axis=2) > 2).mean(axis=1) for paths in (together, independent))
    assert found.mean() == pytest.approx(plain.mean(), abs=4 * plain.std() / np.sqrt(WINDOWS))
    assert found.var() < 0.5 * plain.var()


@pytest.mark.parametrize("samples", [2, 20, 31])
def test_every_uniform_is_dealt_once_and_to_each_path_with_the_same_chance(samples: int) -> None:
    ids = np.arange(6000)
    uniforms = torch.from_numpy(window_uniforms(ids, samples, 1, 3, stratified=True))[:, :, 0]
    given = dealt(uniforms, torch.arange(samples).expand(len(ids), -1))
    assert torch.equal(given.sort(dim=1).values, uniforms.sort(dim=1).values)
    for path in range(samples):
        assert float(given[:, path].mean()) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 6000))
        assert float(given[:, path].var()) == pytest.approx(1 / 12, abs=0.005)


def test_a_windows_paths_do_not_depend_on_its_batch() -> None:
    model, parameters = FirstOrder(0.9), ForecastParameters(batch_size=3)
    ids, order = np.arange(10), np.random.default_rng(2).permutation(10)
    whole = forecast(model, windows(10), ids, ForecastParameters(), 0, CPU)
    moved = forecast(model, windows(10), ids[order], parameters, 0, CPU)
    np.testing.assert_array_equal(whole[order], moved)
