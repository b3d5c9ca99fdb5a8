"""In which numbers training computes, and what a device does best with them."""

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast_context(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """What the loss is computed in: matrix products in bfloat16 where that is asked for, everything else as it was.

    Weights, gradients and AdamW's moments stay float32, so no scaling of the loss is needed (Kalamkar et al. 2019,
    arXiv 1905.12322). On a CPU the default changes no bit.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def adamw(
    weights: list[torch.Tensor], learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW, in one kernel for all weights on a GPU; on a CPU torch's own choice, as it rounds otherwise there."""
    fused = True if device.type == "cuda" else None
    return torch.optim.AdamW(weights, lr=learning_rate, weight_decay=weight_decay, fused=fused)
