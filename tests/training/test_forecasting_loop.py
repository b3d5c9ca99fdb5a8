"""The forecasting loop: quantiles, and independence of batch and order."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tests.helpers.linear_model import LinearModel
from workflow_scripts.models.interface import Series, path_quantiles
from workflow_scripts.training.data import Scale, WindowArrays
from workflow_scripts.training.forecasting import forecast, forecast_again, no_forecast, window_uniforms
from workflow_scripts.training.parameters import ForecastParameters

CPU = torch.device("cpu")


def some_windows(count: int) -> WindowArrays:
    random = np.random.default_rng(5)
    context = random.normal(size=(count, 4)).astype(np.float32)
    return WindowArrays(context, np.zeros((count, 6), np.float32), np.zeros(count, np.int64), 3600)


def test_a_window_has_the_same_forecast_in_any_batch_and_any_order():
    windows, ids = some_windows(23), np.arange(100, 123)
    whole = forecast(LinearModel(), windows, ids, ForecastParameters(batch_size=64), 0, CPU)
    small = forecast(LinearModel(), windows, ids, ForecastParameters(batch_size=3), 0, CPU)
    order = np.random.default_rng(1).permutation(23)
    shuffled = WindowArrays(windows.context[order], windows.target[order], windows.start[order], 3600)
    moved = forecast(LinearModel(), shuffled, ids[order], ForecastParameters(batch_size=7), 0, CPU)
    np.testing.assert_array_equal(whole, small)
    np.testing.assert_array_equal(whole[order], moved)


def test_forecasts_are_in_natural_units():
    windows = some_windows(5)
    scaled = WindowArrays(windows.context, windows.target, windows.start, 3600, scale=Scale(30.0, 45.0))
    ids, parameters = np.arange(5), ForecastParameters()
    plain = forecast(LinearModel(), windows, ids, parameters, 0, CPU)
    np.testing.assert_allclose(
        forecast(LinearModel(), scaled, ids, parameters, 0, CPU), 30 + 15 * plain, rtol=1e-6
    )


def test_batches_are_multiples_of_32_that_need_no_more_memory_than_was_asked_for():
    class Noting(LinearModel):
        def quantiles(self, context, uniforms, levels):
            sizes.append(len(uniforms))
            return super().quantiles(context, uniforms, levels)

    windows, ids = some_windows(75), np.arange(75)
    for asked, expected in (
        (64, [64, 32]),
        (63, [32, 32, 32]),
        (32, [32, 32, 32]),
        (31, [31, 31, 13]),
        (128, [96]),
    ):
        sizes: list[int] = []
        forecast(Noting(), windows, ids, ForecastParameters(batch_size=asked, samples=10), 0, CPU)
        assert sizes == expected


def test_a_model_that_could_not_be_trained_forecasts_nothing():
    missing = no_forecast(some_windows(5), ForecastParameters())
    assert (missing.shape, missing.dtype) == ((5, 9, 6), np.float32)
    assert np.isnan(missing).all()


def test_another_seed_gives_other_paths():
    ids = np.arange(3)
    first, second = (window_uniforms(ids, 4, 5, seed, stratified=True) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_quantiles_of_many_paths_are_those_of_the_model_s_normal_distribution():
    windows = some_windows(4)
    quantiles = forecast(LinearModel(), windows, np.arange(4), ForecastParameters(samples=20_000), 0, CPU)
    levels = ForecastParameters().quantiles
    # Closed form: the model's paths are normal around the last value with standard deviation 0.1.
    expected = windows.context[:, -1][:, None] + 0.1 * norm.ppf(levels)[None, :]
    np.testing.assert_allclose(quantiles.mean(axis=2), expected, atol=0.003)


class OwnQuantiles(LinearModel):
    """A family that was trained to give quantiles: here the context's last value plus the level."""

    def quantiles(self, context: Series, uniforms: torch.Tensor, levels: list[float]) -> torch.Tensor:
        wanted = torch.tensor(levels)[None, :, None].expand(len(uniforms), -1, uniforms.shape[2])
        return context.values[:, -1:, None] + wanted


def test_a_family_with_quantiles_of_its_own_is_asked_for_those():
    windows, parameters = some_windows(5), ForecastParameters(batch_size=2)
    quantiles = forecast(OwnQuantiles(), windows, np.arange(5), parameters, 0, CPU)
    expected = windows.context[:, -1:, None] + np.array(parameters.quantiles, np.float32)[None, :, None]
    np.testing.assert_array_equal(quantiles, np.broadcast_to(expected, quantiles.shape))


@pytest.mark.parametrize("stratified", [True, False])
def test_uniforms_are_uniform_and_never_0_or_1(stratified):
    uniforms = window_uniforms(np.arange(200), 20, 12, 0, stratified)
    assert uniforms.min() > 0
    assert uniforms.max() < 1
    assert uniforms.mean() == pytest.approx(0.5, abs=0.01)
    assert uniforms.var() == pytest.approx(1 / 12, abs=0.003)


def test_one_path_that_is_not_finite_makes_its_quantiles_missing_and_no_other():
    paths = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    paths[1, 7, 2] = np.inf
    quantiles = path_quantiles(paths, [0.1, 0.5, 0.9], "hazen")
    assert np.isnan(quantiles[1, :, 2]).all()
    assert np.isfinite(quantiles[0]).all()
    assert np.isfinite(quantiles[1, :, :2]).all()


def test_some_windows_are_forecast_again_with_other_numbers():
    windows, ids, parameters = some_windows(100), np.arange(100), ForecastParameters()
    rows, again = forecast_again(LinearModel(), windows, ids, parameters, 0, CPU)
    assert (rows[0], rows[-1], len(rows)) == (0, 99, 32)
    first = forecast(LinearModel(), windows, ids, parameters, 0, CPU)[rows]
    assert np.abs(again - first).max() > 0
    # The same distribution: both medians are near the mean, 0.1 is the standard deviation.
    np.testing.assert_allclose(again[:, 4], first[:, 4], atol=0.1)


def test_exact_quantiles_are_not_drawn_again_but_under_the_papers_protocol_they_are_samples():
    class Exact(LinearModel):
        exact_quantiles = True

    windows, ids = some_windows(3), np.arange(3)
    assert forecast_again(Exact(), windows, ids, ForecastParameters(), 0, CPU) is None
    assert forecast_again(Exact(), windows, ids, ForecastParameters(protocol="paper"), 0, CPU) is not None
