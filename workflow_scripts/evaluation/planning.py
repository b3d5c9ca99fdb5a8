"""Which arms are compared: fixed before any test error is seen, chosen on validation alone."""

from collections.abc import Sequence
from itertools import groupby

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.models.registry import MULTIVARIATE_VARIANTS


def planned_comparisons(arms: Sequence[ArmSummary]) -> list[tuple[ArmSummary, ArmSummary]]:
    """Which arms of one cohort and vital sign are compared.

    Every arm with zero-shot of its model; every parameter-efficient arm with full fine-tuning of its model; every arm
    of a multivariate variant with the same arm of the model whose weights it has; and of every foundation model the
    recommended arm with each baseline and with each arm of each model trained from scratch.
    """
    pairs = []
    every = {(arm.first.model, arm.first.arm): arm for arm in arms}
    others = [arm for arm in arms if arm.arm.is_baseline or arm.arm.is_from_scratch]
    for model, group in groupby(arms, key=lambda arm: arm.first.model):
        own = list(group)
        zero_shot = next((arm for arm in own if arm.arm.is_zero_shot), None)
        full = next((arm for arm in own if arm.arm.is_full), None)
        pairs += [(arm, zero_shot) for arm in own if zero_shot and arm is not zero_shot]
        pairs += [(arm, full) for arm in own if full and arm.arm.is_adapter]
        if model in MULTIVARIATE_VARIANTS:
            univariate = MULTIVARIATE_VARIANTS[model].weights_of
            pairs += [
                (arm, every[univariate, arm.first.arm]) for arm in own if (univariate, arm.first.arm) in every
            ]
        if own[0] not in others:
            pairs += [(recommended(own) or own[0], other) for other in others]
    return pairs
