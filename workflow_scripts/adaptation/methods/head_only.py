"""Training of the head alone."""

from typing import TYPE_CHECKING

from workflow_scripts.adaptation.selection import Selection

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel


class HeadOnly(Selection):
    """What turns the last hidden state into the parameters of a forecast trains."""

    name = "head-only"
    label = "head only"

    def pattern(self, model: "ForecastModel") -> str:
        """The head."""
        return model.head_parameters


METHOD = HeadOnly()
