"""Training from a random start with a loss of shape and time."""

from workflow_scripts.adaptation.method import FromScratch


class TrainedDilate(FromScratch):
    """DILATE (Le Guen and Thome 2019, arXiv 1909.09020)."""

    name = "trained-dilate"
    label = "trained, DILATE loss"
    loss = "dilate"


METHOD = TrainedDilate()
