"""The training budget of the study's released models, which were trained from scratch."""

from collections.abc import Mapping
from math import ceil

from workflow_scripts.training.parameters import TrainingParameters

NO_CLIPPING = 1e9
"""A norm that no gradient reaches."""


def released_budget(training: Mapping[str, float], windows: int) -> TrainingParameters:
    """The budget that `training` of models/variants.yaml states, for so many training windows.

    Validation comes after every epoch, and patience counts epochs. There is no warm-up, no weight decay and no
    clipping, so that AdamW is the study's Adam. One thing differs: the rate falls along half a cosine over all
    epochs, where the study kept it; after a fifth of them, about where its released runs stopped, it is still 90 %.
    """
    batch_size = round(training["batch_size"])
    epoch = ceil(windows / batch_size)
    return TrainingParameters(
        steps=round(training["epochs"]) * epoch,
        batch_size=batch_size,
        learning_rate=training["learning_rate"],
        weight_decay=0.0,
        warmup_fraction=0.0,
        gradient_clip=NO_CLIPPING,
        evaluate_every=epoch,
        patience=round(training["patience"]),
    )
