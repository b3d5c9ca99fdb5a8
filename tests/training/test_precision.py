"""Training in bfloat16, on a CPU: close to float32, and everything that is kept stays float32."""

import pytest
import torch

from tests.helpers.tiny_families import tiny
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters
from workflow_scripts.training.precision import adamw

from tests.training.stored_metrics import windows  # isort: skip

CPU = torch.device("cpu")


def trained(family: str, precision: str) -> tuple[ForecastModel, list[tuple[int, float]]]:
    model = tiny(family)
    adapt(model, Arm.parse("lora-r2"), AdaptationParameters(), seed=0)
    budget = TrainingParameters(steps=4, evaluate_every=4, precision=precision)
    return model, fit(model, windows(32, 1), windows(32, 2), budget, seed=0, device=CPU).validation_loss


@pytest.mark.parametrize("family", ["chronos", "moirai", "lag-llama"])
def test_training_in_half_precision_ends_near_float32_with_weights_of_float32(family: str) -> None:
    """bfloat16 has 8 bits of a number, a relative error of 2^-9 in each product; steps of the optimiser multiply it."""
    (_, expected), (model, found) = trained(family, "float32"), trained(family, "bfloat16")
    assert found != expected
    for (step, loss), (same_step, reference) in zip(found, expected, strict=True):
        assert step == same_step
        assert loss == pytest.approx(reference, abs=0.1 if step else 0.02)
    assert {weight.dtype for weight in model.module.parameters()} == {torch.float32}


def test_on_a_cpu_the_optimiser_is_torchs_own_choice() -> None:
    """The fused kernel rounds otherwise, and stored results are held to the last bit."""
    optimiser = adamw([torch.zeros(2, requires_grad=True)], 0.1, 0.0, CPU)
    assert optimiser.defaults["fused"] is None
