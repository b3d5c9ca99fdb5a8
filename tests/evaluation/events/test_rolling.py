"""Rolling origins: a stay's windows, one step after each other, are put together to its series."""

from dataclasses import replace

import numpy as np

from tests.evaluation.events import simulated
from workflow_scripts.evaluation.events.rolling import is_rolling, rolling_alarms
from workflow_scripts.evaluation.events.tasks import event_tasks

# Hours 0 to 11 of a stay; its windows are forecast at hours 0 to 7 and 9 to 11.
PRESSURE = [75, 74, 73, 72, 70, 69, 68, 66, 63, 67, 72, 74]
P = np.array([0.1, 0.6, 0.7, 0.2, 0.2, 0.8, 0.9, 0.3, 0.1, 0.1, 0.1])
HOURS = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11]


def stay():
    """The windows of the stay, with 12 hours of 80 mmHg after the last."""
    series = np.array(PRESSURE + [80] * 12, np.float32)
    windows = simulated.windows(11, per_patient=11)
    windows.context[:] = 80
    for row, hour in enumerate(HOURS):
        windows.context[row, -1] = series[hour]
        windows.target[row] = series[hour + 1 : hour + 13]
    return replace(windows, start=np.array(HOURS) * 3600)


def test_alarms_of_a_stay_are_those_of_its_series():
    windows = stay()
    task = next(
        each
        for each in event_tasks(windows.metadata)
        if (each.form, each.population, each.steps) == ("any", "onset", 3)
    )
    found = rolling_alarms(task, windows, P, 0.5)
    # Without silence, as 30 minutes are less than a step: alarms at 1, 2, 5 and 6; the onset is at 8.
    assert found.per_patient_day == 4 / (11 / 24)
    assert found.ppv == 0.5
    assert (found.onsets, found.detected, found.median_lead_minutes) == (1, 1, 180)


def test_windows_that_begin_a_step_apart_are_rolling():
    assert is_rolling(stay())
    assert not is_rolling(simulated.windows(10, per_patient=5))
    assert not is_rolling(simulated.windows(10))
