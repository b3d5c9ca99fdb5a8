"""Chronos-2 against the upstream package: its pipeline, its own training batches, counts."""

import chronos as upstream
import pytest
import torch
from chronos.chronos2 import Chronos2Dataset
from peft import LoraConfig, get_peft_model

from tests.helpers.random_models import random_uniforms, random_values, series, small
from workflow_scripts.models.chronos_2 import Chronos2
from workflow_scripts.models.interface import Series

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.fixture(scope="module")
def model() -> Chronos2:
    return small(Chronos2)


@pytest.fixture(scope="module")
def pipeline(model: Chronos2, tmp_path_factory: pytest.TempPathFactory) -> upstream.Chronos2Pipeline:
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder)
    return upstream.BaseChronosPipeline.from_pretrained(folder, device_map="cpu", dtype=torch.float32)


def test_upstream_reads_what_we_save_with_equal_weights(
    model: Chronos2, pipeline: upstream.Chronos2Pipeline
) -> None:
    assert isinstance(pipeline, upstream.Chronos2Pipeline)
    theirs, ours = pipeline.model.state_dict(), model.module.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


@pytest.mark.parametrize(("length", "horizon"), [(24, 12), (72, 36), (300, 64), (5, 1)])
def test_quantiles_equal_the_pipelines(
    model: Chronos2, pipeline: upstream.Chronos2Pipeline, length: int, horizon: int
) -> None:
    """Also at levels that it was not trained at (0.12, 0.97) and beyond its outermost (0.001)."""
    values, wanted = random_values(6, length, seed=length), [0.001, 0.12, *LEVELS, 0.97]
    expected, _ = pipeline.predict_quantiles(
        values[:, None], prediction_length=horizon, quantile_levels=wanted
    )
    found = model.quantiles(series(values), random_uniforms(6, 2, horizon), wanted)
    torch.testing.assert_close(found, torch.cat(expected).transpose(1, 2), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("horizon", [12, 36])
def test_loss_equals_upstreams_own_training_batch(model: Chronos2, horizon: int) -> None:
    values = random_values(6, 40 + horizon, seed=horizon)
    # Its validation mode takes the last steps as the target; training mode takes steps at random.
    batches = Chronos2Dataset(
        values[:, None],
        context_length=8192,
        prediction_length=horizon,
        batch_size=6,
        output_patch_size=16,
        mode="validation",
    )
    expected = model.module(**next(iter(batches))).loss
    found = model.loss(series(values[:, :40]), values[:, 40:])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def several(length: int, seed: int, rows: int = 5, others: int = 2) -> Series:
    """Series with covariates; of the first window nothing was observed, and of its first covariate neither."""
    values = random_values(rows, length, seed)
    covariates = random_values(rows * others, length, seed + 1).unflatten(0, (rows, others))
    return Series(values, torch.zeros(rows, dtype=torch.int64), 3600, covariates)


@pytest.mark.parametrize(("length", "horizon"), [(24, 12), (72, 36)])
def test_quantiles_with_covariates_equal_the_pipelines(
    model: Chronos2, pipeline: upstream.Chronos2Pipeline, length: int, horizon: int
) -> None:
    """Expected: the pipeline's forecast with past_covariates."""
    context = several(length, seed=length)
    inputs = [
        {"target": own, "past_covariates": {"pulse": others[0], "breath": others[1]}}
        for own, others in zip(context.values, context.covariates, strict=True)
    ]
    expected, _ = pipeline.predict_quantiles(inputs, prediction_length=horizon, quantile_levels=LEVELS)
    found = model.quantiles(context, random_uniforms(5, 2, horizon), LEVELS)
    torch.testing.assert_close(found, torch.cat(expected).transpose(1, 2), rtol=1e-5, atol=1e-3)
    alone = model.quantiles(series(context.values), random_uniforms(5, 2, horizon), LEVELS)
    assert not torch.allclose(found[1:], alone[1:], rtol=1e-3)


def test_loss_with_covariates_is_upstreams_on_the_targets_alone(model: Chronos2) -> None:
    """Upstream's training batch has three rows for each window, of which two carry no loss but count in its mean."""
    whole = several(40 + 12, seed=12)
    batches = Chronos2Dataset(
        [
            {"target": own, "past_covariates": {"pulse": others[0], "breath": others[1]}}
            for own, others in zip(whole.values, whole.covariates, strict=True)
        ],
        context_length=8192,
        prediction_length=12,
        batch_size=15,
        output_patch_size=16,
        mode="validation",
    )
    expected = model.module(**next(iter(batches))).loss
    context = Series(whole.values[:, :40], whole.start, 3600, whole.covariates[:, :, :40])
    torch.testing.assert_close(model.loss(context, whole.values[:, 40:]), 3 * expected, rtol=1e-5, atol=0)


def test_windows_with_covariates_do_not_see_each_other(model: Chronos2) -> None:
    context = several(40, seed=5)
    alone = Series(context.values[3:4], context.start[3:4], 3600, context.covariates[3:4])
    torch.testing.assert_close(
        model.trained_quantiles(alone, 12)[0], model.trained_quantiles(context, 12)[3], rtol=1e-5, atol=1e-3
    )


def test_lora_learns_from_covariates_in_time_and_between_series() -> None:
    """Alone, a series attends between series to itself only, so that q and k of that attention learn nothing."""
    adapted, context = small(Chronos2), several(40, seed=6)
    adapted.module = get_peft_model(
        adapted.module, LoraConfig(r=2, target_modules=Chronos2.attention_targets)
    )
    adapted.loss(context, random_values(5, 12, seed=7)).backward()
    gradients = {name: weight.grad for name, weight in adapted.module.named_parameters() if "lora_B" in name}
    assert len(gradients) == 2 * 2 * 4
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())


def test_series_of_a_batch_do_not_see_each_other(model: Chronos2) -> None:
    values = random_values(4, 40, seed=3, missing=0.0)
    changed = values.clone()
    changed[1:] = 5.0
    torch.testing.assert_close(
        model.trained_quantiles(series(changed), 12)[0],
        model.trained_quantiles(series(values), 12)[0],
        rtol=1e-6,
        atol=1e-4,
    )


# The published model has "120M" parameters (arXiv 2510.15821); small are the sizes in upstream's defaults.
COUNTS = {"small": ((512, 2048, 6, 8), 28_262_560), "base": ((768, 3072, 12, 12), 119_477_664)}


@pytest.mark.parametrize("size", COUNTS)
def test_lora_trains_as_many_parameters_as_the_sizes_say(size: str) -> None:
    (width, inner, layers, heads), total = COUNTS[size]
    sizes = {"d_model": width, "d_ff": inner, "num_layers": layers, "num_heads": heads, "d_kv": 64}
    with torch.device("meta"):
        built = Chronos2.create(sizes, seed=0)
        assert sum(parameter.numel() for parameter in built.module.parameters()) == total
        wrapped = get_peft_model(built.module, LoraConfig(r=8, target_modules=Chronos2.attention_targets))
    trainable = sum(weight.numel() for weight in wrapped.parameters() if weight.requires_grad)
    # q, k, v and o of two attentions in each layer: in time and between series.
    assert trainable == 2 * layers * 4 * 8 * (width + heads * 64)
