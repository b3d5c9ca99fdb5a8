"""What is asked of a forecast: which event, from which windows, in which form, how far ahead."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.definitions import Condition, Event, events_of
from workflow_scripts.evaluation.events.labels import label_any, label_at, label_sustained
from workflow_scripts.windows.reading import WindowMetadata, Windows

Population = Literal["onset", "state"]
Form = Literal["at", "any", "sustained"]

HOURLY_LEADS = (60, 180, 360, 720)
FINE_LEADS = (15, 60, 180)
"""Minutes ahead, on grids of half an hour or more, and on finer ones."""

FRESH_MINUTES = 10
"""An onset can be told only where the context's last value is no older than this."""

SUSTAINED_MINUTES = 15
"""A sustained event lasts this long on a fine grid, and two steps on a coarse one."""


@dataclass(frozen=True)
class EventTask:
    """One question. population: onset (windows whose last value is not in the event) or state (all windows).

    form: at (in the event at the step), any (at any step up to it), sustained (at `run` successive ones of them).
    steps: how far ahead, grid steps.
    """

    event: Event
    condition: Condition
    population: Population
    form: Form
    steps: int
    lead_minutes: int
    run: int = 1

    @property
    def is_main(self) -> bool:
        """Whether it is the event's own condition, not a severer one."""
        return self.condition == self.event.main

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What identifies it among those of a vital sign."""
        return self.event.name, str(self.condition), self.population, self.form, self.lead_minutes

    def eligible(self, windows: Windows) -> NDArray[np.bool_]:
        """Which windows may be asked, [N]; what is to be foreseen is never looked at."""
        if self.population == "state":
            return np.ones(len(windows), np.bool_)
        fresh = windows.steps_since_observed <= FRESH_MINUTES // windows.metadata.interval_minutes
        last = windows.context[:, -1]
        return fresh & ~np.isnan(last) & ~self.condition.holds(last)

    def labels(self, windows: Windows) -> NDArray[np.float64]:
        """1, 0 or NaN for each window, whether eligible or not."""
        target = windows.target
        if self.form == "at":
            return label_at(target, self.condition, self.steps)
        if self.form == "any":
            return label_any(target, self.condition, self.steps)
        return label_sustained(target, self.condition, self.steps, self.run)


def lead_steps(metadata: WindowMetadata) -> list[int]:
    """How far ahead events are judged, in grid steps: the leads that are on the grid and within the horizon."""
    interval = metadata.interval_minutes
    leads = HOURLY_LEADS if interval >= 30 else FINE_LEADS
    return [
        lead // interval for lead in leads if lead % interval == 0 and lead // interval <= metadata.horizon
    ]


def event_tasks(metadata: WindowMetadata) -> list[EventTask]:
    """Every question for a vital sign, the main ones first; none for one without events, or without a lead in reach."""
    leads = lead_steps(metadata)
    if not leads:
        return []
    return [
        task
        for event in events_of(metadata.vital)
        for task in _tasks_of(event, leads, metadata.interval_minutes)
    ]


def _tasks_of(event: Event, leads: list[int], interval: int) -> Iterator[EventTask]:
    def task(condition: Condition, population: Population, form: Form, steps: int, run: int = 1) -> EventTask:
        return EventTask(event, condition, population, form, steps, steps * interval, run)

    run = max(2, SUSTAINED_MINUTES // interval)
    yield from (task(event.main, "onset", "at", steps) for steps in leads)
    yield from (task(event.main, "onset", "any", steps) for steps in leads if steps > 1)
    if leads[-1] >= run:
        yield task(event.main, "onset", "sustained", leads[-1], run)
    yield from (task(event.main, "state", "at", steps) for steps in leads)
    for condition in event.severe:
        yield from (task(condition, "onset", "at", steps) for steps in leads)


def refusal(metadata: WindowMetadata) -> str:
    """Why events are not judged on such windows; empty where they are."""
    if metadata.split_kind == "by_window_leaky":
        return "the split is leaky: windows of one stay are in train and in test"
    if metadata.smoothing != "none":
        return "the series are smoothed: a step of the future is in the context"
    if metadata.fill == "forward_backward":
        return "gaps are filled backward: the past of a context is not what was known then"
    return ""
