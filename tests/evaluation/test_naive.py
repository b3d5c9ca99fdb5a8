"""Checks of the naive references against pandas and by hand."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.naive import NAIVE_MODELS, forecast_naive
from workflow_scripts.runtime.errors import UserError

LEVELS = [0.1, 0.5, 0.9]


@pytest.fixture
def context():
    generator = np.random.default_rng(0)
    values = generator.normal(80, 5, size=(40, 24)).astype(np.float32)
    values[generator.random(values.shape) < 0.5] = np.nan
    values[0] = np.nan
    values[0, 7] = 61.5
    return values


def test_persistence_repeats_the_last_observed_value(context):
    expected = pd.DataFrame(context).ffill(axis=1).iloc[:, -1].to_numpy()
    quantiles = forecast_naive("persistence", context, 12, LEVELS)
    assert quantiles.shape == (40, 3, 12)
    np.testing.assert_array_equal(quantiles, np.broadcast_to(expected[:, None, None], quantiles.shape))


def test_mean_of_context_repeats_the_mean_of_what_was_observed(context):
    expected = pd.DataFrame(context.astype(float)).mean(axis=1).to_numpy()
    quantiles = forecast_naive("mean-of-context", context, 12, LEVELS)
    np.testing.assert_allclose(quantiles[:, 1, 11], expected, rtol=1e-7)
    assert (quantiles == quantiles[:, :1, :1]).all()


@pytest.mark.parametrize("name", NAIVE_MODELS)
def test_a_context_with_nothing_observed_is_a_counted_failure(name, context):
    context[5] = np.nan
    quantiles = forecast_naive(name, context, 12, LEVELS)
    scores = score(np.full((40, 12), 80.0), quantiles, LEVELS, 0, 300)
    assert scores.non_finite_windows == 1
    assert scores.metrics["mse"] is None


def test_an_unknown_reference_is_refused_with_the_names_that_exist(context):
    with pytest.raises(UserError, match="persistence, mean-of-context"):
        forecast_naive("seasonal", context, 12, LEVELS)
