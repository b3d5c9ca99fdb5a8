"""Checks of dynamic time warping against a textbook table, darts' walk back, and dtaidistance."""

import numpy as np
import pytest

from workflow_scripts.evaluation.warping import mean_warping_distance


def textbook_mean_distance(truth, forecast):
    """The full table, then the walk back of darts 0.23.1: cheapest of diagonal, up, left."""
    rows, columns = len(truth), len(forecast)
    table = np.full((rows + 1, columns + 1), np.inf)
    table[0, 0] = 0.0
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            before = min(table[row - 1, column], table[row, column - 1], table[row - 1, column - 1])
            table[row, column] = before + abs(truth[row - 1] - forecast[column - 1])
    row, column, length = rows, columns, 0
    while row > 0 or column > 0:
        length += 1
        steps = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        row, column = min(steps, key=lambda step: table[step])
    return table[rows, columns] / length


@pytest.mark.parametrize("length", [1, 2, 3, 12, 36])
def test_distance_equals_the_textbook_table_on_continuous_values(length):
    generator = np.random.default_rng(length)
    truth, forecast = generator.normal(size=(2, 25, length)).cumsum(axis=2)
    expected = [textbook_mean_distance(*pair) for pair in zip(truth, forecast, strict=True)]
    np.testing.assert_allclose(mean_warping_distance(truth, forecast), expected, rtol=1e-13)


def test_ties_are_broken_as_darts_breaks_them():
    # Small whole numbers make many equally cheap paths of different lengths.
    generator = np.random.default_rng(0)
    truth, forecast = generator.integers(0, 3, size=(2, 400, 9)).astype(float)
    expected = [textbook_mean_distance(*pair) for pair in zip(truth, forecast, strict=True)]
    np.testing.assert_array_equal(mean_warping_distance(truth, forecast), expected)


def test_accumulated_distance_equals_that_of_dtaidistance():
    from dtaidistance import dtw

    generator = np.random.default_rng(1)
    truth, forecast = generator.normal(size=(2, 40, 24)).cumsum(axis=2)
    for x, y, ours in zip(truth, forecast, mean_warping_distance(truth, forecast), strict=True):
        path, distance = dtw.warping_path(x, y, include_distance=True, inner_dist="euclidean")
        assert ours == pytest.approx(distance / len(path), rel=1e-12)


def test_points_without_a_truth_are_taken_out_of_both_series():
    generator = np.random.default_rng(2)
    truth, forecast = generator.normal(size=(2, 60, 12))
    truth[generator.random(truth.shape) < 0.4] = np.nan
    truth[:, 5] = 1.0
    expected = [
        textbook_mean_distance(x[~np.isnan(x)], y[~np.isnan(x)]) for x, y in zip(truth, forecast, strict=True)
    ]
    np.testing.assert_allclose(mean_warping_distance(truth, forecast), expected, rtol=1e-13)


def test_a_series_shifted_in_time_is_nearer_than_its_pointwise_distance():
    time = np.arange(36)
    truth, forecast = np.sin(time / 4)[None], np.sin((time - 3) / 4)[None]
    assert mean_warping_distance(truth, forecast)[0] < 0.3 * np.abs(truth - forecast).mean()


def test_blocks_change_nothing(monkeypatch):
    generator = np.random.default_rng(3)
    truth, forecast = generator.normal(size=(2, 50, 12))
    whole = mean_warping_distance(truth, forecast)
    monkeypatch.setattr("workflow_scripts.evaluation.warping.PAIRS_AT_ONCE", 7)
    np.testing.assert_array_equal(mean_warping_distance(truth, forecast), whole)
