"""The one forecasting loop: quantiles of every window, whatever the family."""

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.runtime.progress import progress
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.memory import explain_out_of_memory
from workflow_scripts.training.parameters import ForecastParameters

MULTIPLE = 32
"""Windows are forecast by multiples of so many: processors round what is left over after full vectors otherwise."""


@explain_out_of_memory("forecasts", "forecast.batch_size")
def forecast(
    model: ForecastModel,
    windows: WindowArrays,
    window_ids: NDArray[np.int64],
    parameters: ForecastParameters,
    seed: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Forecast every window: float32 [windows, quantile levels, horizon], in natural units.

    Each window has random numbers of its own, keyed by the seed and its id, so its forecast depends on
    neither the other windows nor the batch size, from 32 on to the last bit on a CPU (docs/reliability.md). Where the
    model's numbers are not finite, neither is a quantile.
    Raises UserError where memory does not suffice.
    """
    model.module.eval()
    horizon = windows.target.shape[1]
    tensors = windows.on(device)
    quantiles = no_forecast(windows, parameters)
    # Rounded down, so that no more memory is needed than was asked for.
    size = parameters.batch_size // MULTIPLE * MULTIPLE or parameters.batch_size
    starts = range(0, len(windows), size)
    for first in progress(starts, "forecasting", unit="batch"):
        last = min(first + size, len(windows))
        rows = _filled_up(first, last) if size >= MULTIPLE else np.arange(first, last)
        context, _ = tensors.batch(torch.from_numpy(rows).to(device))
        uniforms = window_uniforms(window_ids[rows], parameters.samples, horizon, seed)
        with torch.inference_mode():
            forecasts = model.quantiles(context, torch.from_numpy(uniforms).to(device), parameters.quantiles)
        quantiles[first:last] = forecasts[: last - first].cpu().numpy()
    return windows.scale.natural(quantiles)


def no_forecast(windows: WindowArrays, parameters: ForecastParameters) -> NDArray[np.float32]:
    """What a model that could not be trained forecasts: NaN, float32 [windows, quantile levels, horizon]."""
    shape = len(windows), len(parameters.quantiles), windows.target.shape[1]
    return np.full(shape, np.nan, dtype=np.float32)


def _filled_up(first: int, last: int) -> NDArray[np.int64]:
    """The numbers of some windows, and the last one again until there is a full multiple."""
    count = -(-(last - first) // MULTIPLE) * MULTIPLE
    return np.minimum(np.arange(first, first + count), last - 1)


def window_uniforms(
    window_ids: NDArray[np.int64], samples: int, horizon: int, seed: int
) -> NDArray[np.float64]:
    """Uniform random numbers in (0, 1), float64 [windows, samples, horizon], one stream for each window."""
    smallest = 2.0**-54
    return np.stack(
        [
            np.random.Generator(np.random.Philox(key=[seed, int(window_id)])).random((samples, horizon))
            for window_id in window_ids
        ]
    ).clip(smallest, 1 - 2 * smallest)
