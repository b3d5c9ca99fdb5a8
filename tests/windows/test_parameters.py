"""Settings of the windows: the documented defaults, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.helpers.settings_bounds import assert_bound
from workflow_scripts.windows.parameters import WindowParameters


def test_the_defaults_are_a_day_of_hours_before_and_half_a_day_after() -> None:
    assert WindowParameters().model_dump() == {
        "interval_minutes": 60,
        "context": 24,
        "horizon": 12,
        "train_stride": 12,
        "test_stride": None,
        "placement": "anywhere",
        "minimum_context_observed": 12,
        "minimum_horizon_observed": 6,
        "horizon_may_be_cut": True,
        "fill": "forward",
        "covariates": [],
        "smoothing": "none",
        "split": "by_patient",
        "validation_fraction": 0.15,
        "test_fraction": 0.15,
        "split_seed": 42,
    }


@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("interval_minutes", 1, 0),
        ("interval_minutes", 1440, 1441),
        ("train_stride", 1, 0),
        ("test_stride", 1, 0),
        ("minimum_context_observed", 1, 0),
        ("minimum_horizon_observed", 1, 0),
        ("validation_fraction", 0.001, 0.0),
        ("test_fraction", 0.001, 0.0),
        ("split_seed", 0, -1),
    ],
)
def test_a_setting_has_its_bounds(name: str, last: Any, beyond: Any) -> None:
    assert_bound(WindowParameters, name, last, beyond)


def test_a_context_has_at_least_two_steps_and_a_horizon_one() -> None:
    smallest = {"context": 2, "horizon": 1, "minimum_context_observed": 1, "minimum_horizon_observed": 1}
    assert WindowParameters(**smallest).context == 2
    for name, beyond in (("context", 1), ("horizon", 0)):
        with pytest.raises(ValidationError, match=f"(?s){name}.*greater than or equal to"):
            WindowParameters(**smallest | {name: beyond})


@pytest.mark.parametrize(
    ("accepted", "refused", "message"),
    [
        (
            {"minimum_context_observed": 24},
            {"minimum_context_observed": 25},
            r"must not exceed context \(24\)",
        ),
        (
            {"minimum_horizon_observed": 12},
            {"minimum_horizon_observed": 13},
            r"must not exceed horizon \(12\)",
        ),
        (
            {"validation_fraction": 0.25, "test_fraction": 0.74},
            {"validation_fraction": 0.25, "test_fraction": 0.75},
            "must leave something to train on",
        ),
        ({"covariates": ["spo2", "heart_rate"]}, {"covariates": ["spo2", "spo2"]}, "each vital sign once"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    accepted: dict[str, Any], refused: dict[str, Any], message: str
) -> None:
    assert WindowParameters(**accepted).model_dump().items() >= accepted.items()
    with pytest.raises(ValidationError, match=message):
        WindowParameters(**refused)


def test_a_vital_sign_is_no_covariate_of_itself() -> None:
    settings = WindowParameters(covariates=["spo2", "heart_rate"])
    assert settings.covariates_of("spo2") == ["heart_rate"]
    assert settings.covariates_of("temperature") == ["spo2", "heart_rate"]
