"""Which windows share an event: the same patient's one episode is counted once."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.definitions import Condition
from workflow_scripts.windows.reading import Windows


def step_numbers(windows: Windows) -> NDArray[np.int64]:
    """A number for each step of each target, [N, H]: the same step of a stay has one, successive ones follow."""
    interval = windows.metadata.interval_minutes * 60
    stay = np.unique(windows.icustay_id, return_inverse=True)[1]
    first = (windows.start - windows.start.min(initial=0)) // interval + windows.metadata.context
    # Room between two stays, so that the last step of one is not followed by the first of the next.
    room = int(first.max(initial=0)) + windows.metadata.horizon + 2
    return stay[:, None] * room + first[:, None] + np.arange(windows.metadata.horizon)


def count_episodes(windows: Windows, condition: Condition, happened: NDArray[np.bool_], steps: range) -> int:
    """Distinct episodes of the event that the windows with `happened` see in these steps of their targets.

    An episode is a run of successive values in the event; what was not observed ends it. steps: from 0.
    """
    numbers, inside = step_numbers(windows), condition.holds(windows.target)
    known = np.unique(numbers[inside])
    episode = np.cumsum(np.diff(known, prepend=-2) != 1)
    seen = np.zeros_like(inside)
    seen[:, steps.start : steps.stop] = inside[:, steps.start : steps.stop]
    own = numbers[seen & happened[:, None]]
    return len(np.unique(episode[np.searchsorted(known, own)])) if len(own) else 0
