"""Arms by name, and what each leaves trainable. Trainable counts of the real models stand in tests/models."""

import pytest
import torch
from linear_model import LinearModel

from workflow_scripts.adaptation.arms import Arm, adapt, count_parameters, expand_arms, save_adapter
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import Series


def prepared(name: str) -> LinearModel:
    model = LinearModel()
    # peft matches full module names, so the layer stands one level down, as in the real models.
    model.module = torch.nn.ModuleDict({"block": model.module})
    model._predict = lambda context: _predict(model, context)  # type: ignore[method-assign]
    adapt(model, Arm.parse(name), AdaptationParameters(), seed=0)
    return model


def _predict(model: LinearModel, context: Series) -> torch.Tensor:
    block = model.module.get_submodule(
        "base_model.model.block" if hasattr(model.module, "peft_config") else "block"
    )
    return block["head"](block["attention"](context.values[:, -1:]))


@pytest.mark.parametrize("name", ["zero-shot", "full", "lora-r1", "lora-r64"])
def test_an_arm_s_name_reads_back_as_itself(name):
    assert Arm.parse(name).name == name


@pytest.mark.parametrize(
    "name", ["", "lora", "lora-r0", "lora-r", "lora-r2x", "Full", "zero-shot-r2", "dora-r2"]
)
def test_a_name_that_is_no_arm_is_refused(name):
    with pytest.raises(ValueError, match="no such arm"):
        Arm.parse(name)


def test_a_method_with_a_rank_gives_one_arm_for_each_rank():
    arms = expand_arms(["zero-shot", "lora", "full"], [1, 8])
    assert [arm.name for arm in arms] == ["zero-shot", "lora-r1", "lora-r8", "full"]


def test_zero_shot_trains_nothing_and_full_trains_everything():
    assert count_parameters(prepared("zero-shot")) == {"total": 4, "trainable": 0}
    assert count_parameters(prepared("full")) == {"total": 4, "trainable": 4}


def test_lora_trains_only_the_attention_s_factors():
    # A is [rank, 1] and B is [1, rank] on the one attention projection.
    assert count_parameters(prepared("lora-r3")) == {"total": 4 + 6, "trainable": 6}


def test_lora_starts_as_the_base_model():
    context = Series(torch.randn(5, 4), torch.zeros(5, dtype=torch.int64), 3600)
    target = torch.randn(5, 3)
    assert torch.equal(prepared("lora-r4").loss(context, target), prepared("zero-shot").loss(context, target))


def test_only_the_adapter_is_saved_and_its_base_is_a_name(tmp_path):
    save_adapter(prepared("lora-r2"), Arm.parse("lora-r2"), tmp_path, "linear")
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 1000
    assert '"base_model_name_or_path": "linear"' in (tmp_path / "adapter_config.json").read_text()
