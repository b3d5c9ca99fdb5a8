"""How well one run foresees its vital sign's events: the point values that its record keeps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.events.episodes import count_episodes
from workflow_scripts.evaluation.events.run_probabilities import Forecasts, event_score
from workflow_scripts.evaluation.events.scores import brier_skill, cut_off, discrimination, score_alarms
from workflow_scripts.evaluation.events.tasks import EventTask, event_tasks, refusal
from workflow_scripts.evaluation.point_forecasts import forecasts_a_point
from workflow_scripts.windows.reading import Windows

Array = NDArray[np.float64]

FEWEST_PATIENTS = 11
"""With fewer patients with an event, or without one, nothing of a row is shown: they could be told apart."""

PATIENTS_TO_RANK = 20
"""Patients with an event from which on AUROC and AUPRC are given."""

NO_AREA = f"fewer than {PATIENTS_TO_RANK} test patients with this event: no AUROC"
"""Why a row has no area."""

EVENTS_FOR_ALARMS = 100
"""Distinct events from which on alarms, calibration and net benefit are given (Collins 2016, Stat Med 35:214)."""

EVENTS_FOR_CURVES = 200
"""Distinct events from which on a calibration curve is given (Van Calster 2016, J Clin Epidemiol 74:167)."""

ALARM_SHARES = (0.05, 0.1)


class EventResult(BaseModel):
    """What a run's forecasts are worth for one event, form and lead; None where it is not given, reason says why.

    windows, patients: that were eligible and labelled; events: distinct episodes; prevalence: share of windows with the
    event. lowest, highest: mean bounds of the probability over several steps. alarm_share: of the test windows, at the
    cut-off at which at most 5 or 10 % of the validation windows have an alarm.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    event: str
    condition: str
    population: str
    form: str
    lead_minutes: int
    windows: int | None = None
    patients: int | None = None
    events: int | None = None
    patients_with_event: int | None = None
    prevalence: float | None = None
    auroc: float | None = None
    auprc: float | None = None
    brier: float | None = None
    brier_skill: float | None = None
    lowest: float | None = None
    highest: float | None = None
    alarm_share_5: float | None = None
    sensitivity_5: float | None = None
    ppv_5: float | None = None
    alarm_share_10: float | None = None
    sensitivity_10: float | None = None
    ppv_10: float | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """As that of its EventTask."""
        return self.event, self.condition, self.population, self.form, self.lead_minutes


@dataclass(frozen=True)
class Question:
    """A task on the test windows: which of them count, and their labels.

    rows: [n] places among the test windows; events: [n], 1 or 0; patient: [n], numbers from 0 over all test patients;
    episodes: distinct events. hidden: why nothing may be shown; empty where it may.
    """

    task: EventTask
    rows: NDArray[np.int64]
    events: Array
    patient: NDArray[np.int64]
    episodes: int
    hidden: str

    @property
    def prevalence(self) -> float:
        """The share of windows with the event."""
        return float(self.events.mean())

    @property
    def patients(self) -> int:
        """Patients with a window that counts."""
        return len(np.unique(self.patient))

    @property
    def patients_with_event(self) -> int:
        """Patients with at least one window with the event."""
        return len(np.unique(self.patient[self.events == 1]))


def ask(task: EventTask, test: Windows) -> Question:
    """Which test windows count, and what happened in them."""
    labels = task.labels(test)
    rows = np.flatnonzero(task.eligible(test) & ~np.isnan(labels))
    happened = np.zeros(len(test), np.bool_)
    happened[rows] = labels[rows] == 1
    patient = np.unique(test.subject_id, return_inverse=True)[1].astype(np.int64)
    steps = range(task.steps - 1, task.steps) if task.form == "at" else range(task.steps)
    with_event = len(np.unique(patient[happened]))
    # A patient can have windows of both kinds: those who never have the event are the smaller group to protect.
    without = len(np.unique(patient[rows])) - with_event
    return Question(
        task=task,
        rows=rows,
        events=labels[rows],
        patient=patient[rows],
        episodes=count_episodes(test, task.condition, happened, steps),
        hidden=_hidden(with_event, without),
    )


def _hidden(with_event: int, without: int) -> str:
    if with_event < FEWEST_PATIENTS:
        return f"fewer than {FEWEST_PATIENTS} test patients with this event"
    if without < FEWEST_PATIENTS:
        return f"fewer than {FEWEST_PATIENTS} test patients without this event"
    return ""


def judge_run_events(model: str, arm: Arm, forecasts: Forecasts, validation: Forecasts) -> list[EventResult]:
    """Judge a run's test forecasts by every event of its vital sign.

    validation: forecasts of the same run, which give cut-offs of alarms, and joint probabilities. Empty for a model
    that forecasts a point, whose probabilities are 0 and 1, and for windows on which events are not judged.
    """
    if forecasts_a_point(model, arm) or refusal(forecasts.windows.metadata):
        return []
    test = forecasts.windows
    return [judge(ask(task, test), forecasts, validation) for task in event_tasks(test.metadata)]


def judge(question: Question, forecasts: Forecasts, validation: Forecasts) -> EventResult:
    """Judge a run by one task."""
    task = question.task
    names = dict(zip(("event", "condition", "population", "form", "lead_minutes"), task.key, strict=True))
    if question.hidden:
        return EventResult(**names, reason=question.hidden)
    counts = {
        "windows": len(question.rows),
        "patients": question.patients,
        "events": question.episodes,
        "patients_with_event": question.patients_with_event,
        "prevalence": question.prevalence,
    }
    score = event_score(task, forecasts, validation)
    if score is None:
        return EventResult(
            **names, **counts, reason="too few fully observed validation windows for a probability"
        )
    values = score.values[question.rows]
    if np.isnan(values).any():
        return EventResult(**names, **counts, reason="some forecasts are not finite")
    found: dict[str, float | None] = {}
    if score.is_probability:
        brier = float(((values - question.events) ** 2).mean())
        found |= {"brier": brier, "brier_skill": float(brier_skill(brier, question.prevalence))}
    if task.form == "any":
        found["lowest"] = float(score.lowest[question.rows].mean())
        found["highest"] = float(score.highest[question.rows].mean())
    reason = ""
    if question.patients_with_event >= PATIENTS_TO_RANK:
        areas = discrimination(question.events, values)
        found |= {"auroc": float(areas.auroc[0]), "auprc": float(areas.auprc[0])}
    else:
        reason = NO_AREA
    if question.episodes >= EVENTS_FOR_ALARMS:
        found |= _alarms(question, values, validation)
    return EventResult(**names, **counts, **found, reason=reason)


def _alarms(question: Question, values: Array, validation: Forecasts) -> dict[str, float | None]:
    """Alarms at cut-offs that the run's own validation forecasts give."""
    before = event_score(question.task, validation, validation)
    if before is None:
        return {}
    eligible = before.values[question.task.eligible(validation.windows)]
    found: dict[str, float | None] = {}
    for share in ALARM_SHARES:
        alarms = score_alarms(question.events, values, cut_off(eligible, share))
        number = f"{100 * share:g}"
        found |= {
            f"alarm_share_{number}": alarms.share,
            f"sensitivity_{number}": alarms.sensitivity,
            f"ppv_{number}": alarms.ppv,
        }
    return found
