"""Checks of mean ranks against SciPy, and of critical differences against Demšar, JMLR 7 (2006)."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata

from workflow_scripts.evaluation.mean_ranks import critical_difference, mean_ranks


def test_mean_ranks_are_those_of_scipy_with_ties_shared():
    errors = np.random.default_rng(0).integers(0, 5, size=(60, 7)).astype(float)
    expected = rankdata(errors, axis=1).mean(axis=0)
    assert mean_ranks(errors).tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("confidence", "published"),
    [
        (0.95, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.90, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_critical_values_are_those_of_table_5a(confidence, published):
    for arms, value in enumerate(published, start=2):
        # With six times as many patients as arms x (arms + 1), the difference is the critical value over six.
        found = 6 * critical_difference(arms, 6 * arms * (arms + 1), confidence)
        assert found == pytest.approx(value, abs=0.0011)


def test_the_critical_difference_of_the_published_example():
    # Section 3.2.2: four classifiers on 14 data sets, 2.569 x sqrt(4 x 5 / (6 x 14)) = 1.25.
    assert critical_difference(4, 14, 0.95) == pytest.approx(2.569 * math.sqrt(20 / 84), abs=1e-3)
    assert round(critical_difference(4, 14, 0.95), 2) == 1.25
