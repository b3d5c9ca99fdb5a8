"""The models of the paper's families in a study, and the arms of each that its findings compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.evaluation.names import listed, method_name
from workflow_scripts.evaluation.resampled_task import ResampledArm, ResampledTask
from workflow_scripts.models.registry import MULTIVARIATE_VARIANTS

FAMILIES = {"chronos": "Chronos", "lag-llama": "Lag-Llama", "moirai": "MOIRAI"}
"""Those of the paper, as run records name them, and as it does."""

KINDS = {kind: method_name(kind) for kind in ("zero-shot", "full", "lora")}
"""What is compared of each model, and its name."""


@dataclass(frozen=True)
class Model:
    """The arms of one model that the findings speak of; lora is the rank with the smallest validation error."""

    name: str
    family: str
    parameters: int
    arms: dict[str, ResampledArm]
    lora: ResampledArm | None
    ranks: list[ResampledArm]

    def arm(self, kind: str) -> ResampledArm | None:
        """zero-shot, full, or lora."""
        return self.lora if kind == "lora" else self.arms.get(kind)


def models_of(task: ResampledTask) -> list[Model]:
    """Every model of the study but multivariate variants, in its order."""
    models = []
    for name, group in groupby(task.arms, key=lambda arm: arm.summary.first.model):
        if name in MULTIVARIATE_VARIANTS:  # The paper forecasts each vital sign alone.
            continue
        arms = {arm.summary.first.arm: arm for arm in group}
        ranks = [arm for arm in arms.values() if arm.summary.method == "lora"]
        lora = None
        if ranks:
            chosen = recommended([arm.summary for arm in ranks]) or ranks[0].summary
            lora = next(arm for arm in ranks if arm.summary is chosen)
        first = next(iter(arms.values())).summary.first
        smallest = min(arm.summary.first.total_parameters or 0 for arm in arms.values())
        models.append(Model(name, first.family, smallest, arms, lora, ranks))
    return models


def arms_of(models: Sequence[Model], kind: str) -> list[ResampledArm]:
    """One arm of each model that has it."""
    return [arm for model in models if (arm := model.arm(kind)) is not None]


def missing_arms(models: Sequence[Model], family: str, *kinds: str) -> str:
    """Why arms of these models are not there; empty where every model has them all."""
    if not models:
        return none_of(FAMILIES[family])
    lacking = [KINDS[kind] for kind in kinds if len(arms_of(models, kind)) < len(models)]
    return f"no arm of {listed(lacking)} in the study" if lacking else ""


def none_of(name: str) -> str:
    """Says that a family has no model here."""
    return f"no such model of {name} in the study"
