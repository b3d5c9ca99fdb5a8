"""Settings of the adaptation methods."""

from typing import Literal

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class AdaptationParameters(Parameters):
    """How each method is set; docs/methods.md says what each one trains.

    The defaults are the paper's LoRA (arXiv 2405.10216): W' = W + (alpha / rank) B A on all attention
    projections, A Gaussian, B zero.
    """

    targets: Literal["attention", "all-linear"] = Field(
        "attention",
        description="what the low-rank methods and FourierFT change: the attention projections (the paper's "
        "choice), or every linear map of the blocks",
    )
    lora_alpha: float = Field(
        16,
        gt=0,
        description="scale of the low-rank update: alpha / rank (rsLoRA: alpha / sqrt(rank); AdaLoRA: alpha / "
        "initial rank)",
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout before the first factor of the low-rank methods"
    )
    lora_initialisation: Literal["gaussian", "kaiming"] = Field(
        "gaussian", description="first factor of LoRA, rsLoRA and DoRA at the start; the second one is zero"
    )
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
    vera_scale: float = Field(0.1, gt=0, description="VeRA's scaling of the first projection at the start")
    fourierft_coefficients: int = Field(50, ge=1, description="FourierFT's coefficients for each matrix")
    fourierft_scaling: float = Field(150.0, gt=0, description="FourierFT's scaling of the update")
    fourierft_initialisation: Literal["zeros", "gaussian"] = Field(
        "zeros", description="FourierFT's coefficients at the start; zeros start as the base model"
    )
