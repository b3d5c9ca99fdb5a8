"""The one interface that every model family has: one loop trains and forecasts them all."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

POINTS = 8
"""Quantiles of a step's distribution that are read for each sample: more of them change little (docs/statistics.md)."""


@dataclass(frozen=True)
class Series:
    """A batch of equally spaced series.

    values: float32 [batch, time], NaN where nothing was observed.
    start:  int64 [batch], seconds since the epoch at values[:, 0] (only calendar features use it).
    step:   seconds between two values.
    covariates: float32 [batch, others, time], other series over the same time, for the models that look at several;
            None for all others. NaN where nothing was observed.
    """

    values: Tensor
    start: Tensor
    step: int
    covariates: Tensor | None = None

    def to(self, device: torch.device) -> "Series":
        """The same series on another device."""
        covariates = None if self.covariates is None else self.covariates.to(device)
        return Series(self.values.to(device), self.start.to(device), self.step, covariates)

    def rows(self, rows: slice) -> "Series":
        """Some series of the batch."""
        covariates = None if self.covariates is None else self.covariates[rows]
        return Series(self.values[rows], self.start[rows], self.step, covariates)


class ForecastModel(ABC):
    """A pre-trained forecaster. `module` is what an arm adapts; it may be replaced by a wrapped one.

    Methods of adaptation find their places by name: regular expressions that match whole module names
    (`_targets`) or whole parameter names (`_parameters`). An empty one means that the family has none.
    """

    module: nn.Module
    attention_targets: str
    """Every projection of every attention: the paper's targets."""
    linear_targets: str = ""
    """Every linear map of the blocks, attention included."""
    key_value_targets: str = ""
    """Those attention projections that give keys and values."""
    feedforward_targets: str = ""
    """The last linear map of every feed-forward layer: its input is the layer's inner activation."""
    head_parameters: str = ""
    """What turns the last hidden state into the parameters of a forecast."""
    bias_parameters: str = r"(.*\.)?bias"
    """What is added to a linear map or an attention score."""
    norm_parameters: str = ""
    """Gains (and biases) of all normalisations."""
    joint_paths: bool = False
    """Whether a sample path is a trajectory. Else its steps are independent of each other, and only statistics of
    single steps mean anything."""
    exact_quantiles: bool = False
    """Whether `quantiles` are the forecast distribution's own, without any sampling noise."""
    samplers: tuple[str, ...] = ()
    """Names of the ways to draw paths, where a family has several."""
    sampler: str = ""
    """The one of them that is used."""
    losses: tuple[str, ...] = ()
    """Names of the losses of a family that is trained from scratch, which has no base weights to adapt; else empty."""
    training_loss: str = ""
    """The one of them that is used."""

    def choose_loss(self, name: str) -> None:
        """Train with one of `losses`, before anything is trained; it may give the module other outputs."""
        self.training_loss = name

    @abstractmethod
    def loss(self, context: Series, target: Tensor) -> Tensor:
        """The family's own training loss, a scalar.

        target: float32 [batch, horizon], NaN where nothing was observed; such points carry no loss.
        """

    @abstractmethod
    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """Draw sample paths, float32 [batch, samples, horizon], on the scale of the context.

        uniforms: float64 [batch, samples, horizon] in (0, 1), the only source of randomness, so that a
        window's forecast depends on neither its batch nor the device. Horizon and samples are its shape.
        """

    def paths(self, context: Series, uniforms: Tensor) -> Tensor:
        """Sample paths for what needs whole trajectories: as `sample`, each with the model's own distribution.

        Families with `joint_paths` draw those of a window so that statistics over them have less noise.
        uniforms: stratified over the samples of every window and step (training/forecasting.py).
        """
        return self.sample(context, uniforms)

    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The best forecast quantiles that the family has, float32 [batch, levels, horizon], on the context's scale.

        Unless the family knows better, those of POINTS samples for each uniform (see `paths`): where all steps come
        of one pass, drawing more costs little. What draws step by step derives from PathModel (models/paths.py).
        """
        strata = torch.arange(POINTS, device=uniforms.device)[:, None]
        finer = ((strata + uniforms[:, :, None]) / POINTS).flatten(1, 2)
        return torch.from_numpy(path_quantiles(self.sample(context, finer).cpu().numpy(), levels, "hazen"))

    def sampled_quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """NumPy's plain quantiles of sample paths, as the paper has them; see `quantiles`.

        uniforms: independent of each other. Families that were trained to give quantiles give those.
        """
        return torch.from_numpy(
            path_quantiles(self.sample(context, uniforms).cpu().numpy(), levels, "linear")
        )

    @classmethod
    @abstractmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture of these sizes (models/registry.py) with random weights, in evaluation mode."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Load base weights (safetensors and configuration) from a local folder, in evaluation mode.

        Raises UserError where the folder does not hold this family's weights.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write base weights and configuration so that `load`, and the upstream library, read them."""


def path_quantiles(
    paths: NDArray[np.float32], levels: list[float], estimator: Literal["hazen", "linear"]
) -> NDArray[np.float32]:
    """Quantiles over the sample axis: [windows, samples, horizon] to [windows, levels, horizon].

    estimator: hazen counts each of S samples as the middle of its share 1 / S, which holds for stratified samples;
    linear is NumPy's default, which puts the outermost samples at 0 and 1: of S independent samples of the true
    distribution its 80 % interval covers 0.8 (S - 1) / (S + 1) (Hyndman and Fan, Am. Stat. 50 (1996), 361-365).
    A path that is not finite makes the quantiles of its window and step NaN.
    """
    with np.errstate(invalid="ignore"):
        quantiles = np.quantile(paths.astype(np.float64), levels, axis=1, method=estimator)
    quantiles[:, ~np.isfinite(paths).all(axis=1)] = np.nan
    return np.moveaxis(quantiles, 0, 1).astype(np.float32)
