"""Training from a random start with the plain loss."""

from workflow_scripts.adaptation.method import FromScratch


class Trained(FromScratch):
    """The mean squared error."""

    name = "trained"
    label = "trained"
    loss = "mse"


METHOD = Trained()
