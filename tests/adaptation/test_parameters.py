"""Settings of the methods: the documented defaults, and the bounds beyond which they make no sense."""

from typing import Any

import pytest

from tests.helpers.settings_bounds import assert_bound
from workflow_scripts.adaptation.parameters import AdaptationParameters


def test_the_defaults_are_the_papers_lora_and_each_methods_own() -> None:
    assert AdaptationParameters().model_dump() == {
        "targets": "attention",
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "lora_initialisation": "gaussian",
        "adalora_start": 1.5,
        "adalora_warmup": 0.1,
        "adalora_final": 0.5,
        "adalora_orthogonality": 0.1,
        "fourierft_coefficients": 50,
        "fourierft_scaling": 150.0,
        "fourierft_initialisation": "zeros",
        "vera_scale": 0.1,
    }


@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("lora_alpha", 1e-9, 0),
        ("lora_dropout", 0.0, -0.01),
        ("lora_dropout", 0.99, 1.0),
        ("adalora_start", 1.01, 1.0),
        ("adalora_warmup", 0.0, -0.01),
        ("adalora_warmup", 0.99, 1.0),
        ("adalora_final", 0.0, -0.01),
        ("adalora_final", 0.99, 1.0),
        ("adalora_orthogonality", 0.0, -0.01),
        ("fourierft_coefficients", 1, 0),
        ("fourierft_scaling", 1e-9, 0.0),
        ("vera_scale", 1e-9, 0.0),
    ],
)
def test_a_setting_has_its_bounds(name: str, last: Any, beyond: Any) -> None:
    assert_bound(AdaptationParameters, name, last, beyond)
