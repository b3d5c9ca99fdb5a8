"""The quantile loss of the families whose upstream publishes none that can be used, and the scale that it is on."""

import torch
from torch import Tensor

SMALLEST_SPREAD = 1e-6


def quantile_loss(forecast: Tensor, target: Tensor, levels: list[float]) -> Tensor:
    """Twice the pinball loss, mean over levels and observed points, so that the median's is the absolute error.

    forecast: [batch, levels, horizon]; target: [batch, horizon], NaN where not observed, on the same scale. Without any
    observed point it is 0.
    """
    seen = ~target.isnan()
    error = target.nan_to_num()[:, None] - forecast
    wanted = torch.tensor(levels, dtype=error.dtype, device=error.device)[:, None]
    loss = torch.maximum(wanted * error, (wanted - 1) * error).mul(2).mean(dim=1)
    return (loss * seen).sum() / seen.sum().clamp(min=1)


def standardised(forecast: Tensor, target: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Both on the scale of the context's mean and standard deviation; of a constant or empty one its spread is 1.

    forecast: [batch, levels, horizon]; target: [batch, horizon]; context: [batch, time], NaN where not observed.
    """
    observed = ~context.isnan()
    count = observed.sum(dim=1, keepdim=True).clamp(min=1)
    known = context.nan_to_num()
    centre = known.sum(dim=1, keepdim=True) / count
    spread = (((known - centre) * observed).square().sum(dim=1, keepdim=True) / count).sqrt()
    spread = torch.where(spread < SMALLEST_SPREAD, torch.ones_like(spread), spread)
    return (forecast - centre[..., None]) / spread[..., None], (target - centre) / spread
