"""Checks of intervals, p-values and corrections against SciPy, statsmodels, published examples and known truths."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.simulated_errors import (
    coverage,
    differences_from_the_first,
    false_alarms,
    resampled,
    simulate_sums,
)
from workflow_scripts.evaluation import bootstrap
from workflow_scripts.evaluation.bootstrap import resample_seeds
from workflow_scripts.evaluation.comparison import bootstrap_p_value, compare, holm, interval, win_rate
from workflow_scripts.evaluation.patient_sums import PatientSums
from workflow_scripts.evaluation.rank_threshold import gains, smallest_good_rank, threshold_shares


@pytest.fixture(scope="module")
def one_window_each():
    """Two arms' errors of 80 patients with one window each: [patients, arms]."""
    generator = np.random.default_rng(1)
    level = generator.lognormal(size=(80, 1))
    return level + generator.normal([0.0, 0.1], 0.3, size=(80, 2))


def test_with_one_window_a_patient_intervals_are_those_of_scipy(one_window_each):
    sums = PatientSums(one_window_each[:, :, None], np.ones((80, 1)), 80)
    replicates = resampled(sums, 20_000, seed=2)[:, :, 0]
    first, second = one_window_each.T
    options = {"n_resamples": 20_000, "method": "percentile", "vectorized": True, "rng": 3}
    of_mean = stats.bootstrap((first,), np.mean, **options)
    paired = stats.bootstrap(
        (second, first),
        lambda one, two, axis: one.mean(axis=axis) - two.mean(axis=axis),
        paired=True,
        **options,
    )
    difference = compare(second.mean(), first.mean(), replicates[:, 1], replicates[:, 0], 0.95)
    ours = [*interval(replicates[:, 0], 0.95), difference.low, difference.high]
    theirs = [*of_mean.confidence_interval, *paired.confidence_interval]
    # A 2.5 % quantile of 20,000 normal draws has a standard error of 0.019 of their deviation; here are two.
    errors = [of_mean.standard_error] * 2 + [paired.standard_error] * 2
    assert np.abs(np.subtract(ours, theirs) / errors).max() < 4 * math.sqrt(2) * 0.019


def test_a_replicate_is_the_metric_over_the_windows_of_the_drawn_patients(monkeypatch):
    sums = simulate_sums(np.random.default_rng(4), 12, [0.2, 0.4])
    replicates = resampled(sums, 50, seed=5)
    draws = np.random.default_rng(5).integers(12, size=(50, 12))
    expected = [sums.errors[drawn].sum(axis=0) / sums.weights[drawn].sum(axis=0) for drawn in draws]
    np.testing.assert_allclose(replicates, expected, rtol=1e-12)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 12 * 7)
    np.testing.assert_allclose(resampled(sums, 50, seed=5), expected, rtol=1e-12)
    assert not np.allclose(resampled(sums, 50, seed=6), expected)


def test_intervals_over_patients_hold_the_truth_as_often_as_they_say():
    # 500 studies: three standard errors of a coverage of 0.95 are 0.03.
    assert coverage(patients=100, studies=500, resamples=400) == pytest.approx(0.95, abs=0.03)


def test_intervals_over_windows_would_not(monkeypatch):
    """The simulation can tell: taking windows as independent gives far too narrow intervals."""

    def one_patient_a_window(sums, resamples, seed):
        windows = sums.weights[:, 0].astype(int)
        each = np.repeat(sums.errors / sums.weights[:, None], windows, axis=0)
        return resampled(PatientSums(each, np.ones((len(each), 1)), sums.windows), resamples, seed)

    monkeypatch.setattr("tests.evaluation.simulated_errors.resampled", one_patient_a_window)
    assert coverage(patients=100, studies=200, resamples=400) < 0.85


def test_equal_arms_are_called_different_as_seldom_as_they_should():
    assert false_alarms(patients=100, studies=500, resamples=400) == pytest.approx(0.05, abs=0.03)


def test_after_holms_correction_a_whole_family_of_equal_arms_gives_few_false_alarms():
    alarms = 0
    for study in range(200):
        sums = simulate_sums(np.random.default_rng([study, 8]), 60, [0.0] * 6)
        found = differences_from_the_first(sums, 400, seed=study)
        alarms += min(holm([each.p_value for each in found])) <= 0.05
    # At most 5 % of 200 families, and three standard errors.
    assert alarms / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_seeds_that_differ_widen_the_interval_as_they_should():
    # Ten seeds; 200 studies: three standard errors are 0.046. Patients alone would hold the truth in 6 of 10.
    held = coverage(100, 200, 400, seeds=10, seed_spread=0.1)
    assert held == pytest.approx(0.95, abs=0.046)


def test_the_spread_of_drawn_seeds_is_that_of_their_mean():
    # The mean of S values has the variance s^2 / S, s^2 with S - 1 in the denominator.
    values = np.array([1.0, 4.0, 2.5])
    drawn = resample_seeds(np.broadcast_to(values[None, :, None], (200_000, 3, 1)), (0, 1, 2), 0)
    assert drawn.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.02)
    one = resample_seeds(np.full((5, 1, 2), 7.0), (3,), 0)
    assert one.tolist() == [[7.0, 7.0]] * 5


def test_arms_with_the_same_seeds_see_the_same_draws():
    generator = np.random.default_rng(9)
    replicates = generator.normal(size=(300, 4, 1))
    shifted = resample_seeds(replicates + 1.0, (0, 1, 2, 3), 5) - resample_seeds(replicates, (0, 1, 2, 3), 5)
    np.testing.assert_allclose(shifted, 1.0)


