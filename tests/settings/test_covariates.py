"""Settings of models that look at other vital signs, checked before anything runs."""

import pytest

from workflow_scripts.adaptation.arms import FULL
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import load_study, run_code, weights_folder_of

BOTH = {
    "models": ["moirai-nano", "moirai-nano-multivariate"],
    "vitals": ["heart_rate", "mean_blood_pressure"],
}


def test_both_settings_of_a_model_are_runs_of_one_study_with_one_folder_of_weights() -> None:
    study = load_study(BOTH | {"windows": {"covariates": ["heart_rate", "mean_blood_pressure"]}})
    assert {run.model for run in study.runs() if run.arm == "lora-r2"} == set(BOTH["models"])
    assert {weights_folder_of(name) for name in BOTH["models"]} == {"moirai-nano"}
    assert run_code("moirai-nano-multivariate", FULL) == run_code("moirai-nano", FULL)
    assert weights_folder_of("persistence") is None


# Settings beside BOTH, and what the message says.
IMPOSSIBLE = [
    ({}, "windows.covariates, with model moirai-nano-multivariate: no other vital sign"),
    ({"windows": {"covariates": ["heart_rate"]}}, "with model moirai-nano-multivariate: no other vital sign"),
    ({"windows": {"covariates": ["pulse"]}}, "'pulse' is no vital sign for covariates"),
    ({"windows": {"covariates": ["heart_rate", "heart_rate"]}}, "covariates must name each vital sign once"),
    (
        {"windows": {"covariates": ["heart_rate", "mean_blood_pressure"], "context": 2100}},
        "2100 + 12 steps of 2 series, which are 528 patches of 8",
    ),
    (
        {"baselines": ["seasonal-naive"], "models": [], "windows": {"context": 23}},
        "at least 24 steps, one day",
    ),
]


@pytest.mark.parametrize(("settings", "message"), IMPOSSIBLE)
def test_impossible_covariates_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_study(BOTH | settings)
    assert message in str(caught.value)
