"""Gaps of a context, for the families whose networks take none."""

import torch
from torch import Tensor


def bridged(values: Tensor) -> tuple[Tensor, Tensor]:
    """A context without gaps after its first value, and what comes before that.

    values: float32 [batch, time], NaN where not observed. A gap between two values is interpolated linearly, one at the
    end keeps the last value, as `numpy.interp` does. Returns float32 [batch, time], 0 before the first value, and
    bool of that shape, True there; of a series without any value everywhere.
    """
    observed = ~values.isnan()
    steps = torch.arange(values.shape[1], device=values.device).expand_as(values)
    last = values.shape[1] - 1
    before = torch.where(observed, steps, -1).cummax(dim=1).values
    after = torch.where(observed, steps, last + 1).flip(1).cummin(dim=1).values.flip(1)
    after = torch.where(after > last, before, after)
    left, right = before.clamp(min=0), after.clamp(min=0)
    known = values.nan_to_num()
    share = ((steps - left) / (right - left).clamp(min=1)).to(values.dtype)
    filled = torch.lerp(known.gather(1, left), known.gather(1, right), share)
    missing = before < 0
    return torch.where(observed, known, filled).masked_fill(missing, 0), missing
