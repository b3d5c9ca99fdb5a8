"""Alarms step by step. Expected alarms: read off the series by hand."""

import numpy as np
import pytest

from workflow_scripts.evaluation.events.alarms import stay_alarms, summarise_alarms

PRESSURE = np.array([75, 74, 73, 72, 70, 69, 68, 66, 63, 67, 72, 74])
P = np.array([0.1, 0.6, 0.7, 0.2, 0.2, 0.8, 0.9, 0.3, np.nan, 0.1, 0.1, 0.1])


def found(at=0.5, silence=2, reach=4):
    return stay_alarms(PRESSURE < 65, P, at, silence, reach)


def test_alarms_keep_their_silence():
    assert found().alarms.tolist() == [1, 5]
    assert found(silence=1).alarms.tolist() == [1, 2, 5, 6]


def test_an_alarm_is_true_where_an_onset_follows_in_time():
    assert found().true.tolist() == [False, True]
    assert found().leads.tolist() == [3]


def test_the_summary_counts_watched_time_only():
    summary = summarise_alarms([found()], interval_minutes=60)
    assert summary.per_patient_day == pytest.approx(4.363636, abs=5e-7)
    assert summary.ppv == 0.5
    assert (summary.onsets, summary.detected) == (1, 1)
    assert summary.median_lead_minutes == 180


def test_there_is_no_alarm_during_the_event():
    inside = np.array([False, True, True, False])
    alarms = stay_alarms(inside, np.ones(4), 0.5, 1, 3)
    assert alarms.alarms.tolist() == [0, 3]
    assert alarms.true.tolist() == [True, False]


def test_an_onset_that_nothing_could_have_foreseen_does_not_count():
    inside = np.array([True, False, True])
    unwatched = stay_alarms(inside, np.array([np.nan, np.nan, np.nan]), 0.5, 1, 2)
    assert unwatched.onsets == 0
    watched = stay_alarms(inside, np.array([np.nan, 0.1, np.nan]), 0.5, 1, 2)
    assert (watched.onsets, watched.leads.size) == (1, 0)


def test_no_stay_gives_no_numbers():
    summary = summarise_alarms([], 60)
    assert (summary.per_patient_day, summary.ppv, summary.median_lead_minutes) == (None, None, None)
