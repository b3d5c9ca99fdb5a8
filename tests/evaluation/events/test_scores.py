"""Metrics of event probabilities. Expected numbers: by hand, by scikit-learn, and by statsmodels."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from workflow_scripts.evaluation.events.calibration import calibration_line, decompose
from workflow_scripts.evaluation.events.scores import (
    brier_skill,
    cut_off,
    discrimination,
    expected_calibration_error,
    net_benefit,
    score_alarms,
)

PATIENT = np.repeat(np.arange(6), 2)
Y = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0], float)
P = np.array([0.81, 0.3, 0.1, 0.1, 0.62, 0.3, 0.22, 0.05, 0.45, 0.52, 0.1, 0.02])
LAST = np.array([66, 74, 80, 85, 68, 73, 79, 90, 72, 70, 82, 95], float)
DRAW = np.array([2, 0, 1, 1, 2, 0], float)


def test_area_under_the_curve_and_average_precision():
    found = discrimination(Y, P)
    assert found.auroc == pytest.approx([0.921875])
    assert found.auprc == pytest.approx([0.854167], abs=5e-7)
    assert discrimination(Y, -LAST).auroc == pytest.approx([0.9375])


def test_a_draw_of_patients_weighs_their_windows():
    found = discrimination(Y, P, DRAW[None, PATIENT])
    assert found.auroc == pytest.approx([0.805556], abs=5e-7)
    assert found.auprc == pytest.approx([0.838095], abs=5e-7)
    weights = DRAW[PATIENT]
    assert float((weights * (P - Y) ** 2).sum() / weights.sum()) == pytest.approx(0.173608, abs=5e-7)


def test_many_draws_agree_with_scikit_learn_with_ties_and_weights():
    random = np.random.default_rng(3)
    events = (random.random(300) < 0.15).astype(float)
    scores = np.round(random.normal(events, 1.0), 1)
    weights = random.integers(0, 4, (7, 300)).astype(float)
    found = discrimination(events, scores, weights)
    for number, weight in enumerate(weights):
        assert found.auroc[number] == pytest.approx(roc_auc_score(events, scores, sample_weight=weight))
        assert found.auprc[number] == pytest.approx(
            average_precision_score(events, scores, sample_weight=weight)
        )


def test_a_draw_without_events_has_no_area():
    weights = np.ones((2, 12))
    weights[1, Y == 1] = 0
    found = discrimination(Y, P, weights)
    assert np.isfinite(found.auroc).tolist() == [True, False]
    assert np.isfinite(found.auprc).tolist() == [True, False]


def test_brier_score_skill_and_its_parts():
    brier = brier_score_loss(Y, P)
    assert brier == pytest.approx(0.117892, abs=5e-7)
    assert brier_skill(brier, Y.mean()) == pytest.approx(0.469488, abs=5e-7)
    parts = decompose(Y, P)
    assert parts.miscalibration == pytest.approx(0.034558, abs=5e-7)
    assert parts.discrimination == pytest.approx(0.138889, abs=5e-7)
    assert parts.uncertainty == pytest.approx(0.222222, abs=5e-7)


def test_calibration_error_and_line():
    assert expected_calibration_error(Y, P, bins=5) == pytest.approx(0.095833, abs=5e-7)
    line = calibration_line(Y, P)
    assert line.in_the_large == pytest.approx(0.220706, abs=5e-6)
    assert line.slope == pytest.approx(2.022353, abs=5e-6)


def test_the_calibration_line_is_that_of_statsmodels():
    from statsmodels.api import GLM, add_constant, families

    random = np.random.default_rng(4)
    p = random.beta(1, 9, 800)
    events = (random.random(800) < p**1.3).astype(float)
    x = np.log(p / (1 - p))
    binomial = families.Binomial()
    large = GLM(events, np.ones(800), family=binomial, offset=x).fit().params[0]
    intercept, slope = GLM(events, add_constant(x), family=binomial).fit().params
    line = calibration_line(events, p)
    assert (line.in_the_large, line.intercept, line.slope) == pytest.approx(
        (large, intercept, slope), abs=1e-6
    )


def test_recalibrated_probabilities_have_the_ideal_line():
    again = calibration_line(Y, calibration_line(Y, P).recalibrate(P))
    assert (again.intercept, again.slope) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))


def test_separable_data_have_no_line():
    line = calibration_line(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert line.slope is None


def test_net_benefit_at_a_fifth():
    assert net_benefit(Y, P, 0.2) == pytest.approx(0.270833, abs=5e-7)
    assert net_benefit(Y, np.ones(12), 0.2) == pytest.approx(0.166667, abs=5e-7)
    assert net_benefit(Y, np.zeros(12), 0.2) == 0


def test_alarms_in_at_most_a_quarter_of_the_windows():
    at = cut_off(P, 0.25)
    found = score_alarms(Y, P, at)
    assert at == 0.52
    assert (found.share, found.sensitivity) == (0.25, 0.5)
    assert found.ppv == pytest.approx(0.666667, abs=5e-7)


def test_there_is_no_cut_off_where_the_highest_score_is_too_common():
    assert cut_off(np.array([0.5] * 9 + [0.1]), 0.25) == float("inf")
