"""The leaderboard. Expected: SciPy's geometric mean and ranks, and wins counted pair by pair."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import gmean, rankdata

from workflow_scripts.evaluation.leaderboard import TaskErrors, leaderboard, standing
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import RESAMPLED

ARMS = [("persistence", "baseline"), ("chronos-t5-nano", "zero-shot"), ("chronos-t5-nano", "full")]
ERRORS = np.array([[2.0, 1.0, 1.0], [8.0, 6.0, 12.0], [4.0, 1.0, 2.0]])


def test_skill_is_one_minus_the_geometric_mean_of_relative_errors():
    found = standing(ERRORS, baseline=0)
    assert found.skill == pytest.approx(1 - gmean(ERRORS / ERRORS[:, :1], axis=0))
    assert found.skill[0] == 0


def test_relative_errors_are_clipped_to_a_hundredth_and_a_hundred():
    assert standing(np.array([[1.0, 1e-9]]), 0).skill[1] == pytest.approx(0.99)
    assert standing(np.array([[1.0, 1e9]]), 0).skill[1] == pytest.approx(-99)


def test_ranks_are_scipys_and_a_tie_is_half_a_win():
    found = standing(ERRORS, None)
    assert found.mean_rank == pytest.approx(rankdata(ERRORS, axis=1).mean(axis=0))
    wins = np.zeros(3)
    for row in ERRORS:
        for one, other in combinations(range(3), 2):
            wins[one] += 0.5 * (row[one] == row[other]) + (row[one] < row[other])
            wins[other] += 0.5 * (row[one] == row[other]) + (row[other] < row[one])
    assert found.win_rate == pytest.approx(wins / 3 / 2)
    assert np.isnan(found.skill).all()


def task(errors, subjects, failed=(), names=ARMS):
    """A task in which each patient has two windows; errors: [patients, arms], the same by every metric."""
    errors = np.repeat(np.asarray(errors, float)[:, :, None], len(RESAMPLED), axis=2)
    marks = np.zeros((len(names), len(RESAMPLED)), bool)
    for arm in failed:
        marks[names.index(arm)] = True
        errors[:, names.index(arm)] = np.nan
    return TaskErrors(
        names, np.array(subjects), 2 * errors, np.full((len(subjects), len(RESAMPLED)), 2.0), marks
    )


def two_tasks(**changes):
    random = np.random.default_rng(0)
    first = random.gamma(4, 1, (40, 1)) * np.array([1.0, 0.8, 0.5]) * random.uniform(0.8, 1.2, (40, 3))
    people = [f"p{number:02}" for number in range(40)]
    return [task(first, people), task(first[5:] * 3, people[5:], **changes)]


def rows_of(tasks, metric="mse", **settings):
    found = leaderboard(tasks, EvaluationParameters(resamples=500, **settings))
    return {(row.model, row.arm): row for row in found if row.metric == metric}


def test_the_rows_hold_the_standing_over_all_tasks_in_order_of_skill():
    tasks = two_tasks()
    rows = rows_of(tasks)
    means = np.array([each.errors[:, :, 0].sum(0) / each.weights[:, 0].sum() for each in tasks])
    expected = standing(means, 0)
    assert [*rows] == [ARMS[2], ARMS[1], ARMS[0]]
    for place, name in enumerate(ARMS):
        assert rows[name].skill == pytest.approx(expected.skill[place])
        assert rows[name].win_rate == expected.win_rate[place]
        assert rows[name].mean_rank == expected.mean_rank[place]
    best = rows[ARMS[2]]
    assert best.skill_low < best.skill < best.skill_high
    assert best.skill_low > rows[ARMS[1]].skill_high
    assert (rows[ARMS[0]].skill_low, rows[ARMS[0]].skill_high) == (0, 0)


def test_patients_are_drawn_once_for_all_tasks():
    same = two_tasks()
    one = rows_of(same[:1])[ARMS[2]]
    twice = rows_of([same[0], same[0]])[ARMS[2]]
    assert (twice.skill_low, twice.skill_high) == pytest.approx((one.skill_low, one.skill_high))


def test_a_failed_arm_has_the_baseline_s_error_and_its_failures_are_counted():
    tasks = two_tasks(failed=[ARMS[2]])
    row = rows_of(tasks)[ARMS[2]]
    alone = rows_of(tasks[:1])[ARMS[2]]
    assert row.failures == 1
    assert 1 - row.skill == pytest.approx((1 - alone.skill) ** 0.5)


def test_without_the_baseline_there_are_ranks_and_no_skill():
    rows = rows_of(two_tasks(), baseline="theta")
    row = rows[ARMS[2]]
    assert (row.skill, row.skill_low, row.mean_rank) == (None, None, 1.0)
    assert row.reason == "no skill: theta is not among the complete arms of this study"


def test_an_arm_that_some_task_lacks_does_not_take_part():
    tasks = two_tasks()
    fewer = task(np.ones((12, 2)), [f"p{number:02}" for number in range(12)], names=ARMS[:2])
    assert set(rows_of([tasks[0], fewer])) == set(ARMS[:2])


def test_few_patients_have_no_intervals():
    rows = rows_of([task(np.ones((9, 3)), [f"p{number}" for number in range(9)])])
    assert all(row.skill_low is None and row.reason.startswith("fewer than 10") for row in rows.values())


def test_a_study_without_tasks_has_no_rows():
    assert rows_of([]) == {}
