"""Location and scale of each row, from what was observed of its past."""

from collections.abc import Callable

import torch
from torch import Tensor

Scaler = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_SMALLEST_SCALE = 1e-10
_SMALLEST_VARIANCE = 1e-5


def robust(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Lower median and interquartile range (linear interpolation); 0 and 1 where nothing was observed.

    values: float32 [rows, time]. observed: bool [rows, time]. Returns loc and scale, each [rows, 1].
    Source: upstream's RobustScaler, which ranks the whole padded row with nanmedian and nanquantile.
    """
    ordered = values.masked_fill(~observed, torch.inf).sort(dim=1).values
    count = observed.sum(dim=1, keepdim=True)
    last = (count - 1).clamp(min=0)
    loc = ordered.gather(1, last // 2)
    scale = _interpolated(ordered, 0.75 * last) - _interpolated(ordered, 0.25 * last)
    empty = count == 0
    return loc.masked_fill(empty, 0.0), scale.clamp(min=_SMALLEST_SCALE).masked_fill(empty, 1.0)


def _interpolated(ordered: Tensor, rank: Tensor) -> Tensor:
    below, above = rank.floor(), rank.ceil()
    return torch.lerp(ordered.gather(1, below.long()), ordered.gather(1, above.long()), rank - below)


def mean(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Location 0, scale the mean absolute value; a row without observations takes the batch's mean.

    That last rule is upstream's (gluonts' MeanScaler) and makes such a row depend on the other rows.
    """
    total = (values * observed).abs().sum(dim=1, keepdim=True)
    count = observed.sum(dim=1, keepdim=True)
    of_batch = total.sum() / count.sum().clamp(min=1)
    scale = torch.where(count > 0, total / count.clamp(min=1), of_batch)
    return torch.zeros_like(scale), scale.clamp(min=_SMALLEST_SCALE)


def std(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Observed mean, and square root of the observed variance plus 1e-5 (gluonts' StdScaler)."""
    weight = observed.double()
    count = weight.sum(dim=1, keepdim=True).clamp(min=1)
    loc = (values * weight).sum(dim=1, keepdim=True) / count
    variance = ((values - loc) * weight).square().sum(dim=1, keepdim=True) / count
    return loc.to(values.dtype), (variance + _SMALLEST_VARIANCE).sqrt().to(values.dtype)


def none(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """Location 0 and scale 1 for every row."""
    zeros = values.new_zeros(len(values), 1)
    return zeros, zeros + 1


SCALERS: dict[str, Scaler] = {"robust": robust, "mean": mean, "std": std, "none": none}
"""The scalers by the name that the configuration gives them."""
