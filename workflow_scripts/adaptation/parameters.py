"""Settings of the adaptation methods."""

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class AdaptationParameters(Parameters):
    """LoRA as in the paper: W' = W + (alpha / rank) B A on the attention projections."""

    lora_alpha: float = Field(16, gt=0, description="LoRA's alpha; the update is scaled by alpha / rank")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before LoRA's A")
