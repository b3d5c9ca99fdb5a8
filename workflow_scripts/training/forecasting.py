"""The one forecasting loop: quantiles of every window, whatever the family."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.models.interface import ForecastModel, Series
from workflow_scripts.runtime.progress import progress
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.memory import explain_out_of_memory
from workflow_scripts.training.parameters import ForecastParameters

REPEATED_WINDOWS = 32
"""Windows that are forecast a second time to see what sampling alone changes."""
_OTHER_NUMBERS = 2**32
"""Added to the seed for them: no seed of a study is so large."""
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
    paper, levels = parameters.protocol == "paper", parameters.quantiles
    quantiles_of = model.sampled_quantiles if paper else model.quantiles
    # Where nothing is drawn, the uniforms only say how many steps there are.
    samples = 0 if model.exact_quantiles and not paper else parameters.samples
    draws = Draws(window_ids, samples, windows.target.shape[1], seed, stratified=not paper)
    return _by_batch(
        model,
        windows,
        draws,
        parameters.batch_size,
        device,
        lambda context, uniforms: quantiles_of(context, uniforms, levels),
    )


def forecast_again(
    model: ForecastModel,
    windows: WindowArrays,
    window_ids: NDArray[np.int64],
    parameters: ForecastParameters,
    seed: int,
    device: torch.device,
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Some windows, evenly spread, and their forecasts with other random numbers; None where quantiles are exact.

    Arguments and forecasts as `forecast` has them.
    """
    if model.exact_quantiles and parameters.protocol != "paper":
        return None
    rows = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), REPEATED_WINDOWS)).astype(np.int64))
    other_seed = seed + _OTHER_NUMBERS
    return rows, forecast(model, windows.rows(rows), window_ids[rows], parameters, other_seed, device)


@explain_out_of_memory("forecasts", "forecast.batch_size")
def forecast_paths(
    model: ForecastModel,
    windows: WindowArrays,
    window_ids: NDArray[np.int64],
    parameters: ForecastParameters,
    seed: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Sample paths of every window, float32 [windows, samples, horizon], in natural units.

    Their steps belong together where the model has `joint_paths`. Random numbers and errors as for `forecast`.
    """
    draws = Draws(window_ids, parameters.samples, windows.target.shape[1], seed, stratified=True)
    return _by_batch(model, windows, draws, parameters.batch_size, device, model.paths)


@dataclass(frozen=True)
class Draws:
    """The random numbers of all windows; see `window_uniforms`."""

    window_ids: NDArray[np.int64]
    samples: int
    horizon: int
    seed: int
    stratified: bool

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Those of some windows, float64 [rows, samples, horizon]."""
        if not self.samples:
            return np.empty((len(rows), 0, self.horizon))
        return window_uniforms(
            self.window_ids[rows], self.samples, self.horizon, self.seed, stratified=self.stratified
        )


def _by_batch(
    model: ForecastModel,
    windows: WindowArrays,
    draws: Draws,
    batch_size: int,
    device: torch.device,
    ask: Callable[[Series, torch.Tensor], torch.Tensor],
) -> NDArray[np.float32]:
    """What `ask` gives for every window, in natural units."""
    model.module.eval()
    tensors, parts = windows.on(device), []
    # Rounded down, so that no more memory is needed than was asked for.
    size = batch_size // MULTIPLE * MULTIPLE or batch_size
    starts = range(0, len(windows), size)
    for first in progress(starts, "forecasting", unit="batch"):
        last = min(first + size, len(windows))
        rows = _filled_up(first, last) if size >= MULTIPLE else np.arange(first, last)
        context, _ = tensors.batch(torch.from_numpy(rows).to(device))
        uniforms = torch.from_numpy(draws.of(rows)).to(device)
        with torch.inference_mode():
            parts.append(ask(context, uniforms)[: last - first].cpu().numpy())
    return windows.scale.natural(np.concatenate(parts))


def no_forecast(windows: WindowArrays, parameters: ForecastParameters) -> NDArray[np.float32]:
    """What a model that could not be trained forecasts: NaN, float32 [windows, quantile levels, horizon]."""
    shape = len(windows), len(parameters.quantiles), windows.target.shape[1]
    return np.full(shape, np.nan, dtype=np.float32)


def _filled_up(first: int, last: int) -> NDArray[np.int64]:
    """The numbers of some windows, and the last one again until there is a full multiple."""
    count = -(-(last - first) // MULTIPLE) * MULTIPLE
    return np.minimum(np.arange(first, first + count), last - 1)


def window_uniforms(
    window_ids: NDArray[np.int64], samples: int, horizon: int, seed: int, stratified: bool
) -> NDArray[np.float64]:
    """Uniform random numbers in (0, 1), float64 [windows, samples, horizon], one stream for each window.

    stratified: of the samples of a window and step there is one in each share 1 / samples of (0, 1), in a random
    order, so that steps are independent of each other. Else all are independent.
    """
    smallest = 2.0**-54
    return np.stack(
        [_uniforms(seed, int(window_id), samples, horizon, stratified) for window_id in window_ids]
    ).clip(smallest, 1 - 2 * smallest)


def _uniforms(seed: int, window_id: int, samples: int, horizon: int, stratified: bool) -> NDArray[np.float64]:
    random = np.random.Generator(np.random.Philox(key=[seed, window_id]))
    uniforms = random.random((samples, horizon))
    if not stratified:
        return uniforms
    strata = np.broadcast_to(np.arange(samples)[:, None], uniforms.shape)
    return (random.permuted(strata, axis=0) + uniforms) / samples
