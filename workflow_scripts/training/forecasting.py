"""The one forecasting loop: sample paths, summarised as quantiles."""

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.parameters import ForecastParameters


def forecast(
    model: ForecastModel,
    windows: WindowArrays,
    window_ids: NDArray[np.int64],
    parameters: ForecastParameters,
    seed: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Forecast every window: float32 [windows, quantile levels, horizon].

    Each window has random numbers of its own, keyed by the seed and its id, so its forecast depends on
    neither the batch size nor the other windows. A path that is not finite makes the quantiles NaN.
    """
    model.module.eval()
    horizon = windows.target.shape[1]
    tensors = windows.on(device)
    quantiles = np.empty((len(windows), len(parameters.quantiles), horizon), dtype=np.float32)
    for first in range(0, len(windows), parameters.batch_size):
        rows = slice(first, first + parameters.batch_size)
        context, _ = tensors.batch(rows)
        uniforms = window_uniforms(window_ids[rows], parameters.samples, horizon, seed)
        with torch.inference_mode():
            paths = model.sample(context, torch.from_numpy(uniforms).to(device)).cpu().numpy()
        quantiles[rows] = path_quantiles(paths, parameters.quantiles)
    return quantiles


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


def path_quantiles(paths: NDArray[np.float32], levels: list[float]) -> NDArray[np.float32]:
    """Quantiles over the sample axis: [windows, samples, horizon] to [windows, levels, horizon]."""
    with np.errstate(invalid="ignore"):
        quantiles = np.quantile(paths.astype(np.float64), levels, axis=1)
    quantiles[:, ~np.isfinite(paths).all(axis=1)] = np.nan
    return np.moveaxis(quantiles, 0, 1).astype(np.float32)
