"""A tiny model of each family under each arm, trained for a few steps once and shared by all tests of it."""

from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from tests.helpers.tiny_families import CONTEXT, TARGET, UNIFORMS, tiny
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import ForecastModel

PEFT_ARMS = (
    "lora-r2", "rslora-r2", "dora-r2", "pissa-r2", "adalora-r2", "vera-r4", "fourierft", "layernorm", "ia3",
)  # fmt: skip
SELECTING_ARMS = ("bitfit", "head-only")
STEPS = 4


@dataclass
class TrainedArm:
    """What was there before and after training. States have the module's own names, wrapped or not."""

    arm: Arm
    model: ForecastModel
    hooks: TrainingHooks
    trainable: set[str]
    start: dict[str, Tensor]
    loss_before: float
    loss_after: float = field(default=0.0)
    forecast: Tensor = field(default_factory=lambda: torch.empty(0))


@cache
def trained(family: str, name: str) -> TrainedArm:
    """Adapt the family's tiny model, take four steps of AdamW, and forecast."""
    model, arm = tiny(family), Arm.parse(name)
    hooks = adapt(model, arm, AdaptationParameters(), seed=3, steps=STEPS)
    named = model.module.named_parameters(remove_duplicate=False)
    result = TrainedArm(
        arm,
        model,
        hooks,
        {name for name, weight in named if weight.requires_grad},
        {name: value.clone() for name, value in model.module.state_dict().items()},
        loss(model),
    )
    train(model, hooks)
    result.loss_after, result.forecast = loss(model), model.sample(CONTEXT, UNIFORMS)
    return result


def train(model: ForecastModel, hooks: TrainingHooks, steps: range = range(1, STEPS + 1)) -> None:
    """The training loop's order of calls, in little."""
    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=0.01)
    model.module.train()
    for step in steps:
        optimiser.zero_grad()
        (model.loss(CONTEXT, TARGET) + hooks.penalty()).backward()
        optimiser.step()
        hooks.after_step(step)
    model.module.eval()


@torch.no_grad()
def loss(model: ForecastModel) -> float:
    """The loss on the few series."""
    return float(model.loss(CONTEXT, TARGET))
