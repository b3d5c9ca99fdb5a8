"""Forecasters that were trained to give quantiles of every step: Chronos-Bolt, Chronos-2, MOIRAI-2."""

from abc import abstractmethod

import torch
from torch import Tensor

from workflow_scripts.models.interface import ForecastModel, Series


class QuantileModel(ForecastModel):
    """A forecaster whose output is the quantiles that it was trained on.

    Between two trained levels a quantile is interpolated linearly; beyond the outermost it stays at the
    outermost one, as in upstream's pipelines, because the model never learned what is beyond it.
    """

    exact_quantiles = True
    levels: list[float]
    """The trained quantile levels, rising."""

    @abstractmethod
    def trained_quantiles(self, context: Series, horizon: int) -> Tensor:
        """The model's own output, float32 [batch, trained levels, horizon], on the scale of the context."""

    @torch.no_grad()
    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The trained quantiles, interpolated to `levels`; the uniforms give only the horizon."""
        trained = self.trained_quantiles(context, uniforms.shape[2])
        return at_levels(trained, self.levels, for_all(levels, trained))

    def sampled_quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The same; see ForecastModel.sampled_quantiles."""
        return self.quantiles(context, uniforms, levels)

    @torch.no_grad()
    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """Draw by inverting the quantile function of every step; see ForecastModel.sample.

        Steps are independent of each other, since the model says nothing about how they belong together: a
        path is no trajectory, and only statistics of single steps mean anything.
        """
        return at_levels(self.trained_quantiles(context, uniforms.shape[2]), self.levels, uniforms)


def for_all(levels: list[float], trained: Tensor) -> Tensor:
    """The same levels for every window and step of `trained`: float64 [batch, levels, horizon]."""
    wanted = torch.tensor(levels, dtype=torch.float64, device=trained.device)
    return wanted[None, :, None].expand(len(trained), -1, trained.shape[2])


def at_levels(trained: Tensor, levels: list[float], wanted: Tensor) -> Tensor:
    """The piecewise linear quantile function at `wanted`, constant beyond the outermost levels.

    trained: float32 [batch, levels, horizon]; wanted: float64 [batch, any, horizon], probabilities.
    Returns float32 [batch, any, horizon]; at a trained level exactly what was trained.
    """
    known = torch.tensor(levels, dtype=torch.float64, device=trained.device)
    upper = torch.searchsorted(known, wanted.contiguous(), right=True).clamp(1, len(levels) - 1)
    share = ((wanted - known[upper - 1]) / (known[upper] - known[upper - 1])).clamp(0, 1)
    values = trained.double()
    return torch.lerp(values.gather(1, upper - 1), values.gather(1, upper), share).float()
