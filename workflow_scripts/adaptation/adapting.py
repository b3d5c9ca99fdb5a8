"""How an arm changes a base model before training."""

from typing import TYPE_CHECKING

from workflow_scripts.adaptation.arms import SCRATCH_ARMS, Arm
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.method import Adaptation, Plan
from workflow_scripts.adaptation.parameters import AdaptationParameters

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel


def plan(model: "ForecastModel", arm: Arm, parameters: AdaptationParameters) -> Plan:
    """Find what the arm trains on a base model; its weights may be on torch's meta device.

    Raises UserError where the method cannot be had on this model as asked, saying why.
    """
    return _plan(arm, Adaptation(model, arm.rank, parameters))


def adapt(
    model: "ForecastModel",
    arm: Arm,
    parameters: AdaptationParameters,
    seed: int,
    steps: int | None = None,
) -> TrainingHooks:
    """Prepare a base model for an arm: choose what trains, and wrap the module where the method asks for it.

    steps: of the training that follows; AdaLoRA's schedule needs it. The training loop must call the hooks
    that are returned. Raises UserError where the method cannot be had on this model as asked.
    """
    asked = Adaptation(model, arm.rank, parameters, seed, steps)
    planned = _plan(arm, asked)
    hooks = arm.definition.apply(asked, planned)
    model.module.eval()
    _require_as_planned(model, planned)
    return hooks


def _plan(arm: Arm, asked: Adaptation) -> Plan:
    method = arm.definition
    if arm.is_from_scratch and not asked.model.losses:
        method.refuse(asked, "this model has base weights, which such an arm would not use")
    if asked.model.losses and not arm.is_from_scratch:
        arms = ", ".join(each.name for each in SCRATCH_ARMS)
        method.refuse(asked, f"this model is trained from scratch: it only has {arms}")
    return method.plan(asked)


def count_parameters(model: "ForecastModel") -> dict[str, int]:
    """Total parameters (the adapter's included) and those that train."""
    weights = list(model.module.parameters())
    return {
        "total": sum(weight.numel() for weight in weights),
        "trainable": sum(weight.numel() for weight in weights if weight.requires_grad),
    }


def _require_as_planned(model: "ForecastModel", planned: Plan) -> None:
    """An arm never turns into another one: what trains is what was planned, or nothing is trained at all."""
    wrapped: set[str] = set()
    if planned.modules:
        from peft.tuners.tuners_utils import BaseTunerLayer

        named = model.module.get_base_model().named_modules()
        wrapped = {name for name, module in named if isinstance(module, BaseTunerLayer)}
    trainable = count_parameters(model)["trainable"]
    if (wrapped, trainable) != (set(planned.modules), planned.trainable):
        raise RuntimeError(
            f"{trainable} parameters train around {len(wrapped)} modules, "
            f"planned were {planned.trainable} around {len(planned.modules)}"
        )
