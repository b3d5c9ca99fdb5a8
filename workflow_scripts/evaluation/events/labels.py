"""Did the event happen? Labels of windows from their targets: 1, 0, or NaN where it cannot be said."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.definitions import Condition

Array = NDArray[np.float64]
Targets = NDArray[np.float32]


def label_at(target: Targets, condition: Condition, step: int) -> Array:
    """Whether the value at a step (1 is the first) is in the event, [N]; NaN where nothing was observed there."""
    values = target[:, step - 1]
    return np.where(np.isnan(values), np.nan, condition.holds(values))


def label_any(target: Targets, condition: Condition, steps: int, half: bool = False) -> Array:
    """Whether any of the first `steps` values is in the event, [N].

    NaN unless all of them were observed, whatever those say that were. half: NaN unless half of them were observed;
    what was not observed is then no event.
    """
    return label_sustained(target, condition, steps, 1, half)


def label_sustained(target: Targets, condition: Condition, steps: int, run: int, half: bool = True) -> Array:
    """Whether `run` successive ones of the first `steps` values are in the event, [N].

    NaN unless half of the steps (all, where not half) were observed. What was not observed breaks a run.
    """
    values = target[:, :steps]
    inside = condition.holds(values)
    windows = np.lib.stride_tricks.sliding_window_view(inside, run, axis=1)
    runs = np.asarray(windows).all(axis=-1).any(axis=-1)
    enough = (~np.isnan(values)).mean(axis=1) >= (0.5 if half else 1.0)
    return np.where(enough, runs.astype(np.float64), np.nan)
