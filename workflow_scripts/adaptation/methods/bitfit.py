"""BitFit (Ben Zaken et al. 2021, arXiv 2106.10199)."""

from typing import TYPE_CHECKING

from workflow_scripts.adaptation.selection import Selection

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel


class BitFit(Selection):
    """All biases train."""

    name = "bitfit"
    label = "BitFit"

    def pattern(self, model: "ForecastModel") -> str:
        """Biases of linear maps and of attention scores."""
        return model.bias_parameters


METHOD = BitFit()
