"""Settings of the statistics: the documented defaults, and the bounds beyond which they make no sense."""

from typing import Any

import pytest

from tests.helpers.settings_bounds import assert_bound
from workflow_scripts.evaluation.parameters import EvaluationParameters


def test_the_defaults_are_those_that_docs_statistics_describes() -> None:
    assert EvaluationParameters().model_dump() == {
        "resamples": 5000,
        "seed": 0,
        "confidence": 0.95,
        "minimum_patients": 10,
        "baseline": "persistence",
        "rank_margin": 0.01,
        "close_margin": 0.05,
        "minimum_seeds": 3,
    }


@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("resamples", 200, 199),
        ("seed", 0, -1),
        ("confidence", 0.51, 0.5),
        ("confidence", 0.999, 1.0),
        ("minimum_patients", 2, 1),
        ("rank_margin", 0.0, -0.001),
        ("close_margin", 0.0, -0.001),
        ("minimum_seeds", 1, 0),
    ],
)
def test_a_setting_has_its_bounds(name: str, last: Any, beyond: Any) -> None:
    assert_bound(EvaluationParameters, name, last, beyond)
