"""DILATE: how far a forecast's shape is off, and how far it is off in time (Le Guen and Thome 2019, arXiv 1909.09020).

Shape is soft-DTW of squared differences (Cuturi and Blondel 2017, arXiv 1703.01541). Time is the expected squared
distance between matched steps, under the distribution over warping paths that soft-DTW implies. That expectation is
the directional derivative of soft-DTW along the matrix of those distances (Mensch and Blondel 2018, arXiv 1802.03676),
so it runs through the same recursion as a second number.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ALPHA = 0.5
"""Weight of the shape; time has the rest (the study's value)."""
GAMMA = 0.01
"""Softness of the minimum over paths (the study's value)."""

_UNREACHABLE = 1e10
"""Cost of a cell outside the matrix; finite, so that no difference of infinities can arise."""


def dilate(forecast: Tensor, target: Tensor, alpha: float = ALPHA, gamma: float = GAMMA) -> Tensor:
    """Mean over windows of alpha x shape + (1 - alpha) x time, a scalar.

    forecast: [windows, horizon]; target: the same, NaN where nothing was observed. A window is compared on its
    observed steps alone, each at its own place in time; a window without any carries no loss.
    """
    shape, time = dilate_terms(forecast, target, gamma)
    counted = ~target.isnan().all(dim=1)
    return ((alpha * shape + (1 - alpha) * time) * counted).sum() / counted.sum().clamp(min=1)


def dilate_terms(forecast: Tensor, target: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Shape and time of every window, two tensors [windows]; for the arguments see `dilate`.

    Shape is in squared units of the series, and may be negative, as soft-DTW may. Time is in squared steps, over
    the horizon squared. Both mean nothing for a window without an observed step.
    """
    horizon = target.shape[1]
    missing = target.isnan()
    # Observed steps first, in their order: a path ends where they end, so the others are never on it.
    order = missing.to(torch.uint8).argsort(dim=1, stable=True)
    truth, guess = target.nan_to_num().gather(1, order), forecast.gather(1, order)
    ends = (horizon - missing.sum(dim=1) - 1).clamp(min=0)
    place = order.to(forecast.dtype) / horizon
    return _SoftPaths.apply(truth.T, guess.T, place.T, ends, gamma)


class _SoftPaths(torch.autograd.Function):
    """The recursion over all warping paths, one anti-diagonal after the other: its cells do not need each other.

    In the buffers, cell (i, j) is in layer i + j + 1 at row i + 1, so that what is before the first row, the
    first column or the first diagonal is there too, and unreachable.
    """

    @staticmethod
    def forward(
        ctx: Any, truth: Tensor, guess: Tensor, place: Tensor, ends: Tensor, gamma: float
    ) -> tuple[Tensor, Tensor]:
        """truth, guess, place: [steps, windows]. ends: the last step of each window. Returns two [windows]."""
        steps, windows = truth.shape
        cost = truth.new_full((2 * steps, steps + 1, windows), _UNREACHABLE)
        distance = torch.zeros_like(cost)
        cost[1, 1] = (truth[0] - guess[0]).square()
        # Along an anti-diagonal the column falls where the row rises.
        guess, mirrored = guess.flip(0), place.flip(0)
        shares = [truth.new_empty(0)]
        for diagonal in range(1, 2 * steps - 1):
            rows, columns = _cells(diagonal, steps)
            scores = _before(cost, diagonal, rows) / -gamma
            total = scores.logsumexp(dim=0)
            share = (scores - total).exp_()
            shares.append(share)
            cell = (diagonal + 1, _own(rows))
            cost[cell] = (truth[rows] - guess[columns]).square_() - gamma * total
            distance[cell] = (place[rows] - mirrored[columns]).square_()
            distance[cell] += (share * _before(distance, diagonal, rows)).sum(dim=0)
        at = (2 * ends + 1, ends + 1, torch.arange(windows, device=ends.device))
        ctx.save_for_backward(truth, guess, place, distance, *at)
        ctx.shares, ctx.gamma = shares, gamma
        return cost[at], distance[at]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_cost: Tensor, by_distance: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient for `guess`; the truth and its places in time are given."""
        truth, guess, place, distance, *at = ctx.saved_tensors
        steps = len(truth)
        mirrored = place.flip(0)
        to_cost, to_distance = torch.zeros_like(distance), torch.zeros_like(distance)
        to_cost[tuple(at)], to_distance[tuple(at)] = by_cost, by_distance
        gradient = torch.zeros_like(guess)
        for diagonal in range(2 * steps - 2, 0, -1):
            rows, columns = _cells(diagonal, steps)
            cell, share = (diagonal + 1, _own(rows)), ctx.shares[diagonal]
            from_cost, from_distance = to_cost[cell], to_distance[cell]
            gradient[columns] += 2 * (guess[columns] - truth[rows]) * from_cost
            passed = share * from_distance
            _add_before(to_distance, diagonal, rows, passed)
            mean = distance[cell] - (place[rows] - mirrored[columns]).square_()
            # A cheaper way in draws weight from the others: the softmax's own derivative.
            moved = (mean - _before(distance, diagonal, rows)).mul_(passed).div_(ctx.gamma)
            _add_before(to_cost, diagonal, rows, moved.addcmul_(share, from_cost[None]))
        gradient[-1] += 2 * (guess[-1] - truth[0]) * to_cost[1, 1]
        return None, gradient.flip(0), None, None, None


def _cells(diagonal: int, steps: int) -> tuple[slice, slice]:
    """The rows of an anti-diagonal, and its columns counted from the last."""
    first, last = max(0, diagonal - steps + 1), min(steps - 1, diagonal) + 1
    shift = steps - 1 - diagonal
    return slice(first, last), slice(first + shift, last + shift)


def _own(rows: slice) -> slice:
    return slice(rows.start + 1, rows.stop + 1)


def _before(buffer: Tensor, diagonal: int, rows: slice) -> Tensor:
    """The three cells from which a path enters each cell: left, above, and both at once."""
    return torch.stack((buffer[diagonal, _own(rows)], buffer[diagonal, rows], buffer[diagonal - 1, rows]))


def _add_before(buffer: Tensor, diagonal: int, rows: slice, values: Tensor) -> None:
    buffer[diagonal, _own(rows)] += values[0]
    buffer[diagonal, rows] += values[1]
    buffer[diagonal - 1, rows] += values[2]
