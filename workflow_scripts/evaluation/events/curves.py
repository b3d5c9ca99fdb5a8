"""Curves of reliability and of net benefit: event_curves.csv."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.judging import (
    EVENTS_FOR_ALARMS,
    EVENTS_FOR_CURVES,
    FEWEST_PATIENTS,
    Question,
)
from workflow_scripts.evaluation.events.rows import EventCurveRow
from workflow_scripts.evaluation.events.scores import net_benefit
from workflow_scripts.evaluation.summary import RunRow

Array = NDArray[np.float64]

THRESHOLDS = tuple(np.round(np.arange(0.05, 0.501, 0.05), 2).tolist())
BINS = 10


def has_curves(question: Question) -> bool:
    """Whether a task has curves: those of the main condition at a lead, from an onset, with enough events."""
    task = question.task
    drawn = task.is_main and (task.population, task.form) == ("onset", "at")
    return drawn and question.episodes >= EVENTS_FOR_ALARMS


def curve_rows(
    first: RunRow, question: Question, model: str, arm: str, values: Sequence[Array]
) -> list[EventCurveRow]:
    """The curves of one arm. values: the probabilities of each seed, [n] each."""
    if not has_curves(question):
        return []
    points = [
        ("decision", t, float(np.mean([net_benefit(question.events, each, t) for each in values])))
        for t in THRESHOLDS
    ]
    if question.episodes >= EVENTS_FOR_CURVES:
        points += [("reliability", x, y) for x, y in reliability(question, np.mean(values, axis=0))]
    return [_row(first, question, model, arm, *point) for point in points]


def fixed_curves(first: RunRow, question: Question) -> list[EventCurveRow]:
    """Net benefit of acting always and of acting never."""
    if not has_curves(question):
        return []
    everyone, nobody = np.ones(len(question.events)), np.zeros(len(question.events))
    return [
        _row(first, question, name, "event-baseline", "decision", t, net_benefit(question.events, values, t))
        for name, values in (("all", everyone), ("none", nobody))
        for t in THRESHOLDS
    ]


def reliability(question: Question, probabilities: Array) -> list[tuple[float, float]]:
    """Mean probability and share of windows with the event in equal bins; bins with too few patients are left out."""
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    points = []
    for number in range(BINS):
        rows = place == number
        if len(np.unique(question.patient[rows])) >= FEWEST_PATIENTS:
            points.append((float(probabilities[rows].mean()), float(question.events[rows].mean())))
    return points


def _row(
    first: RunRow, question: Question, model: str, arm: str, curve: str, x: float, y: float
) -> EventCurveRow:
    event, condition, _, _, lead = question.task.key
    return EventCurveRow(first.cohort, first.vital, event, condition, lead, model, arm, curve, x, y)
