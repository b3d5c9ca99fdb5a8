"""Saved adapters: nothing but the adapter, for anybody's peft, the same after reloading and after merging."""

import json
from functools import cache
from shutil import copytree

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import T5ForConditionalGeneration

from tests.helpers.tiny_families import CHRONOS_SIZES, CONTEXT, FAMILIES, UNIFORMS, tiny
from tests.helpers.trained_arms import PEFT_ARMS, SELECTING_ARMS, loss, trained
from workflow_scripts.adaptation.adapters import TrainedOn, load_adapter, merge, read_arm, save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.chronos import Chronos
from workflow_scripts.runtime.errors import UserError

ARMS = (*PEFT_ARMS, *SELECTING_ARMS)
every_pair = pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILIES for name in ARMS]
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a trained arm; each is saved once."""

    @cache
    def save(family: str, name: str):
        run, folder = trained(family, name), tmp_path_factory.mktemp(f"{family}-{name}")
        save_adapter(run.model, run.arm, folder, f"{family}-tiny")
        return folder

    return save


@every_pair
def test_a_reloaded_adapter_forecasts_as_the_trained_model(saved, family, name):
    model, run = tiny(family), trained(family, name)
    assert load_adapter(model, saved(family, name)) == run.arm
    if not name.startswith("pissa"):  # It comes back as a change of the original weights, equal to rounding.
        reloaded, end = model.module.state_dict(), run.model.module.state_dict()
        assert reloaded.keys() == end.keys()
        assert all(torch.equal(reloaded[key], value) for key, value in end.items())
    # Chronos-2 ends with a hyperbolic sine, which makes rounding larger.
    torch.testing.assert_close(model.sample(CONTEXT, UNIFORMS), run.forecast, rtol=1e-3, atol=1e-3)
    assert loss(model) == pytest.approx(run.loss_after, rel=1e-5)
    assert not any(weight.requires_grad for weight in model.module.parameters())


@every_pair
def test_merged_weights_forecast_as_the_adapter_and_have_the_family_s_own_names(saved, family, name):
    model, bare = tiny(family), tiny(family).module.state_dict()
    merge(model, load_adapter(model, saved(family, name)))
    assert type(model.module) is type(tiny(family).module)
    merged = model.module.state_dict()
    assert {key: value.shape for key, value in merged.items()} == {k: v.shape for k, v in bare.items()}
    assert loss(model) == pytest.approx(trained(family, name).loss_after, rel=1e-5)


@every_pair
def test_only_the_adapter_is_saved(saved, family, name):
    folder, run = saved(family, name), trained(family, name)
    tensors = [tensor for path in folder.glob("*.safetensors") for tensor in load_file(path).items()]
    # VeRA's two random projections are frozen, but an adapter is of no use without them.
    values = sum(value.numel() for key, value in tensors if not key.endswith(("vera_A", "vera_B")))
    trainable = sum(w.numel() for w in run.model.module.parameters() if w.requires_grad)
    assert values == trainable * (2 if name.startswith("pissa") else 1)
    assert read_arm(folder).arm == run.arm
    assert read_arm(folder).base == f"{family}-tiny"


@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # peft, of a normalisation's width
@pytest.mark.parametrize("name", PEFT_ARMS)
def test_peft_alone_loads_the_adapter_on_the_original_model(saved, name):
    model, run = tiny("chronos"), trained("chronos", name)
    model.module = PeftModel.from_pretrained(model.module, str(saved("chronos", name))).eval()
    assert loss(model) == pytest.approx(run.loss_after, rel=1e-5)


def test_all_weights_of_full_fine_tuning_are_saved_and_load_again(saved):
    run, model = trained("lag-llama", "full"), tiny("lag-llama")
    load_adapter(model, saved("lag-llama", "full"))
    torch.testing.assert_close(model.sample(CONTEXT, UNIFORMS), run.forecast)
    for name, weight in run.model.module.state_dict().items():
        assert torch.equal(model.module.state_dict()[name], weight)


def test_nothing_in_a_folder_tells_where_the_base_weights_lay(tmp_path):
    tiny("chronos").save(tmp_path / "base")
    for name in ARMS:
        model = Chronos.load(tmp_path / "base")
        adapt(model, Arm.parse(name), AdaptationParameters(), seed=0, steps=2)
        save_adapter(model, Arm.parse(name), tmp_path / name, "chronos-tiny")
        for path in (tmp_path / name).iterdir():
            assert str(tmp_path).encode() not in path.read_bytes()
        if name in PEFT_ARMS:
            config = json.loads((tmp_path / name / "adapter_config.json").read_text())
            assert config["base_model_name_or_path"] == "chronos-tiny"
            assert config["inference_mode"] is True


@pytest.mark.parametrize("name", ["lora-r2", "pissa-r2", "head-only"])
def test_merged_weights_load_in_the_upstream_library(saved, tmp_path, name):
    model = tiny("chronos")
    merge(model, load_adapter(model, saved("chronos", name)))
    model.save(tmp_path / "merged")
    upstream = T5ForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    ids = torch.tensor([[5, 9, 30, 1]])
    with torch.no_grad():
        expected = model.module(input_ids=ids, decoder_input_ids=ids).logits
        assert torch.equal(upstream(input_ids=ids, decoder_input_ids=ids).logits, expected)


def test_a_folder_says_on_which_windows_it_was_trained_where_that_is_known(tmp_path):
    run, windows = trained("lag-llama", "lora-r2"), TrainedOn("spo2", "%", 50.0, 100.0, 60, 24, 12)
    save_adapter(run.model, run.arm, tmp_path / "new" / "known", "tiny", windows)
    save_adapter(run.model, run.arm, tmp_path / "unknown", "tiny")
    assert read_arm(tmp_path / "new" / "known").trained_on == windows
    assert read_arm(tmp_path / "unknown").trained_on is None
    description = json.loads((tmp_path / "new" / "known" / "arm.json").read_text())
    assert {"arm": "lora-r2", "base": "tiny"}.items() <= description.items()
    assert read_arm(tmp_path / "new" / "known").description == description


# Folders that do not fit.


def refusal(family: str, folder) -> str:
    with pytest.raises(UserError) as refused:
        load_adapter(tiny(family), folder)
    assert refused.value.where.startswith(str(folder))
    return refused.value.found


def test_a_folder_without_an_arm_is_refused(tmp_path):
    assert "arm.json" in refusal("chronos", tmp_path)
    (tmp_path / "arm.json").write_text('{"arm": "lora-r", "base": "x"}')
    assert "arm.json" in refusal("chronos", tmp_path)


@pytest.mark.parametrize("name", [*ARMS, "full"])
def test_an_adapter_of_another_family_is_refused(saved, name):
    assert refusal("moirai", saved("chronos", name))


@pytest.mark.parametrize("name", ARMS)
def test_an_adapter_of_a_wider_or_deeper_model_is_refused(tmp_path, name):
    for place, change in enumerate(({"num_heads": 4, "d_model": 24, "d_ff": 48}, {"num_layers": 2})):
        if name in SELECTING_ARMS and "num_layers" in change:
            continue  # T5's head and attention biases are the same at any depth.
        model = Chronos.create({**CHRONOS_SIZES, **change}, seed=0)
        adapt(model, Arm.parse(name), AdaptationParameters(), seed=0, steps=2)
        save_adapter(model, Arm.parse(name), tmp_path / str(place), "another")
        assert "does not fit" in refusal("chronos", tmp_path / str(place))


@pytest.mark.parametrize("name", ["lora-r2", "bitfit", "full"])
def test_a_value_that_is_not_finite_is_refused(saved, tmp_path, name):
    folder = copytree(saved("moirai", name), tmp_path / name)
    path = next(folder.glob("*.safetensors"))
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_file(tensors, path)
    assert "not finite" in refusal("moirai", folder)


def test_a_damaged_file_is_refused(saved, tmp_path):
    folder = copytree(saved("lag-llama", "lora-r2"), tmp_path / "damaged")
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert "does not fit" in refusal("lag-llama", folder)
