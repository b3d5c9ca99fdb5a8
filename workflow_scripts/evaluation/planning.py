"""Which arms are compared: fixed before any test error is seen, chosen by validation loss alone."""

from collections.abc import Sequence
from itertools import groupby

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.summary import FIRST_ARMS
from workflow_scripts.models.registry import MULTIVARIATE_VARIANTS


def is_baseline(arm: ArmSummary) -> bool:
    """Whether nothing was trained and nothing could be: persistence, AutoETS and the like."""
    return arm.first.arm == "fit" and arm.first.training_steps is None


def is_from_scratch(arm: ArmSummary) -> bool:
    """Whether the model had no weights before it saw the study's training windows."""
    return arm.first.arm.startswith("fit") and not is_baseline(arm)


def best_on_validation(arms: Sequence[ArmSummary]) -> ArmSummary:
    """The arm with the smallest validation loss, mean over seeds; the first one where none was trained."""
    trained = [arm for arm in arms if arm.mean("best_validation_loss") is not None]
    return min(trained, key=lambda arm: arm.mean("best_validation_loss") or 0.0, default=arms[0])


def planned_comparisons(arms: Sequence[ArmSummary]) -> list[tuple[ArmSummary, ArmSummary]]:
    """Which arms of one cohort and vital sign are compared.

    Every arm with zero-shot of its model; every parameter-efficient arm with full fine-tuning of its model; every arm
    of a multivariate variant with the same arm of the model whose weights it has; and of every foundation model the arm
    with the smallest validation loss with each baseline and with each arm of each model trained from scratch (one is
    trained with another loss, so that validation cannot choose among those).
    """
    pairs = []
    every = {(arm.first.model, arm.first.arm): arm for arm in arms}
    others = [arm for arm in arms if is_baseline(arm) or is_from_scratch(arm)]
    for model, group in groupby(arms, key=lambda arm: arm.first.model):
        own = list(group)
        named = {arm.first.arm: arm for arm in own}
        pairs += [
            (arm, named["zero-shot"]) for arm in own if "zero-shot" in named and arm.first.arm != "zero-shot"
        ]
        pairs += [(arm, named["full"]) for arm in own if "full" in named and arm.first.arm not in FIRST_ARMS]
        if model in MULTIVARIATE_VARIANTS:
            univariate = MULTIVARIATE_VARIANTS[model].weights_of
            pairs += [
                (arm, every[univariate, arm.first.arm]) for arm in own if (univariate, arm.first.arm) in every
            ]
        if own[0] not in others:
            pairs += [(best_on_validation(own), other) for other in others]
    return pairs
