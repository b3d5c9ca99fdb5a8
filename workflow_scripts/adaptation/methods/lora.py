"""LoRA (Hu et al. 2021, arXiv 2106.09685): W + (alpha / rank) B A, A random and B zero."""

from workflow_scripts.adaptation.peft_adapters import LowRankAdapter


class Lora(LowRankAdapter):
    """Two factors, which add r (in + out) numbers to each matrix."""

    name = "lora"
    label = "LoRA"


METHOD = Lora()
