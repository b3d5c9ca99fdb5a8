"""params.yaml and its model: every problem at once, each with its path and what is allowed."""

from pathlib import Path

import pytest
import yaml

from workflow_scripts.models.registry import variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import Run, Study, load_study, write_step_settings
from workflow_scripts.training.run import RunParameters
from workflow_scripts.training.run import candidates as run_candidates

ROOT = Path(__file__).parents[2]


def test_the_default_params_file_holds_the_model_s_defaults():
    assert load_study(yaml.safe_load((ROOT / "params.yaml").read_text())) == Study()


def test_all_problems_are_reported_at_once_with_path_and_remedy():
    with pytest.raises(UserError) as caught:
        load_study(
            {
                "dataset": "e ICU",
                "vitals": ["heart_rat"],
                "models": ["chronos-t5-nona"],
                "arms": ["lora", "qlora"],
                "ranks": [0],
                "training": {"stepz": 3, "learning_rate": -1},
                "windows": {"context": 4},
                "ranc": [1],
            }
        )
    message = str(caught.value)
    assert "9 problems" in message
    for expected in (
        "dataset: found 'e ICU'",
        "'heart_rat' is no vital sign (did you mean 'heart_rate'?)",
        "'chronos-t5-nona' is no model (did you mean 'chronos-t5-nano'?)",
        "'qlora' is no arm",
        "ranks: found [0]: each must be at least 1",
        "training.stepz: unknown key (did you mean 'steps'?); allowed: steps, batch_size",
        "training.learning_rate: found -1",
        "minimum_context_observed must not exceed context (4)",
        "ranc: unknown key (did you mean 'ranks'?)",
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"cohorts": []}, "at least 1"),
        ({"seeds": [1, 1]}, "named once"),
        ({"vitals": ["spo2", "spo2"]}, "named twice"),
        ({"weights": {"chronos-t5-nona": "here"}}, "is no model"),
        ({"weights": {"moirai-nano": "hub"}}, "moirai-nano is not from 'hub'; allowed: embedded, or a path"),
        (
            {"weights": {"chronos-t5-tiny": "embedded"}},
            "chronos-t5-tiny is not from 'embedded'; allowed: hub",
        ),
        ({"windows": {"context": 600}}, "600 steps; at most 512 steps"),
        ({"windows": {"context": 12}}, "seasonal-naive: 12 steps of 60 min; at least 24 steps"),
        ({"models": ["moirai-nano-multivariate"]}, "at least one vital sign beside"),
        ({"models": ["n-beats"]}, "'n-beats' is no model"),
        ({"from_scratch": ["moirai-nano"]}, "is no model that is trained from scratch"),
        ({"tuning": {"learning_rates": [0.1, 0.1]}}, "named once"),
        ({"tuning": {"steps": [0]}}, "above 0"),
        ({"tuning": {"learning_rates": [0.1]}}, "tuning gives every arm the same candidates"),
        ({"cohorts": ["sepsis"]}, "did you mean 'sepsis3'"),
        ({"own_cohorts": {"angus": "angus.sql"}}, "names of definitions that come with the workflow"),
        ({"own_cohorts": {"../x": "x.sql"}}, "allowed: a-z"),
        ({"forecast": {"quantiles": [0.5, 0.1, 0.9]}}, "rising"),
        ({"forecast": {"quantiles": [0.1, 0.5]}}, "must contain 0.1, 0.5 and 0.9"),
        ({"forecast": {"samples": 9}}, "9 are too few for quantiles 0.1 to 0.9; at least 10"),
        ({"windows": {"validation_fraction": 0.6, "test_fraction": 0.5}}, "something to train on"),
        ({"training": {"learning_rate": float("nan")}}, "finite"),
    ],
)
def test_an_impossible_value_is_refused(values, reason):
    with pytest.raises(UserError, match=reason) as caught:
        load_study(values)
    # No message is buried under a whole group of settings.
    assert "found {" not in str(caught.value)


def test_a_renamed_setting_is_refused_with_its_new_name():
    with pytest.raises(UserError, match="references: renamed; write baselines instead"):
        load_study({"references": ["persistence"]})


