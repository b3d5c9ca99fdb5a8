"""The quantile loss of the families whose upstream publishes none that can be used."""

import torch
from torch import Tensor


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
