"""Settings of training and forecasts: the documented defaults, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.helpers.settings_bounds import assert_bound
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters, TuningParameters


def test_the_default_budget_is_the_one_that_every_arm_of_the_study_has() -> None:
    assert TrainingParameters().model_dump() == {
        "steps": 100,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "warmup_fraction": 0.1,
        "gradient_clip": 1.0,
        "evaluate_every": 10,
        "patience": 5,
        "precision": "float32",
        "from_scratch": "released",
        "checkpoint_seconds": 60,
    }


def test_the_default_forecast_is_nine_deciles_of_ten_paths_and_the_papers_of_twenty() -> None:
    assert ForecastParameters(protocol="paper").samples == 20
    assert ForecastParameters(protocol="paper", samples=30).samples == 30
    assert ForecastParameters().model_dump() == {
        "protocol": "standard",
        "samples": 10,
        "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "event_paths": 0,
        "lag_llama_sampler": "exact",
        "batch_size": 64,
    }


@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("steps", 1, 0),
        ("batch_size", 1, 0),
        ("learning_rate", 1e-9, 0.0),
        ("weight_decay", 0.0, -1e-9),
        ("warmup_fraction", 0.0, -1e-9),
        ("warmup_fraction", 1.0, 1.001),
        ("gradient_clip", 1e-9, 0.0),
        ("evaluate_every", 1, 0),
        ("patience", 1, 0),
        ("checkpoint_seconds", 0.0, -1.0),
    ],
)
def test_a_setting_of_the_budget_has_its_bounds(name: str, last: Any, beyond: Any) -> None:
    assert_bound(TrainingParameters, name, last, beyond)


@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("learning_rates", [1e-9, 1.0], [0.0, 1.0]),
        ("steps", [1, 2], [2, 0]),
        ("learning_rates", [0.1, 0.2], [0.1, 0.2, 0.1]),
        ("steps", [], [5, 5]),
    ],
)
def test_candidates_are_above_zero_and_named_once(name: str, last: Any, beyond: Any) -> None:
    assert_bound(TuningParameters, name, last, beyond)


@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("batch_size", 1, 0),
        ("quantiles", [0.1, 0.5, 0.9], [0.1, 0.5, 0.9, 0.95, 0.94]),
        ("quantiles", [0.1, 0.5, 0.7, 0.9], [0.1, 0.5, 0.5, 0.9]),
        ("quantiles", [0.1, 0.5, 0.9], [0.0, 0.1, 0.5, 0.9]),
        ("quantiles", [0.1, 0.5, 0.9], [0.1, 0.5, 0.9, 1.0]),
        ("quantiles", [0.1, 0.5, 0.9], [0.1, 0.5]),
    ],
)
def test_levels_rise_between_0_and_1_and_hold_the_median_and_the_80_percent_interval(
    name: str, last: Any, beyond: Any
) -> None:
    assert_bound(ForecastParameters, name, last, beyond)


@pytest.mark.parametrize(
    ("quantiles", "fewest"),
    [
        ([0.1, 0.5, 0.9], 10),
        ([0.05, 0.1, 0.5, 0.9], 20),
        ([0.1, 0.5, 0.9, 0.98], 50),
        ([0.1, 0.5, 0.9, 0.97], 34),
    ],
)
def test_there_are_enough_paths_for_the_outermost_level(quantiles: list[float], fewest: int) -> None:
    """One path in 1 / tail lies beyond the level, tail being the smaller side."""
    assert ForecastParameters(quantiles=quantiles, samples=fewest).samples == fewest
    with pytest.raises(ValidationError, match=f"{fewest - 1} are too few for .*; at least {fewest}"):
        ForecastParameters(quantiles=quantiles, samples=fewest - 1)