def test_the_p_value_counts_the_rarer_side_twice_and_is_never_zero():
    differences = np.array([-3.0] * 96 + [0.0] + [2.0] * 2)
    assert bootstrap_p_value(differences) == 2 * (1 + 3) / 100
    assert bootstrap_p_value(np.full(1999, -1.0)) == 2 / 2000
    assert bootstrap_p_value(np.zeros(1999)) == 1.0


def test_the_p_value_and_the_interval_agree():
    generator = np.random.default_rng(10)
    for shift in np.linspace(1.5, 2.5, 21):
        differences = generator.normal(shift, size=1999)
        low, _ = interval(differences, 0.95)
        p_value = bootstrap_p_value(differences)
        # Both read the same count; at the border itself they may differ by one replicate.
        if abs(p_value - 0.05) > 3 / 2000:
            assert (low > 0) == (p_value < 0.05)


def test_arms_that_differ_by_rounding_alone_are_equal():
    replicates = np.random.default_rng(11).lognormal(size=999)
    found = compare(1.0 + 1e-15, 1.0, replicates * (1 + 1e-15), replicates, 0.95)
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


BENJAMINI_HOCHBERG = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]
"""The 15 p-values of Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995), section 4.1, from a study of
myocardial infarction; controlling the family-wise error at 5 % leaves the first three."""


def test_holms_correction_of_a_published_family_equals_the_one_by_hand():
    # By hand: 15 x 0.0001, 14 x 0.0004, 13 x 0.0019, 12 x 0.0095, 11 x 0.0201, 10 x 0.0278; 9 x 0.0298 and
    # 8 x 0.0344 are less than the one before, which stays; 7 x 0.0459; then all above 1.
    by_hand = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278, 0.3213, *[1.0] * 6]
    assert holm(BENJAMINI_HOCHBERG) == pytest.approx(by_hand)
    assert sum(p <= 0.05 for p in holm(BENJAMINI_HOCHBERG)) == 3
    assert holm(BENJAMINI_HOCHBERG[::-1]) == pytest.approx(by_hand[::-1])


def test_holms_correction_equals_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(12).random(40) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_a_comparison_that_failed_still_counts_in_its_family():
    assert holm([0.01, None, 0.02]) == [0.03, None, 0.04]
    assert holm([]) == []


def test_wins_and_ties_are_shares_of_patients():
    other = np.array([1.0, 1.0, 1.0, 1.0, 1.0])
    assert win_rate(np.array([0.5, 0.9, 1.0, 1.0 + 1e-15, 2.0]), other) == (0.4, 0.4)


def test_an_interval_cuts_the_same_share_at_both_ends():
    replicates = np.arange(101.0)
    assert interval(replicates, 0.9) == pytest.approx((5.0, 95.0))
    assert interval(replicates[::-1], 0.5) == pytest.approx((25.0, 75.0))


def test_a_difference_is_of_the_arm_less_the_other():
    ours, theirs = np.linspace(1, 2, 101), np.full(101, 2.5)
    found = compare(1.5, 2.5, ours, theirs, 0.9)
    assert (found.value, found.low, found.high) == pytest.approx((-1.0, -1.45, -0.55))
    assert found.p_value == pytest.approx(2 / 102)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_larger_than_rounding_is_one(sign):
    """The limit is 1e-12 of the other's error, on the data and in each replicate."""
    replicates = np.random.default_rng(11).lognormal(size=999)
    for relative, p_value in ((1e-11, 2 / 1000), (1e-13, 1.0)):
        change = 1 + sign * relative
        found = compare(change, 1.0, replicates * change, replicates, 0.95)
        assert found.p_value == p_value
        assert np.sign([found.value, found.low, found.high]).tolist() == [sign * (p_value < 1)] * 3


def test_patients_whose_errors_differ_by_rounding_are_ties():
    other = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    arm = np.array([1 - 1e-13, 1 + 1e-13, 1 - 1e-11, 1 + 1e-11, 0.0])
    assert win_rate(arm, other) == (0.2, 0.6)


def test_rounding_is_no_gain_of_a_rank():
    assert gains([1.2, 0.9], 1.0)
    assert not gains([1.2, 1.0], 1.0)
    assert not gains([1.2, 1.0 - 1e-15], 1.0)
    assert gains([1.2, 1.0 - 1e-11], 1.0)
    assert not gains([1.2, 1.0 - 1e-13], 1.0)


def test_patients_are_drawn_as_many_as_there_are_and_each_as_likely():
    draws = bootstrap.draw_patients(7, 4000, [3, 1])
    assert draws.shape == (4000, 7)
    assert set(draws.sum(axis=1)) == {7.0}
    # Each count is binomial with mean 1: five standard errors over 4,000 resamples are 0.073.
    assert np.abs(draws.mean(axis=0) - 1).max() < 0.073
    np.testing.assert_array_equal(draws, bootstrap.draw_patients(7, 4000, [3, 1]))
    assert not np.array_equal(draws, bootstrap.draw_patients(7, 4000, [3, 2]))


def test_the_threshold_is_the_smallest_rank_within_the_margin_of_the_best():
    errors = np.array([1.30, 1.02, 1.005, 1.00])
    assert smallest_good_rank(errors, 0.0) == 3
    assert smallest_good_rank(errors, 0.01) == 2
    assert smallest_good_rank(errors, 0.02) == 1
    assert smallest_good_rank(errors, 0.5) == 0
    replicates = np.array([[1.0, 1.0], [2.0, 1.0], [1.009, 1.0], [1.011, 1.0]])
    assert threshold_shares(replicates, 0.01).tolist() == [0.5, 0.5]
