"""The model card of an adapter, as the hub's own library reads it."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.helpers.linear_model import LinearModel
from workflow_scripts.adaptation.adapters import TrainedOn, read_arm, save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.model_card import model_card
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.runtime.machine import versions

TRAINED_ON = TrainedOn("spo2", "%", 50.0, 100.0, 60, 24, 12)


def card(folder: Path, arm_name: str, hub_id: str | None) -> ModelCard:
    model, arm = LinearModel(), Arm.parse(arm_name)
    adapt(model, arm, AdaptationParameters(), seed=0)
    save_adapter(model, arm, folder, "linear", TRAINED_ON, "5ha")
    return ModelCard(model_card(read_arm(folder), "our-ward", "CC-BY-NC-4.0", hub_id))


def test_the_hub_finds_base_model_licence_library_and_task(tmp_path: Path) -> None:
    found = card(tmp_path, "lora-r1", "Salesforce/moirai-1.1-R-small").data.to_dict()
    assert found == {
        "base_model": "Salesforce/moirai-1.1-R-small",
        "license": "cc-by-nc-4.0",
        "library_name": "peft",
        "pipeline_tag": "time-series-forecasting",
        "tags": ["vitalora", "lora"],
    }


@pytest.mark.parametrize(("arm", "by_peft"), [("lora-r1", True), ("full", False)])
def test_the_text_says_what_a_forecast_needs(arm: str, by_peft: bool, tmp_path: Path) -> None:
    made = card(tmp_path, arm, None)
    facts = dict(
        line.strip("| ").split(" | ")
        for line in made.text.splitlines()
        if line.startswith("| ") and " | " in line[2:]
    )
    assert facts["SHA-256 of its weights"] == "5ha"
    assert (facts["vital sign"], facts["unit"], facts["data set"]) == ("spo2", "%", "our-ward")
    assert (facts["becomes 0 for the model"], facts["becomes 1 for the model"]) == ("50.0", "100.0")
    assert (facts["minutes between two steps"], facts["steps of context"], facts["steps of horizon"]) == (
        "60",
        "24",
        "12",
    )
    assert f"torch {versions()['torch']}" in facts["made with"]
    assert ("PeftModel" in made.text) == by_peft
    assert "base_model" not in made.data.to_dict()
