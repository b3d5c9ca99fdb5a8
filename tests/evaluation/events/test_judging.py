"""Runs are judged by events. Expected: what is true of AR(1) series, of which the exact forecasts are known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.evaluation.events import simulated
from workflow_scripts.adaptation.arms import BASELINE, ZERO_SHOT, Arm
from workflow_scripts.evaluation.events.baselines import LOGISTIC, Splits, baseline_scores
from workflow_scripts.evaluation.events.calibration import calibration_line
from workflow_scripts.evaluation.events.episodes import count_episodes
from workflow_scripts.evaluation.events.judging import EventResult, Question, ask, judge_run_events
from workflow_scripts.evaluation.events.run_probabilities import EventScore, Forecasts, event_score
from workflow_scripts.evaluation.events.scores import discrimination
from workflow_scripts.evaluation.events.tasks import EventTask, event_tasks, lead_steps, refusal
from workflow_scripts.windows.reading import WindowMetadata

MODEL = "chronos-t5-nano"


@cache
def exact() -> tuple[Forecasts, Forecasts]:
    """Exact forecasts of test and validation windows."""
    test, validation = simulated.windows(8000), simulated.windows(600, seed=1)
    return (
        Forecasts(test, simulated.forecast(test), simulated.LEVELS),
        Forecasts(validation, simulated.forecast(validation), simulated.LEVELS),
    )


@cache
def results() -> dict[tuple, EventResult]:
    return {result.key: result for result in judge_run_events(MODEL, ZERO_SHOT, *exact())}


def task(form: str = "at", lead: int = 60, population: str = "onset", condition: str = "< 65") -> EventTask:
    key = ("hypotension", condition, population, form, lead)
    return next(each for each in event_tasks(exact()[0].windows.metadata) if each.key == key)


def asked(*names: str | int) -> tuple[Question, EventScore]:
    question = ask(task(*names), exact()[0].windows)
    score = event_score(question.task, *exact())
    assert score is not None
    return question, score


@pytest.mark.parametrize("lead", [60, 180, 360, 720])
def test_exact_forecasts_rank_onsets_better_than_the_last_value(lead: int):
    question, _ = asked("at", lead)
    last = discrimination(question.events, -exact()[0].windows.context[question.rows, -1].astype(float))
    assert results()[question.task.key].auroc > last.auroc[0]


def test_exact_forecasts_have_calibrated_probabilities():
    # Of 99 levels, so that the tails between which the normal distribution is approximated are thin.
    levels = [percent / 100 for percent in range(1, 100)]
    windows = exact()[0].windows
    question, _ = asked("at", 180, "state")
    forecasts = Forecasts(windows, simulated.forecast(windows, levels), levels)
    score = event_score(question.task, forecasts, forecasts)
    assert score is not None
    line = calibration_line(question.events, score.values[question.rows])
    assert line.in_the_large == pytest.approx(0, abs=0.1)
    assert line.slope == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("form", "lead"), [("any", 180), ("any", 720), ("sustained", 720)])
def test_joint_probabilities_have_the_right_mean_where_independence_is_far_off(form: str, lead: int):
    question, score = asked(form, lead)
    found = score.values[question.rows].mean()
    assert found == pytest.approx(question.prevalence, rel=0.12)
    if form == "any":
        steps = task().condition.probability(exact()[0].quantiles[:, :, : lead // 60], simulated.LEVELS)
        independent = (1 - np.prod(1 - steps, axis=1))[question.rows].mean()
        assert independent > 1.2 * question.prevalence
        assert (score.lowest <= score.values + 0.05).all()
        assert (score.values <= score.highest + 0.05).all()


def test_without_enough_validation_windows_any_step_only_ranks_the_windows():
    test, validation = exact()
    few = Forecasts(validation.windows.select("test"), validation.quantiles[:0], validation.levels)
    few = replace(few, windows=simulated.windows(60), quantiles=simulated.forecast(simulated.windows(60)))
    found = {result.key: result for result in judge_run_events(MODEL, ZERO_SHOT, test, few)}
    any_step = found["hypotension", "< 65", "onset", "any", 720]
    assert any_step.brier is None
    assert any_step.auroc is not None
    assert any_step.lowest < any_step.prevalence < any_step.highest
    assert "validation windows" in found["hypotension", "< 65", "onset", "sustained", 720].reason


def test_an_alarm_share_of_validation_comes_close_on_test_windows_of_the_same_kind():
    found = results()["hypotension", "< 65", "onset", "at", 180]
    assert found.alarm_share_5 == pytest.approx(0.05, abs=0.02)
    assert found.alarm_share_10 == pytest.approx(0.1, abs=0.03)
    assert found.sensitivity_10 > found.sensitivity_5 > 2 * found.alarm_share_5


def test_an_onset_needs_a_fresh_last_value_outside_the_event():
    windows = simulated.windows(300)
    windows.steps_since_observed[:100] = 1
    eligible = task().eligible(windows)
    assert not eligible[:100].any()
    assert (eligible[100:] == (windows.context[100:, -1] >= 65)).all()
    assert task(population="state").eligible(windows).all()


def test_eligibility_does_not_depend_on_what_is_to_be_foreseen():
    windows = simulated.windows(300)
    other = replace(windows, target=np.full_like(windows.target, np.nan))
    assert (task().eligible(windows) == task().eligible(other)).all()


def test_few_patients_with_the_event_are_hidden_with_their_counts():
    windows = simulated.windows(60)
    few = Forecasts(windows, simulated.forecast(windows), simulated.LEVELS)
    hidden = [result for result in judge_run_events(MODEL, ZERO_SHOT, few, exact()[1]) if result.reason]
    severe = next(result for result in hidden if result.condition == "< 55")
    assert severe.reason == "fewer than 11 test patients with this event"
    assert all(value is None or isinstance(value, str) or name == "lead_minutes" for name, value in severe)


def test_few_patients_without_the_event_are_hidden_too():
    windows = simulated.windows(300)
    windows.target[:] = 50
    assert ask(task(), windows).hidden == "fewer than 11 test patients without this event"


def test_a_forecast_that_is_not_finite_has_counts_and_no_scores():
    test, validation = exact()
    broken = test.quantiles.copy()
    broken[0, 0, 0] = np.nan
    found = judge_run_events(MODEL, ZERO_SHOT, Forecasts(test.windows, broken, test.levels), validation)[0]
    assert (found.auroc, found.reason) == (None, "some forecasts are not finite")
    assert found.windows > 0


def test_point_forecasts_and_spoilt_windows_are_not_judged():
    test, validation = exact()
    assert judge_run_events("persistence", BASELINE, test, validation) == []
    assert judge_run_events("n-hits-hr", Arm("trained"), test, validation) == []
    assert judge_run_events("n-hits-hr", Arm("trained-quantile"), test, validation) != []
    metadata = test.windows.metadata
    for change in (
        {"smoothing": "rolling_mean_3"},
        {"fill": "forward_backward"},
        {"split_kind": "by_window_leaky"},
    ):
        spoilt = replace(test, windows=replace(test.windows, metadata=replace(metadata, **change)))
        assert refusal(spoilt.windows.metadata)
        assert judge_run_events(MODEL, ZERO_SHOT, spoilt, validation) == []


def test_an_episode_counts_once_for_all_windows_that_see_it():
    windows = simulated.windows(4, per_patient=2)
    windows.target[:] = 80
    windows = replace(windows, start=np.array([0, 3600, 0, 36 * 3600]))
    windows.target[0, [4, 5, 9]] = 60  # The first stay: one episode of two steps and one of one.
    windows.target[1, [3, 4, 8]] = 60  # The same values, seen from a step later.
    windows.target[2, 11] = 60  # The second stay: one episode that goes on in its next window ...
    windows = replace(windows, context=windows.context)
    windows.target[3, 11] = 60  # ... and one a day and a half later.
    happened = np.ones(4, bool)
    assert count_episodes(windows, task().condition, happened, range(12)) == 4
    assert count_episodes(windows, task().condition, happened & (np.arange(4) < 2), range(5, 6)) == 1


@pytest.mark.parametrize(
    ("interval", "horizon", "steps"),
    [(60, 12, [1, 3, 6, 12]), (60, 6, [1, 3, 6]), (5, 36, [3, 12, 36]), (5, 2, []), (120, 6, [3, 6])],
)
def test_leads_are_those_on_the_grid_and_within_the_horizon(interval: int, horizon: int, steps: list[int]):
    metadata = WindowMetadata("heart_rate", "bpm", 0.0, 300.0, interval, 24, horizon, "by_patient")
    assert lead_steps(metadata) == steps


def test_the_logistic_regression_is_that_of_statsmodels():
    from statsmodels.api import GLM, add_constant, families

    from workflow_scripts.evaluation.events.baselines import features

    splits = Splits(
        *(simulated.windows(3000, seed=5).select(name) for name in ("train", "validation", "test"))
    )
    own = task("at", 180)
    found = baseline_scores(own, splits)[LOGISTIC].test.values
    labels, rows = own.labels(splits.train), own.eligible(splits.train)
    given = features(splits.train, low=True)
    model = GLM(labels[rows], add_constant(given[rows]), family=families.Binomial()).fit()
    expected = model.predict(add_constant(features(splits.test, low=True)))
    assert found == pytest.approx(expected, abs=2e-4)


def test_baselines_use_nothing_after_the_context():
    splits = Splits(
        *(simulated.windows(900, seed=6).select(name) for name in ("train", "validation", "test"))
    )
    other = replace(splits, test=replace(splits.test, target=np.full_like(splits.test.target, 10)))
    for name, score in baseline_scores(task(), splits).items():
        assert np.array_equal(score.test.values, baseline_scores(task(), other)[name].test.values)