def test_the_runs_are_every_combination_and_baselines_run_once_for_each_seed():
    study = Study(cohorts=["explicit"], vitals=["spo2"], models=["moirai-nano"], ranks=[2], seeds=[0, 1])
    runs = study.runs()
    assert Run("explicit", "spo2", "persistence", "baseline", 1) in runs
    assert Run("explicit", "spo2", "moirai-nano", "lora-r2", 0) in runs
    assert Run("explicit", "spo2", "n-hits-hr", "trained-dilate", 1) in runs
    assert len(runs) == len(set(runs)) == (5 + 3 + 3) * 2


def test_step_settings_are_rewritten_only_when_they_differ(tmp_path):
    path = tmp_path / "settings" / "step.json"
    write_step_settings(Study(), ["windows"], ["workflow_scripts.runtime.files"], path)
    first = path.stat().st_mtime_ns
    write_step_settings(Study(ranks=[1, 16]), ["windows"], ["workflow_scripts.runtime.files"], path)
    assert path.stat().st_mtime_ns == first
    other = load_study({"windows": {"context": 30}})
    write_step_settings(other, ["windows"], ["workflow_scripts.runtime.files"], path)
    assert '"context": 30' in path.read_text()


def test_a_cohort_of_one_s_own_may_be_studied():
    study = load_study({"own_cohorts": {"burns": "cohorts/burns.sql"}, "cohorts": ["burns", "sepsis3"]})
    assert {run.cohort for run in study.runs()} == {"burns", "sepsis3"}


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_named_study_holds_possible_settings(path):
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | yaml.safe_load(path.read_text())
    assert load_study(values).runs()


def test_the_paper_s_grid_has_its_ranks_alpha_samples_and_repeats():
    """arXiv 2405.10216 as docs quote it: alpha 16, 20 samples, ten repeats."""
    study = load_study(yaml.safe_load((ROOT / "params/paper.yaml").read_text()))
    assert (study.adaptation.lora_alpha, study.forecast.samples, len(study.seeds)) == (16, 20, 10)
    assert (study.forecast.protocol, study.forecast.lag_llama_sampler) == ("paper", "exact")
    assert study.tuning.candidates(study.training) == [study.training], "one learning rate for all"
    # Two vital signs and ten seeds; eight models with nine arms, four from scratch with two, and five baselines.
    assert len(study.runs()) == 2 * 10 * (8 * 9 + 4 * 3 + 5)


def test_a_transfer_to_patients_whom_the_adapter_has_seen_is_refused():
    values = {"transfer": True, "windows": {"split": "by_window_leaky"}}
    with pytest.raises(UserError, match=r"say windows\.split: by_patient, or transfer: false"):
        load_study(values)
    assert load_study(values | {"transfer": False}).windows.split == "by_window_leaky"


def test_the_tuned_study_gives_every_arm_the_same_candidates():
    study = load_study(yaml.safe_load((ROOT / "params/tuned.yaml").read_text()))
    candidates = study.tuning.candidates(study.training)
    assert len(candidates) > 2
    assert {budget.steps for budget in candidates} == {study.training.steps}
    # LoRA's best rate is about ten times that of full fine-tuning (arXiv 2602.04998): both must be within.
    rates = [budget.learning_rate for budget in candidates]
    assert max(rates) / min(rates) >= 100
    for model in (*study.models, *study.from_scratch):
        groups = {name: getattr(study, name) for name in RunParameters.model_fields}
        assert run_candidates(variant(model), RunParameters(**groups), train_windows=1) == candidates


def smallest_corrected_p(study):
    """The smallest p-value that Holm's correction can give, by the number of planned comparisons."""
    arms = [arm.name for arm in study.arm_list()]
    efficient = [arm for arm in arms if arm not in ("zero-shot", "full")]
    others = len(study.baselines) + 2 * len(study.from_scratch)
    family = len(study.models) * (len(arms) - 1 + len(efficient) + others)
    return 2 * family / (study.evaluation.resamples + 1)


@pytest.mark.parametrize(
    "path", [ROOT / "params.yaml", *sorted((ROOT / "params").glob("*.yaml"))], ids=lambda path: path.stem
)
def test_every_named_study_resamples_often_enough_for_its_comparisons(path):
    """With too few resamples no corrected p-value can be small, whatever the data say (docs/statistics.md)."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | yaml.safe_load(path.read_text())
    assert smallest_corrected_p(load_study(values)) < 0.03
