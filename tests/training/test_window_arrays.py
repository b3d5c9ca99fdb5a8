"""What of the windows reaches a model: the other vital signs only where it looks at them."""

import numpy as np
import pytest
import torch

from tests.helpers.identifiers import as_names
from workflow_scripts.models.registry import variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import Scale, series_arrays, window_arrays
from workflow_scripts.windows.reading import Covariate, WindowMetadata, Windows
from workflow_scripts.windows.series import SeriesTable

PLAIN, MULTIVARIATE = variant("moirai-nano"), variant("moirai-nano-multivariate")


def windows(*covariates: Covariate) -> Windows:
    """Six windows of mean blood pressure; every number is its place, so that none is mistaken for another."""
    count = len(covariates)
    return Windows(
        context=np.arange(24, dtype=np.float32).reshape(6, 4),
        target=np.arange(12, dtype=np.float32).reshape(6, 2),
        covariates=np.arange(6 * count * 4, dtype=np.float32).reshape(6, count, 4),
        start=np.arange(6) * 3600,
        split=np.array(["train"] * 6),
        hours_from_onset=np.full(6, np.nan, np.float32),
        steps_since_observed=np.zeros(6, np.int64),
        window_id=np.arange(6),
        subject_id=as_names(range(6)),
        icustay_id=as_names(range(6)),
        metadata=WindowMetadata("mean_blood_pressure", "mmHg", 0, 190, 60, 4, 2, "by_patient", covariates),
    )


HEART_RATE, TEMPERATURE = Covariate("heart_rate", "bpm", 0, 300), Covariate("temperature", "°C", 30, 45)


def test_a_model_that_looks_at_its_own_series_is_given_nothing_else() -> None:
    alone, beside = window_arrays(windows(), PLAIN), window_arrays(windows(HEART_RATE), PLAIN)
    assert alone.covariates is None
    assert beside.covariates is None
    np.testing.assert_array_equal(alone.context, beside.context)
    series, _ = beside.on(torch.device("cpu")).batch(slice(0, 2))
    assert series.covariates is None


def test_a_model_that_looks_at_other_series_is_given_them_window_by_window_on_their_own_scales() -> None:
    arrays = window_arrays(windows(HEART_RATE, TEMPERATURE), MULTIVARIATE)
    assert arrays.step == 3600
    series, target = arrays.on(torch.device("cpu")).batch(torch.tensor([4, 1]))
    series = series.to(torch.device("cpu"))
    expected = np.stack([np.arange(8, 12) / 300, (np.arange(12, 16) - 30) / 15])
    np.testing.assert_allclose(series.covariates[1], expected, rtol=1e-6)
    np.testing.assert_allclose(series.values[1], np.arange(4, 8) / 190, rtol=1e-6)
    np.testing.assert_allclose(target[1], np.array([2, 3]) / 190, rtol=1e-6)


def test_windows_without_other_vital_signs_are_refused_where_the_model_needs_them() -> None:
    with pytest.raises(UserError, match=r"windows\.covariates, with model moirai-nano-multivariate"):
        window_arrays(windows(), MULTIVARIATE)


def test_a_scale_maps_its_ends_to_0_and_1_and_back() -> None:
    scale, degrees = Scale(30.0, 45.0), np.array([30, 37.5, 45, np.nan], np.float32)
    np.testing.assert_allclose(scale.scaled(degrees), [0, 0.5, 1, np.nan])
    np.testing.assert_allclose(scale.natural(scale.scaled(degrees)), degrees)
    assert scale.scaled(degrees).dtype == scale.natural(degrees).dtype == np.float32
    np.testing.assert_array_equal(Scale().scaled(degrees), degrees)


def test_windows_bring_forecasts_back_to_natural_units() -> None:
    arrays = window_arrays(windows(), PLAIN)
    np.testing.assert_allclose(arrays.scale.natural(np.array([0.5], np.float32)), [95])
    assert (len(arrays), len(arrays.on(torch.device("cpu")))) == (6, 6)


def test_a_users_own_series_have_an_unknown_future() -> None:
    table = SeriesTable(
        ["a", "b"], np.float32([[75, 150], [np.nan, 300]]), np.array(["2130-05-17"] * 2, "M8[s]"), 1800
    )
    arrays = series_arrays(table, 3, Scale(0.0, 300.0))
    np.testing.assert_array_equal(arrays.context, np.float32([[0.25, 0.5], [np.nan, 1]]))
    assert arrays.target.shape == (2, 3)
    assert np.isnan(arrays.target).all()
    assert arrays.step == 1800
    assert arrays.start.tolist() == table.start.tolist()
    assert arrays.covariates is None
