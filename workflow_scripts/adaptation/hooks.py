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
