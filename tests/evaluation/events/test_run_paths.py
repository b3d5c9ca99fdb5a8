"""Event probabilities from sample paths. Expected: paths of AR(1) series, whose windows are draws of the same law."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.events import simulated
from workflow_scripts.evaluation.events.judging import ask
from workflow_scripts.evaluation.events.run_paths import (
    column_of,
    path_probabilities,
    read_path_probabilities,
    write_path_probabilities,
)
from workflow_scripts.evaluation.events.run_probabilities import Forecasts, event_score
from workflow_scripts.evaluation.events.tasks import event_tasks
from workflow_scripts.runtime.errors import UserError

# Of one window: below 65 at steps 2 and 3, at 5 alone, never.
PATHS = np.array(
    [[[70, 60, 60, 70, 70], [70, 70, 70, 70, 60], [70, 70, 70, 70, 70], [60, 60, 60, 60, 60]]], np.float32
)


def one_window():
    windows = simulated.windows(1)
    metadata = replace(windows.metadata, horizon=5)
    return replace(windows, target=windows.target[:, :5], metadata=metadata)


def test_the_probability_is_the_share_of_paths_with_the_event():
    found = path_probabilities(one_window(), PATHS)
    assert found == {"hypotension < 65 any 180": [0.5], "hypotension < 65 sustained 180": [0.5]}
    assert path_probabilities(one_window(), np.roll(PATHS, 1, axis=2))["hypotension < 65 any 180"] == [0.75]


def test_a_path_that_is_not_finite_gives_no_probability():
    broken = PATHS.copy()
    broken[0, 2, 4] = np.nan
    assert np.isnan(path_probabilities(one_window(), broken)["hypotension < 65 any 180"]).all()


def exact_paths(windows, samples=200):
    """Draws from the predictive distribution of every window."""
    steps = np.arange(36)
    covariance = 64 * 0.7 ** np.abs(steps[:, None] - steps) + 64.0
    gain = np.linalg.solve(covariance[:24, :24], covariance[24:, :24].T).T
    rest = np.linalg.cholesky(covariance[24:, 24:] - gain @ covariance[24:, :24].T)
    noise = np.random.default_rng(1).normal(size=(len(windows), samples, 12)) @ rest.T
    return (80 + (windows.context - 80) @ gain.T)[:, None, :] + noise


def test_probabilities_from_exact_paths_have_the_right_mean_for_any_step():
    windows = simulated.windows(3000)
    joint = path_probabilities(windows, exact_paths(windows).astype(np.float32))
    forecasts = Forecasts(windows, simulated.forecast(windows), simulated.LEVELS, joint)
    for task in event_tasks(windows.metadata):
        if task.form != "at" and task.lead_minutes == 720:
            question, score = ask(task, windows), event_score(task, forecasts, forecasts)
            assert score is not None
            assert score.is_probability
            assert score.values[question.rows].mean() == pytest.approx(question.prevalence, rel=0.08)
            assert np.array_equal(score.values, joint[column_of(task)])


def test_what_is_written_is_read_back_by_split(tmp_path):
    windows = simulated.windows(90)
    test, validation = windows.select("test"), windows.select("validation")
    parts = [(each, {"hypotension < 65 any 180": each.window_id / 100}) for each in (test, validation)]
    path = tmp_path / "event_paths.parquet"
    write_path_probabilities(path, parts)
    for split in (test, validation):
        found = read_path_probabilities(path, split)
        assert found is not None
        assert np.array_equal(found["hypotension < 65 any 180"], split.window_id / 100)
    with pytest.raises(UserError, match="of other windows"):
        read_path_probabilities(path, windows.select("train"))
    assert read_path_probabilities(tmp_path / "none.parquet", test) is None
