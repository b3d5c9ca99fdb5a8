"""Checks that a run's stored forecasts give back the run's metrics, window by window and patient by patient."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.reporting.fabricated_study import LEVELS, fabricate_study
from workflow_scripts.evaluation.forecasts import read_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.patient_sums import RESAMPLED, score_windows, sum_by_patient
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.reading import read_windows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricate_study(
        tmp_path_factory.mktemp("study"),
        models=("moirai-nano",),
        arms=("full", "lora-r2"),
        vitals=("heart_rate",),
    )


@pytest.fixture(scope="module")
def windows(study):
    return read_windows(study.windows / "explicit" / "heart_rate.parquet").select("test")


def forecasts(study, arm):
    return study.runs / "explicit/heart_rate/moirai-nano" / arm / "seed0/forecasts.parquet"


def test_all_windows_together_give_the_metrics_of_the_run(study, windows):
    runs = [score_windows(forecasts(study, arm), windows) for arm in ("full", "lora-r2")]
    metrics = sum_by_patient(runs).metrics()
    for arm, values in zip(("full", "lora-r2"), metrics, strict=True):
        _, quantiles, _ = read_forecasts(forecasts(study, arm))
        expected = score(windows.target, quantiles, LEVELS, 0.0, 300.0).metrics
        assert values.tolist() == pytest.approx([expected[name] for name in RESAMPLED], rel=1e-12)


def test_the_sums_of_each_patient_are_those_of_scoring_that_patient_alone(study, windows):
    sums = sum_by_patient([score_windows(forecasts(study, "full"), windows)])
    _, quantiles, _ = read_forecasts(forecasts(study, "full"))
    subjects = np.unique(windows.subject_id)
    assert sums.patients == len(subjects) == 20
    for place, subject in enumerate(subjects):
        own = windows.subject_id == subject
        expected = score(windows.target[own], quantiles[own], LEVELS, 0.0, 300.0).metrics
        found = sums.errors[place, 0] / sums.weights[place]
        assert found.tolist() == pytest.approx([expected[name] for name in RESAMPLED], rel=1e-12)


def test_a_forecast_that_is_not_finite_leaves_its_metrics_undefined(study, windows, tmp_path):
    table = pq.read_table(forecasts(study, "full")).to_pandas()
    table.loc[40, "q0.5"] = np.nan
    table.to_parquet(tmp_path / "forecasts.parquet")
    scores = score_windows(tmp_path / "forecasts.parquet", windows)
    assert np.isnan(scores.errors[40 // 12]).all()
    assert np.isnan(scores.errors).sum() == len(RESAMPLED)
    whole = score_windows(forecasts(study, "full"), windows)
    metrics = sum_by_patient([scores, whole]).metrics()
    assert np.isnan(metrics[0]).all()
    assert np.isfinite(metrics[1]).all()


def test_forecasts_of_other_windows_are_refused(study, windows, tmp_path):
    path = tmp_path / "forecasts.parquet"
    pq.write_table(pq.read_table(forecasts(study, "full")).slice(12), path)
    with pytest.raises(UserError, match="forecasts of other windows"):
        score_windows(path, windows)
