"""Alarms where there is a forecast at every step of a stay: windows with a stride of one step."""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.alarms import AlarmSummary, stay_alarms, summarise_alarms
from workflow_scripts.evaluation.events.episodes import step_numbers
from workflow_scripts.evaluation.events.tasks import EventTask
from workflow_scripts.windows.reading import Windows

SILENCE_MINUTES = 30
"""After an alarm there is none for so long (Hyland 2020, Nat Med 26:364)."""


def is_rolling(windows: Windows) -> bool:
    """Whether successive windows of a stay mostly begin one step after each other."""
    order = np.lexsort((windows.start, windows.icustay_id))
    stay = windows.icustay_id[order]
    same = stay[1:] == stay[:-1]
    apart = np.diff(windows.start[order])[same]
    return bool(len(apart)) and float(np.median(apart)) == windows.metadata.interval_minutes * 60


def rolling_alarms(task: EventTask, windows: Windows, scores: NDArray[np.float64], at: float) -> AlarmSummary:
    """Alarms of a task about any of the next steps, in every stay.

    scores: [N], of every window; those that are not eligible count as not watched. at: the cut-off.
    """
    interval = windows.metadata.interval_minutes
    numbers = step_numbers(windows)
    watched = np.where(task.eligible(windows), scores, np.nan)
    inside_now = task.condition.holds(windows.context[:, -1]) & (windows.steps_since_observed == 0)
    inside_later = task.condition.holds(windows.target)
    silence = max(1, SILENCE_MINUTES // interval)
    stays = []
    for stay in np.unique(windows.icustay_id):
        rows = np.flatnonzero(windows.icustay_id == stay)
        first = numbers[rows, 0].min() - 1
        length = int(numbers[rows, -1].max() - first) + 1
        inside, probabilities = np.zeros(length, np.bool_), np.full(length, np.nan)
        inside[(numbers[rows] - first)[inside_later[rows]]] = True
        now = numbers[rows, 0] - 1 - first
        inside[now[inside_now[rows]]] = True
        probabilities[now] = watched[rows]
        stays.append(stay_alarms(inside, probabilities, at, silence, task.steps))
    return summarise_alarms(stays, interval)
