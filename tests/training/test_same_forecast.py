"""The same forecast in any batch, bit for bit; with other threads, within the tolerance of docs/reliability.md."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.models.weights import load_variant
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.parameters import ForecastParameters

CPU = torch.device("cpu")
WINDOWS, HORIZON = 40, 4


@pytest.fixture(scope="module", params=["chronos-t5-nano", "moirai-nano", "lag-llama-nano"])
def model(request: pytest.FixtureRequest) -> ForecastModel:
    """An embedded model: trained weights, so that its numbers are of the usual size."""
    return load_variant(VARIANTS[request.param], EMBEDDED_FOLDER / request.param)


@pytest.fixture(scope="module")
def windows() -> WindowArrays:
    """Random walks; some points were not observed."""
    random = np.random.default_rng(3)
    values = (0.3 + random.normal(0, 0.01, (WINDOWS, 24 + HORIZON)).cumsum(axis=1)).astype(np.float32)
    context = values[:, :24].copy()
    context[random.random(context.shape) < 0.05] = np.nan
    return WindowArrays(context, values[:, 24:], np.arange(WINDOWS) * 3600, 3600)


@pytest.fixture(scope="module")
def usual(model: ForecastModel, windows: WindowArrays) -> np.ndarray:
    """The forecast with the default batch and one thread."""
    assert torch.get_num_threads() == 1
    return forecast_in_batches(model, windows, 64)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """PyTorch computes with two threads; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def forecast_in_batches(model: ForecastModel, windows: WindowArrays, size: int) -> np.ndarray:
    """Quantiles on the models' scale, of which 1 is the whole range of a vital sign."""
    parameters = ForecastParameters(samples=10, batch_size=size)
    return forecast(model, windows, np.arange(len(windows)), parameters, 0, CPU)


@pytest.mark.parametrize("size", [32, 1000])
def test_a_window_has_the_same_forecast_in_a_batch_of_any_size_from_32_on(
    model: ForecastModel, windows: WindowArrays, usual: np.ndarray, size: int
) -> None:
    np.testing.assert_array_equal(forecast_in_batches(model, windows, size), usual)


def test_in_a_small_batch_which_saves_memory_the_forecast_is_the_same_to_rounding(
    model: ForecastModel, windows: WindowArrays, usual: np.ndarray
) -> None:
    np.testing.assert_allclose(forecast_in_batches(model, windows, 13), usual, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("two_threads")
def test_with_another_number_of_threads_the_forecast_is_the_same_to_rounding(
    model: ForecastModel, windows: WindowArrays, usual: np.ndarray
) -> None:
    np.testing.assert_allclose(forecast_in_batches(model, windows, 64), usual, rtol=1e-5, atol=1e-6)
