"""Labels of windows. Expected labels: read off the values by hand."""

import numpy as np
import pytest

from workflow_scripts.evaluation.events.definitions import Condition, all_events, events_of
from workflow_scripts.evaluation.events.labels import label_any, label_at, label_sustained
from workflow_scripts.sources.mimic_iii.items import load_vital_signs

NONE = np.nan
TARGETS = np.array(
    [
        [66, 64, 70, NONE, 63, 66],
        [63, 66, 62, 61, 70, 71],
        [70, 65, 68, 66, 67, 69],
        [NONE, 64, NONE, 66, NONE, NONE],
    ],
    np.float32,
)
LOW = Condition.parse("< 65")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (label_at(TARGETS, LOW, 2), [1, 0, 0, 1]),
        (label_at(TARGETS, LOW, 4), [NONE, 1, 0, 0]),
        (label_any(TARGETS, LOW, 6), [NONE, 1, 0, NONE]),
        (label_any(TARGETS, LOW, 6, half=True), [1, 1, 0, NONE]),
        (label_sustained(TARGETS, LOW, 6, 2), [0, 1, 0, NONE]),
    ],
    ids=["at 2", "at 4", "any of 6", "any, half observed", "two in a row"],
)
def test_labels(labels, expected):
    assert np.array_equal(labels, np.array(expected, float), equal_nan=True)


def test_a_stored_fever_is_one():
    stored = np.array([[38.3]], np.float32)
    assert Condition.parse(">= 38.3").holds(stored).all()
    assert float(stored[0, 0]) < 38.3  # what a comparison as float64 would say


def test_strict_and_inclusive_conditions_differ_at_the_threshold():
    at = np.array([65], np.float32)
    assert [bool(Condition.parse(f"{sign} 65").holds(at)[0]) for sign in ("<", "<=", ">", ">=")] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("text", ["65", "< ", "!= 65", "below 65"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="no condition"):
        Condition.parse(text)


def test_every_event_is_of_known_vital_signs_in_their_unit():
    signs = load_vital_signs()
    for event in all_events():
        assert event.source
        for vital in event.vitals:
            assert signs[vital].unit == event.unit


def test_severe_conditions_are_stricter_and_on_the_same_side():
    for event in all_events():
        for severe in event.severe:
            assert severe.is_low == event.main.is_low
            assert (severe.threshold < event.main.threshold) == severe.is_low


def test_heart_rate_shows_two_events_and_systolic_pressure_none():
    assert [event.name for event in events_of("heart_rate")] == ["tachycardia", "bradycardia"]
    assert events_of("systolic_blood_pressure") == ()
