"""DoRA (Liu et al. 2024, arXiv 2402.09353): LoRA for the direction, one magnitude for each output."""

from typing import Any

from workflow_scripts.adaptation.peft_adapters import LinearLayer, LowRankAdapter


class Dora(LowRankAdapter):
    """r (in + out) + out numbers for each matrix."""

    name = "dora"
    label = "DoRA"

    def count(self, layer: LinearLayer, rank: int, parameters: Any) -> int:
        """Both factors and the magnitudes."""
        return super().count(layer, rank, parameters) + layer.outputs

    def problem(self, layer: LinearLayer, rank: int, parameters: Any) -> str:
        """A row of zeros has no direction."""
        if too_large := super().problem(layer, rank, parameters):
            return too_large
        if not layer.weight.is_meta and not layer.weight.any(dim=1).all():
            return f"{layer.name} has a row of zeros, which has no direction to be scaled"
        return ""

    def lora_options(self) -> dict[str, Any]:
        """peft's weight decomposition."""
        return {"use_dora": True}


METHOD = Dora()
