"""What a method asks of the training loop, so that the loop needs to know no method."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class TrainingHooks:
    """Most methods ask nothing."""

    def penalty(self) -> "Tensor | float":
        """What is added to the training loss (never to the validation loss)."""
        return 0.0

    def after_step(self, step: int) -> None:
        """Called after the optimiser's step `step` (1 is the first), while the gradients are still there."""

    def may_keep(self, step: int) -> bool:  # noqa: ARG002 (subclasses use it)
        """Whether the weights after this step (0 is before the first) may be kept as the result."""
        return True

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the weights: text keys, lists, tensors, and what JSON holds."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was taken."""


_RUNNING = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""peft's names of the importance of every weight, its mean and its uncertainty."""


class AdaLoraHooks(TrainingHooks):
    """AdaLoRA's two duties beside the gradient (Zhang et al. 2023, arXiv 2303.10512).

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
