"""What the families that give quantiles have in common, on small random models."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from tests.helpers.random_models import FAMILIES, random_uniforms, random_values, series, small
from workflow_scripts.models.quantile_model import QuantileModel, at_levels
from workflow_scripts.runtime.errors import UserError

TRAINED = [0.1, 0.25, 0.5, 0.9]
NO_CLASS_OF_ITS_OWN = ("TimesFM3", "PatchTSTFM")
"""Families whose upstream class needs other versions than ours; darts has the same network."""


@pytest.fixture(scope="module", params=[family for family, _ in FAMILIES], ids=lambda family: family.__name__)
def model(request: pytest.FixtureRequest) -> QuantileModel:
    return small(request.param)


def test_quantiles_between_trained_levels_equal_numpys_interpolation() -> None:
    trained = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    wanted = np.array([0.001, 0.1, 0.17, 0.25, 0.4, 0.5, 0.77, 0.9, 0.999])
    found = at_levels(trained, TRAINED, torch.tensor(wanted)[None, :, None].expand(3, -1, 5))
    expected = np.apply_along_axis(
        lambda values: np.interp(wanted, TRAINED, values), 1, trained.double().numpy()
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-7)
    # At a trained level there is nothing to round.
    assert torch.equal(found[:, [1, 3, 5, 7]], trained)


def test_quantiles_at_trained_levels_are_the_models_own_output(model: QuantileModel) -> None:
    context = series(random_values(4, 40, seed=2))
    trained = model.trained_quantiles(context, 12)
    found = model.quantiles(context, random_uniforms(4, 2, 12), model.levels)
    assert found.shape == (4, len(model.levels), 12)
    torch.testing.assert_close(found, trained, rtol=1e-5, atol=1e-3)


def test_samples_have_the_models_quantiles(model: QuantileModel) -> None:
    """Sorted, as samples of crossing quantiles are: the sample's quantiles are those of the sorted levels."""
    context = series(random_values(3, 40, seed=3, missing=0.0))
    levels = np.array(model.levels)
    # Evenly spaced uniforms: the sample is the distribution itself.
    uniforms = ((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[None, :, None].expand(3, -1, 5)
    drawn = model.sample(context, uniforms.contiguous()).numpy()
    trained = model.trained_quantiles(context, 5).detach().double().numpy()
    fine = np.linspace(0, 1, 200_001)[1:-1]
    function = np.apply_along_axis(lambda values: np.interp(fine, levels, values), 1, trained)
    expected = np.quantile(function, [0.2, 0.5, 0.8], axis=1)
    found = np.quantile(drawn, [0.2, 0.5, 0.8], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.ptp(trained))


def test_a_windows_forecast_does_not_depend_on_its_batch(model: QuantileModel) -> None:
    context, uniforms = series(random_values(7, 40, seed=4)), random_uniforms(7, 5, 12)
    together = model.sample(context, uniforms)
    for row in range(7):
        alone = model.sample(series(context.values[row : row + 1]), uniforms[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-3)


def test_a_series_without_observations_still_gets_a_finite_forecast_and_loss(model: QuantileModel) -> None:
    context, target = series(random_values(2, 40, seed=5)), random_values(2, 12, seed=6)
    assert model.trained_quantiles(context, 12).isfinite().all()
    assert model.loss(context, target).isfinite()


def test_gradients_are_finite_whatever_is_missing(model: QuantileModel) -> None:
    """The first series has no value, the second begins after more than a patch, the others have gaps."""
    context, target = series(random_values(4, 72, seed=17)), random_values(4, 36, seed=18)
    model.loss(context, target).backward()
    broken = [
        name
        for name, weight in model.module.named_parameters()
        if weight.grad is not None and not weight.grad.isfinite().all()
    ]
    model.module.zero_grad(set_to_none=True)
    assert broken == []


def test_a_batch_of_constant_series_has_finite_gradients(model: QuantileModel) -> None:
    model.loss(series(torch.full((2, 24), 70.0)), torch.full((2, 12), 71.0)).backward()
    gradients = [weight.grad for weight in model.module.parameters() if weight.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    model.module.zero_grad(set_to_none=True)


def test_missing_targets_carry_no_loss(model: QuantileModel) -> None:
    context, target = series(random_values(3, 40, seed=7)), random_values(3, 20, seed=8, missing=0.3)
    longer = torch.cat((target, torch.full((3, 12), torch.nan)), dim=1)
    torch.testing.assert_close(model.loss(context, longer), model.loss(context, target), rtol=1e-6, atol=0)


def test_windows_longer_than_the_model_takes_are_refused(model: QuantileModel) -> None:
    longest = {
        "ChronosBolt": (2048, 64),
        "Chronos2": (8192, 1024),
        "Moirai2": (511 * 16, 64),
        "TimesFM25": (16_384, 128),
        "TimesFM3": (15_360, 1024),
        "T0": (None, 1024),
        "PatchTSTFM": (512 - 128, 128),
    }
    context, horizon = longest[type(model).__name__]
    with pytest.raises(UserError, match=f"at most {horizon} steps"):
        model.loss(series(torch.ones(1, 24)), torch.ones(1, horizon + 1))
    with pytest.raises(UserError, match=f"at most {horizon} steps"):
        model.sample(series(torch.ones(1, 24)), random_uniforms(1, 2, horizon + 1))
    if context is None:
        return
    with pytest.raises(UserError, match=f"at most {context} steps"):
        model.sample(series(torch.ones(1, context + 1)), random_uniforms(1, 2, 8))


def test_what_we_save_loads_again_with_the_same_forecast(model: QuantileModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    context = series(random_values(4, 40, seed=10))
    assert not again.module.training
    assert again.levels == model.levels
    theirs, ours = again.module.state_dict(), model.module.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    torch.testing.assert_close(
        again.trained_quantiles(context, 12), model.trained_quantiles(context, 12), rtol=1e-5, atol=1e-3
    )


def test_an_adapter_reloads_on_the_plain_upstream_model_with_the_same_forecast(
    model: QuantileModel, tmp_path: Path
) -> None:
    model.save(tmp_path)
    context, target = series(random_values(4, 40, seed=11)), random_values(4, 12, seed=12)
    adapted = type(model).load(tmp_path)
    before, loss_before = adapted.trained_quantiles(context, 12), adapted.loss(context, target)
    config = LoraConfig(r=2, lora_alpha=16, target_modules=adapted.attention_targets)
    adapted.module = get_peft_model(adapted.module, config).eval()
    torch.testing.assert_close(adapted.trained_quantiles(context, 12), before, rtol=1e-5, atol=1e-3)
    with torch.no_grad():
        for name, parameter in adapted.module.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    expected = adapted.trained_quantiles(context, 12)
    assert not torch.allclose(expected, before)
    assert adapted.loss(context, target) != loss_before
    adapted.module.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)

    again = type(model).load(tmp_path)
    if type(model).__name__ not in NO_CLASS_OF_ITS_OWN:
        upstream = type(model.module).from_pretrained(tmp_path).eval()
        if type(model).__name__ == "ChronosBolt":
            # Without this line transformers 5 does not tell peft where this class keeps its embeddings.
            upstream._input_embed_layer = "shared"
        again = type(model)(upstream)
    reloaded = PeftModel.from_pretrained(again.module, tmp_path / "adapter").eval()
    again.module = reloaded
    torch.testing.assert_close(again.trained_quantiles(context, 12), expected, rtol=1e-5, atol=1e-3)
    again.module = reloaded.merge_and_unload()
    torch.testing.assert_close(again.trained_quantiles(context, 12), expected, rtol=1e-4, atol=1e-2)


def test_a_folder_of_another_family_is_refused(model: QuantileModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        type(model).load(tmp_path)
    for other, _ in FAMILIES:
        if other is not type(model):
            small(other).save(tmp_path)
            with pytest.raises(UserError, match=r"config\.json"):
                type(model).load(tmp_path)
    (tmp_path / "config.json").write_text("not a configuration")
    with pytest.raises(UserError, match="not JSON"):
        type(model).load(tmp_path)


def test_weights_that_are_incomplete_cut_or_pickled_are_refused(model: QuantileModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    file = tmp_path / "model.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    # The output head: upstream's Chronos-Bolt loads without it, and forecasts with random weights.
    heads = (
        "output_layer.weight",
        "output_head.weight",
        "decoder.output_layer.weight",
        "out_layer.layer2.weight",
    )
    dropped = next(name for name in tensors if name.endswith(heads) and "encod" not in name)
    save_file({name: tensors[name] for name in tensors if name != dropped}, file)
    with pytest.raises(UserError, match=dropped):
        type(model).load(tmp_path)
    save_file({**tensors, "of.another.model": torch.ones(2)}, file)
    with pytest.raises(UserError, match=r"of\.another\.model"):
        type(model).load(tmp_path)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        type(model).load(tmp_path)
    file.unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        type(model).load(tmp_path)


def test_weights_of_another_size_are_refused(model: QuantileModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    text = json.dumps(config)
    width = next(
        name for name in ("d_model", "hidden_size", "embed_dim", "model_dims") if f'"{name}"' in text
    )
    text = re.sub(
        rf'"({width}|hidden_dims|output_dims)": (\d+)',
        lambda found: f'"{found[1]}": {2 * int(found[2])}',
        text,
    )
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        type(model).load(tmp_path)
