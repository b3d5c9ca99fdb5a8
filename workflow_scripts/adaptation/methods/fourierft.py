"""FourierFT (Gao et al. 2024, arXiv 2405.03003): a few coefficients of the update's Fourier transform."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workflow_scripts.adaptation.method import Adaptation, Plan
from workflow_scripts.adaptation.peft_adapters import LinearAdapter, LinearLayer, LinearParameters

if TYPE_CHECKING:
    from peft import PeftConfig


class FourierParameters(LinearParameters):
    """How many coefficients there are, and how they start."""

    fourierft_coefficients: int = Field(50, ge=1, description="FourierFT's coefficients for each matrix")
    fourierft_scaling: float = Field(150.0, gt=0, description="FourierFT's scaling of the update")
    fourierft_initialisation: Literal["zeros", "gaussian"] = Field(
        "zeros", description="FourierFT's coefficients at the start; zeros start as the base model"
    )


class FourierFt(LinearAdapter):
    """As many numbers for each matrix as there are coefficients, at random places."""

    name = "fourierft"
    label = "FourierFT"
    parameters = FourierParameters

    def count(self, layer: LinearLayer, rank: int, parameters: FourierParameters) -> int:  # noqa: ARG002
        """The coefficients."""
        return parameters.fourierft_coefficients

    def problem(self, layer: LinearLayer, rank: int, parameters: FourierParameters) -> str:  # noqa: ARG002
        """A matrix has no more coefficients than entries."""
        coefficients = parameters.fourierft_coefficients
        if coefficients > layer.outputs * layer.inputs:
            return f"{coefficients} coefficients are more than entries: {layer}"
        return ""

    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":  # noqa: ARG002
        """The seed decides the places."""
        from peft import FourierFTConfig

        parameters: FourierParameters = asked.parameters
        return FourierFTConfig(
            target_modules=self.targets(asked),
            n_frequency=parameters.fourierft_coefficients,
            scaling=parameters.fourierft_scaling,
            random_loc_seed=asked.seed,
            init_weights=parameters.fourierft_initialisation == "zeros",
        )


METHOD = FourierFt()
