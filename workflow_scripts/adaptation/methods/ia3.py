"""(IA)3 (Liu et al. 2022, arXiv 2205.05638): factors of keys, values and inner activations."""

from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.method import Adaptation, Plan
from workflow_scripts.adaptation.peft_adapters import LinearAdapter, LinearLayer
from workflow_scripts.runtime.parameters import Parameters

if TYPE_CHECKING:
    from peft import PeftConfig


class Ia3(LinearAdapter):
    """One factor for each key, each value and each inner activation of a feed-forward layer."""

    name = "ia3"
    label = "(IA)³"
    parameters = Parameters

    def targets(self, asked: Adaptation) -> str:
        """Targets of its own, whatever `targets` says."""
        model = asked.model
        return "|".join(filter(None, (model.key_value_targets, model.feedforward_targets)))

    def count(self, layer: LinearLayer, rank: int, parameters: Any) -> int:  # noqa: ARG002
        """Inputs of a feed-forward layer's last map, which are the inner activations; else outputs."""
        return layer.inputs if layer.is_feedforward else layer.outputs

    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":  # noqa: ARG002
        """Which of the targets are scaled at their input."""
        from peft import IA3Config

        return IA3Config(
            target_modules=self.targets(asked), feedforward_modules=asked.model.feedforward_targets
        )


METHOD = Ia3()
