"""MOIRAI against uni2ts: its own module, packing, loss and sampling."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy import stats
from torch.distributions import Normal
from uni2ts.loss.packed import PackedNLLLoss

from workflow_scripts.models.interface import Series
from workflow_scripts.models.moirai import Moirai, moirai_module_class, pack
from workflow_scripts.models.registry import variant
from workflow_scripts.runtime.errors import UserError

SMALL_SIZES = {"d_model": 64, "num_layers": 2, "patch_sizes": [8, 16, 32]}


def series(values: torch.Tensor) -> Series:
    return Series(values, torch.zeros(len(values), dtype=torch.int64), 3600)


def random_values(rows: int, length: int, seed: int, late: bool = True) -> torch.Tensor:
    """Series with gaps; some start late, so that nothing of whole patches was observed."""
    generator = torch.Generator().manual_seed(seed)
    values = 70 + 10 * torch.randn(rows, length, generator=generator).cumsum(1)
    values[torch.rand(rows, length, generator=generator) < 0.2] = torch.nan
    if late:
        for row in range(rows):
            values[row, : row * 3 % length] = torch.nan
    return values


@pytest.fixture(scope="module")
def model() -> Moirai:
    return Moirai.create(SMALL_SIZES, seed=2)


def upstream_packing(
    model: Moirai,
    context: torch.Tensor,
    target: torch.Tensor,
    patch: int,
    covariates: torch.Tensor | None = None,
) -> dict:
    """What MoiraiForecast makes of the same series: complete ones, as its predictor hands them on, hence no padding."""
    from uni2ts.model.moirai import MoiraiForecast

    forecast = MoiraiForecast(
        prediction_length=target.shape[1],
        target_dim=1,
        feat_dynamic_real_dim=0,
        past_feat_dynamic_real_dim=0 if covariates is None else covariates.shape[1],
        context_length=context.shape[1],
        module=model.module,
        patch_size=patch,
    )
    others = {}
    if covariates is not None:
        by_time = covariates.transpose(1, 2)
        others["past_feat_dynamic_real"] = torch.nan_to_num(by_time)
        others["past_observed_feat_dynamic_real"] = ~torch.isnan(by_time)
    names = ("target", "observed_mask", "sample_id", "time_id", "variate_id", "prediction_mask")
    tensors = forecast._convert(
        patch,
        past_target=torch.nan_to_num(context)[..., None],
        past_observed_target=~torch.isnan(context)[..., None],
        past_is_pad=torch.zeros_like(context, dtype=torch.bool),
        future_target=torch.nan_to_num(target)[..., None],
        future_observed_target=~torch.isnan(target)[..., None],
        future_is_pad=torch.zeros_like(target, dtype=torch.bool),
        **others,
    )
    return dict(zip(names, tensors, strict=True))


def test_importing_the_family_imports_neither_lightning_nor_transformers() -> None:
    program = (
        "import sys; from workflow_scripts.models.moirai import moirai_module_class as c;"
        "c(); assert 'lightning' not in sys.modules; assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_plain_import_of_upstream_finds_the_same_class() -> None:
    from uni2ts.model.moirai import MoiraiModule

    assert MoiraiModule is moirai_module_class()


@pytest.mark.parametrize(
    ("context_length", "horizon", "patch"), [(24, 12, 8), (72, 36, 8), (50, 7, 16), (33, 40, 32)]
)
def test_packed_tensors_equal_upstream(model: Moirai, context_length: int, horizon: int, patch: int) -> None:
    context, target = random_values(9, context_length, seed=1), random_values(9, horizon, 2, late=False)
    context[3] = torch.nan
    expected = upstream_packing(model, context, target, patch)
    packed = pack(context, target, patch, widest_patch=32)
    for name, tensor in expected.items():
        assert torch.equal(packed[name].to(tensor.dtype), tensor), name
    assert (packed["patch_size"] == patch).all()


def test_upstreams_predictor_hands_on_a_series_that_starts_late_without_padding(model: Moirai) -> None:
    """So what is missing at the start is a gap like any other; only shorter series than the context are padded."""
    import pandas as pd
    from uni2ts.model.moirai import MoiraiForecast

    forecast = MoiraiForecast(
        prediction_length=12,
        target_dim=1,
        feat_dynamic_real_dim=0,
        past_feat_dynamic_real_dim=0,
        context_length=24,
        module=model.module,
        patch_size=8,
    )
    values = random_values(4, 24, seed=1)[3].numpy()
    assert np.isnan(values[:8]).all()
    entry = {"target": values, "start": pd.Period("2100-01-01", "h")}
    (found,) = forecast.create_predictor(batch_size=1).input_transform.apply([entry], is_train=False)
    assert not found["past_is_pad"].any()
    np.testing.assert_array_equal(found["past_observed_target"][:, 0], ~np.isnan(values))


def random_covariates(rows: int, others: int, length: int, seed: int) -> torch.Tensor:
    """Some with gaps, some that start late, one that was never observed."""
    covariates = random_values(rows * others, length, seed).unflatten(0, (rows, others))
    covariates[2, 0] = torch.nan
    return covariates


@pytest.mark.parametrize(
    ("context_length", "horizon", "patch"), [(24, 12, 8), (72, 36, 8), (50, 7, 16), (33, 40, 32)]
)
def test_packed_tensors_with_covariates_equal_upstream(
    model: Moirai, context_length: int, horizon: int, patch: int
) -> None:
    """Expected: MoiraiForecast with the covariates as past_feat_dynamic_real."""
    context, target = random_values(9, context_length, seed=1), random_values(9, horizon, 2, late=False)
    context[3] = torch.nan
    covariates = random_covariates(9, 3, context_length, seed=11)
    expected = upstream_packing(model, context, target, patch, covariates)
    packed = pack(context, target, patch, 32, covariates)
    for name, tensor in expected.items():
        assert torch.equal(packed[name].to(tensor.dtype), tensor), name
    assert packed["patch_size"].shape == packed["sample_id"].shape


def test_loss_with_covariates_is_upstreams_on_the_targets_alone(model: Moirai) -> None:
    context, target = random_values(9, 24, seed=3), random_values(9, 12, 4, late=False)
    covariates = random_covariates(9, 2, 24, seed=12)
    masks = upstream_packing(model, context, target, 8, covariates)
    distribution = model.module(**masks, patch_size=torch.full_like(masks["sample_id"], 8))
    masks.pop("time_id")
    expected = PackedNLLLoss()(pred=distribution, **masks)
    found = model.loss(Series(context, torch.zeros(9).long(), 3600, covariates), target)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    # By hand, for one window whose target is complete: the mean over its own twelve points.
    own = Series(context[1:2], torch.zeros(1).long(), 3600, covariates[1:2])
    whole = torch.full((1, 12), 75.0)
    inputs = pack(own.values, whole, 8, 32, own.covariates)
    likelihood = model.module(**inputs).log_prob(inputs["target"])[0, 3:5, :8].flatten()[:12]
    torch.testing.assert_close(model.loss(own, whole), -likelihood.mean())


def test_forecasts_with_covariates_have_upstreams_distribution(model: Moirai) -> None:
    """Expected: MoiraiForecast's own samples, on the same weights and inputs."""
    from uni2ts.model.moirai import MoiraiForecast

    context, covariates = random_values(1, 24, seed=7), random_covariates(3, 2, 24, seed=13)[:1]
    forecast = MoiraiForecast(
        prediction_length=12,
        target_dim=1,
        feat_dynamic_real_dim=0,
        past_feat_dynamic_real_dim=2,
        context_length=24,
        module=model.module,
        patch_size=8,
    )
    torch.manual_seed(5)
    theirs = forecast(
        past_target=torch.nan_to_num(context)[..., None],
        past_observed_target=~torch.isnan(context)[..., None],
        past_is_pad=torch.zeros_like(context, dtype=torch.bool),
        past_feat_dynamic_real=torch.nan_to_num(covariates).transpose(1, 2),
        past_observed_feat_dynamic_real=~torch.isnan(covariates).transpose(1, 2),
        num_samples=20_000,
    )[0]
    uniforms = torch.rand(1, 20_000, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    ours = model.sample(Series(context, torch.zeros(1).long(), 3600, covariates), uniforms)[0]
    for step in range(12):
        assert stats.ks_2samp(theirs[:, step].numpy(), ours[:, step].numpy()).pvalue > 0.001
    alone = model.sample(series(context), uniforms)[0]
    assert stats.ks_2samp(alone[:, 0].numpy(), ours[:, 0].numpy()).pvalue < 1e-6


def test_a_window_with_covariates_does_not_depend_on_its_batch_nor_on_their_order(model: Moirai) -> None:
    context, covariates = random_values(5, 24, seed=9), random_covariates(5, 2, 24, seed=14)
    uniforms = torch.rand(5, 4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    start = torch.zeros(5).long()
    together = model.sample(Series(context, start, 3600, covariates), uniforms)
    alone = Series(context[3:4], start[3:4], 3600, covariates[3:4])
    torch.testing.assert_close(model.sample(alone, uniforms[3:4])[0], together[3], rtol=1e-4, atol=1e-3)
    swapped = model.sample(Series(context, start, 3600, covariates.flip(1)), uniforms)
    torch.testing.assert_close(swapped, together, rtol=1e-4, atol=1e-3)


def test_loss_equals_upstreams_packed_likelihood(model: Moirai) -> None:
    context, target = random_values(9, 24, seed=3), random_values(9, 12, 4, late=False)
    masks = upstream_packing(model, context, target, patch=8)
    distribution = model.module(**masks, patch_size=torch.full_like(masks["sample_id"], 8))
    masks.pop("time_id")
    expected = PackedNLLLoss()(pred=distribution, **masks)
    torch.testing.assert_close(model.loss(series(context), target), expected, rtol=1e-6, atol=0)


def test_missing_targets_carry_no_loss(model: Moirai) -> None:
    context, target = random_values(3, 24, seed=5), torch.full((3, 8), 75.0)
    target[:, 5:] = torch.nan
    changed = target.clone()
    # Without a value there, nothing that stood there can matter: compare with the shorter target.
    full = model.module(**pack(context, target, 8, 32)).log_prob(torch.full((3, 4, 32), 75.0))
    expected = -full[:, 3, :5].mean()
    torch.testing.assert_close(model.loss(series(context), changed), expected)


def test_upstream_reads_what_we_save_with_equal_weights(model: Moirai, tmp_path: Path) -> None:
    model.save(tmp_path)
    theirs = moirai_module_class().from_pretrained(str(tmp_path)).state_dict()
    ours = model.module.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    uniforms = torch.rand(3, 4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    context = series(random_values(3, 24, seed=6))
    assert torch.equal(Moirai.load(tmp_path).sample(context, uniforms), model.sample(context, uniforms))


def test_forecasts_have_upstreams_distribution(model: Moirai) -> None:
    context = random_values(1, 24, seed=7)
    distribution = model.module(**pack(context, torch.zeros(1, 12), 8, 32))
    torch.manual_seed(5)
    theirs = distribution.sample(torch.Size((20_000,)))[:, 0, 3:, :8].flatten(1)[:, :12]
    uniforms = torch.rand(1, 20_000, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    ours = model.sample(series(context), uniforms)[0]
    for step in range(12):
        assert stats.ks_2samp(theirs[:, step].numpy(), ours[:, step].numpy()).pvalue > 0.001


def test_a_diverged_model_has_a_loss_and_a_forecast_that_are_not_finite_and_checks_stay_as_they_were() -> (
    None
):
    """torch would stop at the parameters, and print them all."""
    diverged = Moirai.create(SMALL_SIZES, seed=2)
    with torch.no_grad():
        diverged.module.in_proj.weight.fill_(torch.inf)
    context, uniforms = series(random_values(3, 24, seed=8)), torch.full((3, 4, 12), 0.5, dtype=torch.float64)
    assert not diverged.loss(context, random_values(3, 12, seed=9)).isfinite()
    assert not diverged.sample(context, uniforms).isfinite().any()
    with pytest.raises(ValueError, match="invalid values"):
        Normal(torch.tensor(torch.nan), 1.0)


def test_a_windows_forecast_does_not_depend_on_its_batch(model: Moirai) -> None:
    context = series(random_values(7, 24, seed=9))
    uniforms = torch.rand(7, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    together = model.sample(context, uniforms)
    for row in range(7):
        alone = series(context.values[row : row + 1])
        torch.testing.assert_close(
            model.sample(alone, uniforms[row : row + 1])[0], together[row], rtol=1e-4, atol=1e-3
        )


def test_a_forecast_follows_the_scale_of_its_context(model: Moirai) -> None:
    """The scaler standardises, so shifting and stretching a whole context does the same to its forecast."""
    context = random_values(4, 24, seed=10, late=False)
    context = torch.nan_to_num(context, nan=70.0)
    uniforms = torch.rand(4, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    plain = model.sample(series(context), uniforms)
    moved = model.sample(series(3 * context + 50), uniforms)
    torch.testing.assert_close(moved, 3 * plain + 50, rtol=1e-3, atol=1e-1)


def test_an_adapted_model_forecasts_with_its_adapter() -> None:
    adapted = Moirai.create(SMALL_SIZES, seed=3)
    context = series(random_values(4, 24, seed=10))
    uniforms = torch.rand(4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    before = adapted.sample(context, uniforms)
    adapted.module = get_peft_model(
        adapted.module, LoraConfig(r=2, lora_alpha=16, target_modules=Moirai.attention_targets)
    ).eval()
    assert torch.equal(adapted.sample(context, uniforms), before)
    with torch.no_grad():
        for name, parameter in adapted.module.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.5)
    assert not torch.equal(adapted.sample(context, uniforms), before)


def test_lora_learns_from_windows_with_covariates() -> None:
    adapted, values = Moirai.create(SMALL_SIZES, seed=3), random_values(4, 24, seed=10)
    context = Series(values, torch.zeros(4).long(), 3600, random_covariates(4, 2, 24, seed=15))
    adapted.module = get_peft_model(adapted.module, LoraConfig(r=2, target_modules=Moirai.attention_targets))
    adapted.loss(context, random_values(4, 12, seed=11)).backward()
    gradients = {name: weight.grad for name, weight in adapted.module.named_parameters() if "lora_B" in name}
    assert len(gradients) == 2 * 4
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())


def test_patches_are_small_enough_for_short_contexts() -> None:
    published = Moirai.create({**SMALL_SIZES, "patch_sizes": [8, 16, 32, 64, 128]}, seed=0)
    assert [published.patch_size(length) for length in (1, 24, 72, 128, 512, 5000)] == [8, 8, 8, 16, 64, 128]


def test_windows_longer_than_the_models_positions_are_refused(model: Moirai) -> None:
    """512 tokens: uni2ts would go on beyond them, into positions that were never trained."""
    short, uniforms = series(torch.ones(1, 24)), torch.full((1, 2, 511 * 8 + 1), 0.5, dtype=torch.float64)
    with pytest.raises(UserError, match="at most 4088 steps"):
        model.sample(short, uniforms)
    with pytest.raises(UserError, match="at most 4088 steps"):
        model.loss(short, torch.ones(1, 511 * 8 + 1))
    with pytest.raises(UserError, match=r"windows\.context(.|\n)*at most 16352 steps"):
        model.sample(series(torch.ones(1, 511 * 32 + 1)), uniforms[:, :, :12])
    # Three series share the tokens: 511 // 3 patches of 32 for each.
    several = Series(torch.ones(1, 170 * 32 + 1), torch.zeros(1).long(), 3600, torch.ones(1, 2, 170 * 32 + 1))
    with pytest.raises(UserError, match=r"windows\.context(.|\n)*at most 5440 steps"):
        model.sample(several, uniforms[:, :, :12])


# Totals and trainable counts of docs' table; the small total is also the published one.
COUNTS = {"small": (13_827_528, 24, 18_432), "base": (None, 48, 73_728), "large": (None, 96, 196_608)}


@pytest.mark.parametrize("rank", [1, 2, 32])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("size", COUNTS)
def test_lora_trains_the_published_number_of_parameters(version: str, size: str, rank: int) -> None:
    total, matrices, rank_one = COUNTS[size]
    with torch.device("meta"):
        built = Moirai.create(variant(f"moirai-{version}-R-{size}").sizes, seed=0)
        counted = sum(parameter.numel() for parameter in built.module.parameters())
        assert total in (None, counted)
        wrapped = get_peft_model(
            built.module, LoraConfig(r=rank, lora_alpha=16, target_modules=Moirai.attention_targets)
        )
    trainable = [p for p in wrapped.parameters() if p.requires_grad]
    assert len(trainable) == 2 * matrices
    assert sum(parameter.numel() for parameter in trainable) == rank * rank_one


def test_a_folder_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"d_model": 384}')
    with pytest.raises(UserError, match="distr_output"):
        Moirai.load(tmp_path)


def test_weights_of_another_size_are_refused(model: Moirai, tmp_path: Path) -> None:
    model.save(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"num_layers": 2', '"num_layers": 3'))
    with pytest.raises(UserError, match="cannot be read"):
        Moirai.load(tmp_path)
