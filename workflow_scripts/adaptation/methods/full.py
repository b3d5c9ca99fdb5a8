"""Full fine-tuning."""

from workflow_scripts.adaptation.method import WholeModel


class Full(WholeModel):
    """All weights train."""

    name = "full"
    label = "full fine-tuning"


METHOD = Full()
