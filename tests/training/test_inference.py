"""From what is on disk to a forecast: which weights are loaded, and what is said where some are missing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.some_windows import some_windows
from workflow_scripts.models.registry import variant
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.inference import (
    SavedModel,
    forecast_with_saved,
    load_base_model,
    load_saved_model,
)
from workflow_scripts.training.parameters import ForecastParameters

CPU = torch.device("cpu")
MOIRAI = variant("moirai-nano")


def test_a_foundation_model_needs_the_folder_of_its_weights() -> None:
    with pytest.raises(UserError, match=r"--weights[\s\S]*the folder of moirai-nano's base weights"):
        load_base_model(MOIRAI, None)
    with pytest.raises(UserError, match="--weights"):
        load_saved_model(SavedModel(MOIRAI, None), ForecastParameters(), CPU)


def test_a_model_from_scratch_needs_the_folder_of_what_it_learned() -> None:
    with pytest.raises(UserError, match=r"--adapter[\s\S]*a run of n-hits-hr, which has no base weights"):
        load_saved_model(SavedModel(variant("n-hits-hr"), None), ForecastParameters(), CPU)


def test_an_adapter_folder_is_looked_into(tmp_path: Path) -> None:
    saved = SavedModel(MOIRAI, EMBEDDED_FOLDER / "moirai-nano", tmp_path)
    with pytest.raises(UserError, match=r"no readable arm\.json"):
        load_saved_model(saved, ForecastParameters(), CPU)


@pytest.mark.parametrize("sampler", ["exact", "frozen"])
def test_lag_llama_draws_its_paths_as_it_is_asked_to(sampler: str) -> None:
    saved = SavedModel(variant("lag-llama-nano"), EMBEDDED_FOLDER / "lag-llama-nano")
    assert load_saved_model(saved, ForecastParameters(lag_llama_sampler=sampler), CPU).sampler == sampler


def test_a_saved_model_forecasts_as_the_forecasting_loop_does() -> None:
    saved, parameters = SavedModel(MOIRAI, EMBEDDED_FOLDER / "moirai-nano"), ForecastParameters(samples=10)
    arrays, ids = window_arrays(some_windows(4), MOIRAI), np.arange(4)
    model = load_saved_model(saved, parameters, CPU)
    expected = forecast(model, arrays, ids, parameters, 3, CPU)
    np.testing.assert_array_equal(forecast_with_saved(saved, arrays, ids, parameters, 3), expected)
    assert 40 < np.median(expected) < 140, "natural units: beats a minute"
