"""Event probabilities of one run: at a step from its quantiles, over several steps from how its errors go together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.probabilities import (
    any_bounds,
    any_if_independent,
    joint_probability,
    probability_below,
)
from workflow_scripts.evaluation.events.run_paths import Joint, column_of
from workflow_scripts.evaluation.events.tasks import EventTask
from workflow_scripts.windows.reading import Windows

Array = NDArray[np.float64]

FEWEST_RANKS = 100
"""Fully observed validation windows from which on joint probabilities are computed: 1 % steps."""

MOST_RANKS = 300


@dataclass(frozen=True)
class Forecasts:
    """Quantiles [N, levels, horizon] of these windows, natural units.

    joint: probabilities of events over several steps from the model's own paths, where it drew some (run_paths.py).
    """

    windows: Windows
    quantiles: NDArray[np.float32]
    levels: Sequence[float]
    joint: Joint | None = None


@dataclass(frozen=True)
class EventScore:
    """The score of a task for every window, [N]; higher is more likely.

    is_probability: False where it only ranks the windows. lowest, highest: bounds of the probability; the same where it
    is known.
    """

    values: Array
    is_probability: bool
    lowest: Array
    highest: Array


def validation_ranks(validation: Forecasts, steps: int) -> Array | None:
    """F(y) of the first steps of validation windows that are fully observed there, [M, steps]; None where too few."""
    target = validation.windows.target[:, :steps]
    ranks = probability_below(validation.quantiles[:, :, :steps], validation.levels, target, inclusive=True)
    ranks = ranks[~np.isnan(ranks).any(axis=1)][:MOST_RANKS]
    return ranks if len(ranks) >= FEWEST_RANKS else None


def event_score(task: EventTask, forecasts: Forecasts, validation: Forecasts) -> EventScore | None:
    """The score of a task; None where nothing can be said, as of a sustained event without joint probabilities.

    Over several steps the probability comes from the model's paths where there are some, else from the ranks of the
    run's own validation forecasts (Schaake shuffle). Of too few of these the windows are ranked as if the steps were
    independent, which is no probability.
    """
    steps = task.condition.probability(forecasts.quantiles[:, :, : task.steps], forecasts.levels)
    if task.form == "at":
        at = steps[:, -1]
        return EventScore(at, True, at, at)
    lowest, highest = any_bounds(steps)
    if forecasts.joint is not None:
        return EventScore(forecasts.joint[column_of(task)], True, lowest, highest)
    ranks = validation_ranks(validation, task.steps)
    if task.form == "sustained":
        if ranks is None:
            return None
        values = joint_probability(steps, ranks, task.condition.is_low, task.run)
        return EventScore(values, True, values, values)
    if ranks is None:
        return EventScore(any_if_independent(steps), False, lowest, highest)
    values = joint_probability(steps, ranks, task.condition.is_low)
    return EventScore(values, True, lowest, highest)
