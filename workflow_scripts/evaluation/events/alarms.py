"""Alarms of a monitor that forecasts at every step: how many, how many true, how long before the event."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StayAlarms:
    """Alarms of one stay. alarms: their steps; true: of each whether an onset follows in time.

    watched: steps at which an alarm could have been given. onsets: events that began after a watched step; leads: steps
    from the first true alarm to each of those that had one.
    """

    alarms: NDArray[np.int64]
    true: NDArray[np.bool_]
    watched: int
    onsets: int
    leads: NDArray[np.int64]


@dataclass(frozen=True)
class AlarmSummary:
    """Over all stays. ppv, median_lead_minutes: None without alarms, or without a detected onset."""

    per_patient_day: float | None
    ppv: float | None
    onsets: int
    detected: int
    median_lead_minutes: float | None


def stay_alarms(
    inside: NDArray[np.bool_], probabilities: Array, at: float, silence: int, reach: int
) -> StayAlarms:
    """Give alarms in one stay, step by step.

    inside: [steps], whether the patient is in the event (not observed: no). probabilities: [steps], of an event within
    `reach` steps, NaN where no forecast was made. An alarm is given where the probability is at least `at`, the patient
    is not in the event, and the last alarm is at least `silence` steps ago. It is true if an onset follows within
    `reach` steps.
    """
    watched = ~np.isnan(probabilities) & ~inside
    begins = np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1]]))
    wanted = np.flatnonzero(watched & (np.nan_to_num(probabilities, nan=-1.0) >= at))
    alarms: list[int] = []
    for step in wanted.tolist():
        if not alarms or step - alarms[-1] >= silence:
            alarms.append(step)
    given = np.array(alarms, np.int64)
    ahead = begins[None, :] - given[:, None]
    warned = (ahead > 0) & (ahead <= reach)
    foreseeable = [begin for begin in begins.tolist() if watched[max(0, begin - reach) : begin].any()]
    first = [
        ahead[warned[:, number], number].max() for number in range(len(begins)) if warned[:, number].any()
    ]
    return StayAlarms(
        alarms=given,
        true=np.asarray(warned.any(axis=1)),
        watched=int(watched.sum()),
        onsets=len(foreseeable),
        leads=np.array(first, np.int64),
    )


def summarise_alarms(stays: Iterable[StayAlarms], interval_minutes: int) -> AlarmSummary:
    """Alarms per watched patient-day, share of true ones, and the median lead, over all stays."""
    every = list(stays)
    days = sum(stay.watched for stay in every) * interval_minutes / (24 * 60)
    alarms = sum(len(stay.alarms) for stay in every)
    leads = np.concatenate([stay.leads for stay in every]) if every else np.empty(0)
    return AlarmSummary(
        per_patient_day=alarms / days if days else None,
        ppv=sum(int(stay.true.sum()) for stay in every) / alarms if alarms else None,
        onsets=sum(stay.onsets for stay in every),
        detected=len(leads),
        median_lead_minutes=float(np.median(leads)) * interval_minutes if len(leads) else None,
    )
