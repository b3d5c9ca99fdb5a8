"""AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): P diag(L) Q, whose least important singular values are cut."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.method import Adaptation, Plan
from workflow_scripts.adaptation.peft_adapters import LinearLayer, LinearParameters, LowRankAdapter
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from workflow_scripts.models.interface import ForecastModel


class AdaLoraParameters(LinearParameters):
    """When ranks are cut, and how orthogonal the factors are kept."""

    adalora_start: float = Field(
        1.5, gt=1, description="AdaLoRA's initial rank, as a multiple of the rank that is left in the end"
    )
    adalora_warmup: float = Field(
        0.1, ge=0, lt=1, description="share of the steps before AdaLoRA begins to cut ranks"
    )
    adalora_final: float = Field(
        0.5, ge=0, lt=1, description="share of the steps after AdaLoRA has cut all ranks"
    )
    adalora_orthogonality: float = Field(
        0.1, ge=0, description="weight of AdaLoRA's orthogonality penalty in the training loss"
    )


class AdaLora(LowRankAdapter):
    """r0 (in + out + 1) numbers for each matrix, where r0 is the initial rank; r are left on average."""

    name = "adalora"
    label = "AdaLoRA"
    parameters = AdaLoraParameters

    def first_rank(self, rank: int, parameters: AdaLoraParameters) -> int:
        """Always above the rank that is left in the end."""
        return max(rank + 1, math.ceil(rank * parameters.adalora_start))

    def count(self, layer: LinearLayer, rank: int, parameters: AdaLoraParameters) -> int:
        """Both factors and the singular values, before any is cut."""
        return self.first_rank(rank, parameters) * (layer.outputs + layer.inputs + 1)

    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":  # noqa: ARG002
        """Ranks, and when they are cut: after a warm-up step by step, and no more in the final share."""
        from peft import AdaLoraConfig

        steps, rank, parameters = asked.steps, asked.rank or 0, asked.parameters
        if steps is None or steps < 2:
            raise UserError(
                where=f"arm {self.arm_name(rank)}",
                found="no training steps" if steps is None else f"{steps} training step",
                expected="at least 2 training steps, over which ranks are cut",
                remedy="give the arm more training.steps",
            )
        warmup = min(round(parameters.adalora_warmup * steps), steps - 2)
        return AdaLoraConfig(
            target_modules=self.targets(asked),
            lora_alpha=parameters.lora_alpha,
            lora_dropout=parameters.lora_dropout,
            init_r=self.first_rank(rank, parameters),
            target_r=rank,
            tinit=warmup,
            tfinal=min(round(parameters.adalora_final * steps), steps - max(warmup, 1) - 1),
            total_step=steps,
            orth_reg_weight=parameters.adalora_orthogonality,
        )

    def hooks(self, module: Any) -> TrainingHooks:
        """The penalty and the cuts."""
        return AdaLoraHooks(module.base_model)

    def save(self, model: "ForecastModel", rank: int | None, folder: Path, base_name: str) -> dict[str, Any]:
        """Write what was cut as zeros: peft's cut form warns of keys and empty factors on every load."""
        module: Any = model.module
        _require_cut(module, rank or 0)
        module.peft_config["default"].rank_pattern = None
        return super().save(model, rank, folder, base_name)


class AdaLoraHooks(TrainingHooks):
    """AdaLoRA's two duties beside the gradient.

    P and Q are kept orthogonal by a penalty, and singular values are cut down to the budget. Weights from
    before the last cut have more rank than the arm's name says, so they are never the result.
    """

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner
        self._config = tuner.peft_config["default"]

    def penalty(self) -> "Tensor":
        """Weight times the mean of ||P'P - I|| and ||QQ' - I|| over all factors, as peft and the authors."""
        import torch

        norms = []
        for name, factor in self._tuner.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                gram = factor @ factor.T if ".lora_A." in name else factor.T @ factor
                norms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
        return self._config.orth_reg_weight * torch.stack(norms).mean()

    def after_step(self, step: int) -> None:
        """Update the importance of every singular value, and cut the least important ones."""
        self._tuner.update_and_allocate(step)

    def may_keep(self, step: int) -> bool:
        """At the start all singular values are zero; after that, once all cuts are made."""
        return step == 0 or step >= self._config.total_step - self._config.tfinal

    def state(self) -> dict[str, Any]:
        """The running importance of every weight, and what was cut."""
        running = {name: getattr(self._tuner.rankallocator, name) for name in _RUNNING}
        return {**running, "rank_pattern": self._config.rank_pattern}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was taken; tensors go to the device of their weights."""
        weights = dict(self._tuner.model.named_parameters())
        for name in _RUNNING:
            moved = {key: value.to(weights[key].device) for key, value in state[name].items()}
            setattr(self._tuner.rankallocator, name, moved)
        self._config.rank_pattern = state["rank_pattern"]


_RUNNING = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""peft's names of the importance of every weight, its mean and its uncertainty."""


def _require_cut(module: Any, rank: int) -> None:
    """Raise RuntimeError where more singular values are left than the rank allows."""
    named = module.base_model.model.named_parameters()
    values = [value for name, value in named if ".lora_E." in name]
    left, budget = sum(int(value.count_nonzero()) for value in values), rank * len(values)
    if left > budget:
        raise RuntimeError(f"{left} singular values are left, allowed are {budget}: call the training hooks")


METHOD = AdaLora()
