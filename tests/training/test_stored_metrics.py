"""Work on speed changes no result: a short training of each family gives the metrics that it gave before.

The stored values were written by `python tests/training/stored_metrics.py` before the first change that was made for
speed (docs/performance.md); another processor rounds otherwise, and so may the fastest of several equal computations.
"""

import json

import pytest

from tests.training.stored_metrics import ARMS, MODELS, STORED, metrics


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", MODELS)
def test_training_and_forecast_give_the_stored_metrics(name: str, arm: str) -> None:
    """Tolerance: a thousandth, and one point of coverage; a value that falls beside an interval's edge counts whole."""
    expected = json.loads(STORED.read_text(encoding="utf-8"))[f"{name} {arm}"]
    found = metrics(name, arm)
    coverage = found.pop("coverage_80")
    assert coverage == pytest.approx(expected.pop("coverage_80"), abs=0.01)
    assert found == pytest.approx(expected, rel=1e-3)
