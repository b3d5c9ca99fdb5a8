"""VeRA (Kopiczko et al. 2023, arXiv 2310.11454): two vectors between two fixed random matrices."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflow_scripts.adaptation.method import Adaptation, Plan
from workflow_scripts.adaptation.peft_adapters import LinearAdapter, LinearLayer, LinearParameters

if TYPE_CHECKING:
    from peft import PeftConfig


class VeraParameters(LinearParameters):
    """How the vectors start."""

    vera_scale: float = Field(0.1, gt=0, description="VeRA's scaling of the first projection at the start")


class Vera(LinearAdapter):
    """r + out numbers for each matrix.

    The rank is that of the random basis, which all targets share; it may be wider than the layer.
    """

    name = "vera"
    label = "VeRA"
    has_rank = True
    parameters = VeraParameters

    def count(self, layer: LinearLayer, rank: int, parameters: Any) -> int:  # noqa: ARG002
        """One number for each row of the basis, and one for each output."""
        return rank + layer.outputs

    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":  # noqa: ARG002
        """The random projections are stored too: another torch may not draw the same ones."""
        from peft import VeraConfig

        return VeraConfig(
            target_modules=self.targets(asked),
            r=asked.rank or 0,
            d_initial=asked.parameters.vera_scale,
            vera_dropout=asked.parameters.lora_dropout,
            projection_prng_key=asked.seed,
            save_projection=True,
        )


METHOD = Vera()
