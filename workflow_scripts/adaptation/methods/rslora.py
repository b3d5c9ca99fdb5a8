"""rsLoRA (Kalajdzievski 2023, arXiv 2312.03732): LoRA, scaled by alpha / sqrt(rank)."""

from typing import Any

from workflow_scripts.adaptation.peft_adapters import LowRankAdapter


class RsLora(LowRankAdapter):
    """As many numbers as LoRA."""

    name = "rslora"
    label = "rsLoRA"

    def lora_options(self) -> dict[str, Any]:
        """Another scale."""
        return {"use_rslora": True}


METHOD = RsLora()
