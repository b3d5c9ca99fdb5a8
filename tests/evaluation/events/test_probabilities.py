"""Probabilities of events. Expected numbers: by hand, outside this code; GluonTS's tails; the normal distribution."""

import numpy as np
import pytest

from workflow_scripts.evaluation.events.probabilities import (
    any_bounds,
    any_if_independent,
    joint_probability,
    probability_below,
)

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
A = [58, 61, 63.5, 66, 68, 70, 72.5, 75, 80]
B = [70, 73, 75, 77, 79, 81, 83, 86, 90]
C = [50, 52, 53, 55, 56, 58, 59, 60, 62]
D = [60, 65, 65, 65, 66, 67, 68, 70, 72]
E = [71, 69, 72, 74, 76, 78, 80, 83, 88]  # Two quantiles cross.


def below(quantiles, threshold, inclusive=False, levels=LEVELS):
    """P(Y < threshold) of one step."""
    given = np.array(quantiles, np.float32)[None, :, None]
    return probability_below(given, levels, threshold, inclusive)[0, 0]


@pytest.mark.parametrize(
    ("quantiles", "expected"), [(A, 0.36), (B, 0.031498), (C, 0.964645), (D, 0.2), (E, 0.025)]
)
def test_the_probability_below_65(quantiles, expected):
    assert below(quantiles, 65) == pytest.approx(expected, abs=5e-7)


def test_at_or_below_counts_the_quantiles_at_the_threshold():
    assert below(D, 65, inclusive=True) == pytest.approx(0.4)


@pytest.mark.parametrize("quantiles", [A, B, C, sorted(E)])
@pytest.mark.parametrize("tail", ["left", "right"])
def test_the_tails_are_those_of_gluonts(quantiles, tail):
    from gluonts.model.forecast import ExponentialTailApproximation

    approximation = ExponentialTailApproximation(LEVELS, [np.array([float(value)]) for value in quantiles])
    # GluonTS gives the quantile of a probability: it must be where our probability is that one.
    for p in (0.001, 0.01, 0.05) if tail == "left" else (0.95, 0.99, 0.999):
        found = approximation.left(p) if tail == "left" else approximation.right(p)
        assert below(quantiles, float(np.squeeze(found))) == pytest.approx(
            p, rel=1e-4
        )  # It adds 1e-8 to probabilities.


def test_a_tail_without_width_holds_nothing():
    assert below([65] * 9, 64.9) == 0
    assert below([65] * 9, 65.1) == 1


def test_a_quantile_that_is_not_finite_gives_no_probability():
    assert np.isnan(below([*A[:-1], np.nan], 65))


def test_a_perfect_forecast_s_probabilities_are_the_truth_s():
    from scipy.stats import norm

    levels = np.linspace(0.01, 0.99, 99)
    found = below(norm.ppf(levels), -1.5, levels=levels)
    assert found == pytest.approx(norm.cdf(-1.5), abs=2e-4)


def three_steps():
    """P(< 65) at the steps whose quantiles are A, B and E."""
    return np.array([[below(each, 65) for each in (A, B, E)]])


def test_any_of_three_steps_is_within_its_bounds():
    lowest, highest = any_bounds(three_steps())
    assert lowest == pytest.approx([0.36])
    assert highest == pytest.approx([0.416498], abs=1e-6)
    assert any_if_independent(three_steps()) == pytest.approx([0.395655], abs=1e-6)


RANKS = np.array([[0.5, 0.02, 0.9], [0.35, 0.6, 0.7], [0.8, 0.9, 0.01], [0.4, 0.5, 0.6]])


def test_the_joint_probability_follows_the_ranks():
    assert joint_probability(three_steps(), RANKS, low=True) == pytest.approx([0.75])


def test_a_high_event_is_a_low_one_of_the_mirrored_ranks():
    assert joint_probability(three_steps(), 1 - RANKS, low=False) == pytest.approx([0.75])


def test_one_step_keeps_its_probability_in_the_shuffle():
    ranks = (np.arange(1000)[:, None] + 0.5) / 1000
    assert joint_probability(np.array([[0.36]]), ranks, low=True) == pytest.approx([0.36])


def test_two_successive_steps_that_go_together_are_as_probable_as_one():
    together = np.repeat((np.arange(1000)[:, None] + 0.5) / 1000, 3, axis=1)
    steps = np.full((1, 3), 0.2)
    assert joint_probability(steps, together, low=True, run=2) == pytest.approx([0.2])
    apart = np.random.default_rng(0).random((200_000, 2))
    found = joint_probability(np.full((1, 2), 0.2), apart, low=True, run=2)
    assert found == pytest.approx([0.04], abs=0.002)
