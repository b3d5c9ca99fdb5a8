"""The point values of one arm, or baseline, for one event: means over its seeds."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.baselines import Splits
from workflow_scripts.evaluation.events.calibration import calibration_line, decompose
from workflow_scripts.evaluation.events.judging import (
    ALARM_SHARES,
    EVENTS_FOR_ALARMS,
    EVENTS_FOR_CURVES,
    FEWEST_PATIENTS,
    PATIENTS_TO_RANK,
    Question,
)
from workflow_scripts.evaluation.events.rolling import is_rolling, rolling_alarms
from workflow_scripts.evaluation.events.run_probabilities import EventScore
from workflow_scripts.evaluation.events.scores import (
    brier_skill,
    cut_off,
    discrimination,
    expected_calibration_error,
    net_benefit,
    score_alarms,
)
from workflow_scripts.evaluation.events.tasks import EventTask
from workflow_scripts.windows.reading import Windows

Array = NDArray[np.float64]
Found = dict[str, float | None]

TREATED_FROM = 0.1
"""The probability at which net_benefit of events.csv is given; event_curves.csv has all."""


def arm_details(
    question: Question, test: Sequence[EventScore], validation: Sequence[EventScore], splits: Splits
) -> dict[str, float | None]:
    """Every point value of a row of events.csv that the counts allow. test, validation: the scores of each seed."""
    runs = [_run_details(question, *pair, splits) for pair in zip(test, validation, strict=True)]
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: _mean([run.get(name) for run in runs]) for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _run_details(question: Question, test: EventScore, validation: EventScore, splits: Splits) -> Found:
    task, events, values = question.task, question.events, test.values[question.rows]
    found: Found = {}
    if question.patients_with_event >= PATIENTS_TO_RANK:
        areas = discrimination(events, values)
        found |= {"auroc": float(areas.auroc[0]), "auprc": float(areas.auprc[0])}
    if test.is_probability:
        found |= _probability_details(question, values, validation, splits.validation)
    if task.form == "any" and not np.array_equal(test.lowest, test.highest):
        found["lowest"] = float(test.lowest[question.rows].mean())
        found["highest"] = float(test.highest[question.rows].mean())
    before = validation.values[task.eligible(splits.validation)]
    if question.episodes >= EVENTS_FOR_ALARMS:
        for share in ALARM_SHARES:
            alarms, number = score_alarms(events, values, cut_off(before, share)), f"{100 * share:g}"
            found |= {
                f"alarm_share_{number}": alarms.share,
                f"sensitivity_{number}": alarms.sensitivity,
                f"ppv_{number}": alarms.ppv,
            }
        if task.form == "any" and is_rolling(splits.test):
            found |= _rolling(task, splits.test, test.values, cut_off(before, ALARM_SHARES[0]))
    return found


def _rolling(task: EventTask, windows: Windows, scores: Array, at: float) -> Found:
    summary = rolling_alarms(task, windows, scores, at)
    return {
        "alarms_per_day": summary.per_patient_day,
        "alarm_ppv": summary.ppv,
        "onsets_detected": summary.detected / summary.onsets if summary.onsets else None,
        "lead_minutes_median": summary.median_lead_minutes,
    }


def _probability_details(question: Question, values: Array, validation: EventScore, before: Windows) -> Found:
    events = question.events
    brier = float(((values - events) ** 2).mean())
    found: Found = {
        "brier": brier,
        "brier_skill": float(brier_skill(brier, question.prevalence)),
        "brier_recalibrated": _recalibrated(question, values, validation, before),
    }
    if question.episodes >= EVENTS_FOR_ALARMS:
        parts, line = decompose(events, values), calibration_line(events, values)
        found |= {
            "miscalibration": parts.miscalibration,
            "discrimination": parts.discrimination,
            "calibration_in_the_large": line.in_the_large,
            "calibration_slope": line.slope,
            "net_benefit": net_benefit(events, values, TREATED_FROM),
        }
    if question.episodes >= EVENTS_FOR_CURVES:
        found["calibration_error"] = expected_calibration_error(events, values)
    return found


def _recalibrated(question: Question, values: Array, validation: EventScore, before: Windows) -> float | None:
    """The Brier score after logistic recalibration on the validation windows; None where these are too few."""
    task = question.task
    labels = task.labels(before)
    rows = task.eligible(before) & ~np.isnan(labels)
    if len(np.unique(before.subject_id[rows & (labels == 1)])) < FEWEST_PATIENTS:
        return None
    if np.isnan(validation.values[rows]).any():
        return None
    line = calibration_line(labels[rows], validation.values[rows])
    if line.slope is None:
        return None
    return float(((line.recalibrate(values) - question.events) ** 2).mean())
