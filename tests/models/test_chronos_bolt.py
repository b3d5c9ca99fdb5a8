"""Chronos-Bolt against the upstream package: its pipeline, its loss, published counts."""

from pathlib import Path

import chronos as upstream
import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.helpers.random_models import random_uniforms, random_values, series, small
from workflow_scripts.models.chronos_bolt import ChronosBolt

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.fixture(scope="module")
def model() -> ChronosBolt:
    return small(ChronosBolt)


@pytest.fixture(scope="module")
def pipeline(model: ChronosBolt, tmp_path_factory: pytest.TempPathFactory) -> upstream.ChronosBoltPipeline:
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder)
    return upstream.BaseChronosPipeline.from_pretrained(folder, device_map="cpu", dtype=torch.float32)


def test_upstream_reads_what_we_save_with_equal_weights(
    model: ChronosBolt, pipeline: upstream.ChronosBoltPipeline
) -> None:
    assert isinstance(pipeline, upstream.ChronosBoltPipeline)
    theirs, ours = pipeline.model.state_dict(), model.module.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


@pytest.mark.parametrize(("length", "horizon"), [(24, 12), (72, 36), (300, 64), (5, 1)])
def test_quantiles_equal_the_pipelines(
    model: ChronosBolt, pipeline: upstream.ChronosBoltPipeline, length: int, horizon: int
) -> None:
    values = random_values(6, length, seed=length)
    expected, _ = pipeline.predict_quantiles(values, prediction_length=horizon, quantile_levels=LEVELS)
    found = model.quantiles(series(values), random_uniforms(6, 2, horizon), LEVELS)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-4)


def test_quantiles_between_trained_levels_equal_the_pipelines(
    model: ChronosBolt, pipeline: upstream.ChronosBoltPipeline
) -> None:
    """Those of random weights cross, and the pipeline sorts them first."""
    values, wanted = random_values(6, 40, seed=1), [0.02, 0.1, 0.25, 0.5, 0.66, 0.97]
    expected, _ = pipeline.predict_quantiles(values, prediction_length=12, quantile_levels=wanted)
    found = model.quantiles(series(values), random_uniforms(6, 2, 12), wanted)
    assert (model.trained_quantiles(series(values), 12).diff(dim=1) < 0).any()
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-3)


def test_loss_is_the_quantile_loss_written_out_with_numpy(model: ChronosBolt) -> None:
    """Twice the pinball loss on values standardised by the context, mean over levels, sum over 64 steps."""
    context, target = random_values(5, 40, seed=2, missing=0.0), random_values(5, 12, seed=3, missing=0.0)
    mean = context.mean(1, keepdim=True)
    spread = context.std(1, keepdim=True, correction=0)
    forecast = (model.trained_quantiles(series(context), 12) - mean[..., None]) / spread[..., None]
    error = ((target - mean) / spread)[:, None] - forecast
    level = torch.tensor(LEVELS)[:, None]
    expected = (2 * torch.maximum(level * error, (level - 1) * error)).mean(1).sum(1).mean()
    torch.testing.assert_close(model.loss(series(context), target), expected, rtol=1e-5, atol=0)


# The hub lists 8.65M, 21.2M, 47.7M and 0.2B for amazon/chronos-bolt-*.
COUNTS = {
    "tiny": ((256, 1024, 4, 4), 8_652_672),
    "mini": ((384, 1536, 4, 8), 21_236_096),
    "small": ((512, 2048, 6, 8), 47_718_016),
    "base": ((768, 3072, 12, 12), 205_292_928),
}


@pytest.mark.parametrize("size", COUNTS)
def test_lora_trains_as_many_parameters_as_the_sizes_say(size: str) -> None:
    (width, inner, layers, heads), total = COUNTS[size]
    sizes = {"d_model": width, "d_ff": inner, "num_layers": layers, "num_heads": heads, "d_kv": 64}
    with torch.device("meta"):
        built = ChronosBolt.create(sizes, seed=0)
        assert sum(parameter.numel() for parameter in built.module.parameters()) == total
        config = LoraConfig(r=8, target_modules=ChronosBolt.attention_targets)
        wrapped = get_peft_model(built.module, config)
    trainable = sum(weight.numel() for weight in wrapped.parameters() if weight.requires_grad)
    # q, k, v and o of one attention in each encoder layer and two in each decoder layer.
    assert trainable == 3 * layers * 4 * 8 * (width + heads * 64)


def test_a_new_model_starts_with_a_loss_of_a_trained_ones_order() -> None:
    """Upstream's initial factor: about the loss of always forecasting the context's mean."""
    fresh = ChronosBolt.create({"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 2, "d_kv": 32}, 0)
    context, target = random_values(16, 40, seed=4, missing=0.0), random_values(16, 64, seed=5, missing=0.0)
    # The mean absolute deviation of a normal variable is 0.8; 64 steps are summed.
    assert fresh.loss(series(context), target).item() == pytest.approx(64 * 0.8, rel=0.2)


def test_the_folder_names_what_upstream_needs_to_find_its_classes(model: ChronosBolt, tmp_path: Path) -> None:
    model.save(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert '"ChronosBoltModelForForecasting"' in text
    assert '"chronos_pipeline_class": "ChronosBoltPipeline"' in text
