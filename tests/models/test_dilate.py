"""DILATE against its definition, worked out here in other ways: all paths one by one, and the authors' recursions."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from dtaidistance import dtw
from numpy.typing import NDArray

from workflow_scripts.models.scratch.dilate import ALPHA, GAMMA, dilate, dilate_terms

GENERATOR = np.random.default_rng(11)
Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(11)


def paths(rows: int, columns: int) -> Iterator[list[tuple[int, int]]]:
    """Every warping path from (0, 0) to the last cell: right, down, or both."""
    end = (rows - 1, columns - 1)
    if end == (0, 0):
        yield [end]
        return
    for row, column in ((rows - 1, columns), (rows, columns - 1), (rows - 1, columns - 1)):
        if row and column:
            yield from ([*path, end] for path in paths(row, column))


def by_all_paths(truth: Array, guess: Array, place: Array, horizon: int, gamma: float) -> tuple[float, float]:
    """Section 3 of arXiv 1909.09020: a soft minimum over paths, and the mean distance under their softmax."""
    every = list(paths(len(truth), len(guess)))
    costs = np.array([sum((truth[i] - guess[j]) ** 2 for i, j in path) for path in every])
    away = np.array([sum((place[i] - place[j]) ** 2 for i, j in path) / horizon**2 for path in every])
    weights = np.exp(-(costs - costs.min()) / gamma)
    return costs.min() - gamma * np.log(weights.sum()), float(weights @ away / weights.sum())


def by_recursion(truth: Array, guess: Array, gamma: float) -> tuple[float, float]:
    """The authors' way: soft-DTW forwards, then the share of every cell backwards (Cuturi and Blondel 2017)."""
    n = len(truth)
    cost = (truth[:, None] - guess[None]) ** 2
    best = np.full((n + 2, n + 2), np.inf)
    best[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, n + 1):
            before = -np.array([best[i - 1, j], best[i, j - 1], best[i - 1, j - 1]]) / gamma
            best[i, j] = cost[i - 1, j - 1] - gamma * np.logaddexp.reduce(before)
    share = np.zeros((n + 2, n + 2))
    share[n, n] = 1
    for i in range(n, 0, -1):
        for j in range(n, 0, -1):
            for row, column in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
                if row <= n and column <= n:
                    weight = np.exp((best[row, column] - best[i, j] - cost[row - 1, column - 1]) / gamma)
                    share[i, j] += share[row, column] * weight
    steps = np.arange(n)
    away = (steps[:, None] - steps[None]) ** 2 / n**2
    return best[n, n], float((share[1 : n + 1, 1 : n + 1] * away).sum())


def terms(truth: Array, guess: Array, gamma: float) -> tuple[float, float]:
    shape, time = dilate_terms(torch.tensor(guess)[None], torch.tensor(truth)[None], gamma)
    return float(shape), float(time)


@pytest.mark.parametrize("gamma", [GAMMA, 0.5])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_both_terms_are_those_of_all_paths_one_by_one(horizon: int, gamma: float) -> None:
    truth, guess = GENERATOR.random((2, horizon))
    expected = by_all_paths(truth, guess, np.arange(horizon), horizon, gamma)
    assert terms(truth, guess, gamma) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("horizon", [12, 36])
def test_both_terms_are_those_of_the_authors_recursions(horizon: int) -> None:
    truth, guess = GENERATOR.random((2, horizon)) * 0.3
    assert terms(truth, guess, GAMMA) == pytest.approx(by_recursion(truth, guess, GAMMA), rel=1e-8)


def test_the_gradient_is_the_slope_of_the_authors_recursions() -> None:
    truth, guess = GENERATOR.random((2, 8))

    def slow(values: Array) -> float:
        shape, time = by_recursion(truth, values, GAMMA)
        return ALPHA * shape + (1 - ALPHA) * time

    step = 1e-6
    slope = [(slow(guess + move) - slow(guess - move)) / (2 * step) for move in np.eye(8) * step]
    forecast = torch.tensor(guess)[None].requires_grad_()
    dilate(forecast, torch.tensor(truth)[None]).backward()
    np.testing.assert_allclose(forecast.grad[0], slope, rtol=1e-5, atol=1e-7)


def test_the_gradient_holds_for_a_batch_with_gaps() -> None:
    target = torch.rand(3, 7, dtype=torch.float64)
    target[0, 2:4], target[2] = torch.nan, torch.nan
    forecast = torch.rand(3, 7, dtype=torch.float64, requires_grad=True)
    for alpha in (0.0, 0.5, 1.0):
        assert torch.autograd.gradcheck(lambda values, a=alpha: dilate(values, target, a, 0.1), (forecast,))


def test_a_hard_minimum_is_dynamic_time_warping_and_its_path() -> None:
    """Expected values: dtaidistance, whose distance is the root of the summed squares."""
    truth, guess = GENERATOR.random((2, 20))
    shape, time = terms(truth, guess, 1e-6)
    assert shape == pytest.approx(dtw.distance(truth, guess) ** 2, abs=1e-5)
    away = [(i - j) ** 2 for i, j in dtw.warping_path(truth, guess)]
    assert time == pytest.approx(sum(away) / 20**2, abs=1e-6)


def test_a_peak_at_the_wrong_time_has_its_shape_and_costs_time() -> None:
    peak = np.eye(20)
    early, late = (terms(peak[8], peak[8 + shift], 1e-4) for shift in (1, 5))
    assert early[0] == pytest.approx(late[0], abs=0.01)
    assert 0 < early[1] < late[1]


def test_a_window_is_compared_on_its_observed_steps_at_their_own_places() -> None:
    truth, guess = GENERATOR.random((2, 6))
    seen = np.array([1, 2, 5])
    gappy = np.where(np.isin(np.arange(6), seen), truth, np.nan)
    expected = by_all_paths(truth[seen], guess[seen], seen, 6, GAMMA)
    assert terms(gappy, guess, GAMMA) == pytest.approx(expected, rel=1e-9)


def test_what_was_not_observed_has_no_gradient() -> None:
    target = torch.rand(2, 6)
    target[0, 3], target[1] = torch.nan, torch.nan
    forecast = torch.rand(2, 6, requires_grad=True)
    loss = dilate(forecast, target)
    loss.backward()
    assert loss == dilate(forecast[:1], target[:1])
    assert (forecast.grad == 0).tolist() == target.isnan().tolist()


def test_a_batch_in_which_nothing_was_observed_has_no_loss() -> None:
    forecast = torch.rand(2, 6, requires_grad=True)
    loss = dilate(forecast, torch.full((2, 6), torch.nan))
    loss.backward()
    assert loss == 0
    assert not forecast.grad.any()


def test_a_window_s_terms_do_not_depend_on_its_batch() -> None:
    target, forecast = torch.rand(2, 5, 12)
    target[3, 4:] = torch.nan
    together = torch.stack(dilate_terms(forecast, target, GAMMA))
    for row in range(5):
        alone = torch.stack(dilate_terms(forecast[row : row + 1], target[row : row + 1], GAMMA))
        torch.testing.assert_close(together[:, row : row + 1], alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [1e-4, 1e3])
def test_tiny_and_huge_errors_stay_finite(size: float) -> None:
    forecast = (torch.rand(4, 36) * size).requires_grad_()
    loss = dilate(forecast, torch.rand(4, 36) * size)
    loss.backward()
    assert loss.isfinite()
    assert forecast.grad.isfinite().all()
