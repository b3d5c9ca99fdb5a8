"""Chronos against the upstream package: `chronos`, and transformers' own generation."""

from pathlib import Path

import chronos as upstream
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import ks_2samp

from workflow_scripts.models.chronos import Chronos, Quantiser, draw_tokens
from workflow_scripts.models.interface import Series
from workflow_scripts.models.paths import Independent
from workflow_scripts.models.registry import variant
from workflow_scripts.runtime.errors import UserError

NANO = {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2, "d_kv": 16}


def series(values: torch.Tensor) -> Series:
    return Series(values, torch.zeros(len(values), dtype=torch.int64), 3600)


def random_values(rows: int, length: int, seed: int, missing: float = 0.2) -> torch.Tensor:
    """Positive series of many sizes, with gaps, one row constant zero and one row wholly unobserved."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(rows, length, generator=generator) * torch.logspace(-2, 4, rows)[:, None]
    values[torch.rand(rows, length, generator=generator) < missing] = torch.nan
    values[0] = 0.0
    values[1] = torch.nan
    return values


@pytest.fixture(scope="module")
def model() -> Chronos:
    """A small random model whose logits are spread enough for sampling to be far from uniform."""
    built = Chronos.create(NANO, seed=3)
    with torch.no_grad():
        built.module.lm_head.weight.mul_(200.0)
    return built


@pytest.fixture(scope="module")
def pipeline(model: Chronos, tmp_path_factory: pytest.TempPathFactory) -> upstream.ChronosPipeline:
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder)
    return upstream.BaseChronosPipeline.from_pretrained(folder, device_map="cpu", dtype=torch.float32)


def test_upstream_reads_what_we_save_with_equal_weights(
    model: Chronos, pipeline: upstream.ChronosPipeline
) -> None:
    theirs = pipeline.model.model.state_dict()
    ours = model.module.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_what_we_save_loads_again_with_the_same_forecast(model: Chronos, tmp_path: Path) -> None:
    model.save(tmp_path)
    uniforms = torch.rand(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    context = series(random_values(4, 24, seed=5))
    again = Chronos.load(tmp_path)
    assert not again.module.training
    assert torch.equal(again.sample(context, uniforms), model.sample(context, uniforms))


def test_tokens_equal_upstream_bit_for_bit(pipeline: upstream.ChronosPipeline) -> None:
    context, target = random_values(64, 40, seed=1), random_values(64, 64, seed=2)
    quantiser = Quantiser.of(vars(pipeline.model.config))
    their_ids, their_mask, their_scale = pipeline.tokenizer.context_input_transform(context.clone())
    scale = quantiser.scale(context)
    ids, mask = quantiser.encode(context, scale)
    assert torch.equal(scale, their_scale)
    assert torch.equal(ids, their_ids)
    assert torch.equal(mask, their_mask)
    their_labels, their_label_mask = pipeline.tokenizer.label_input_transform(target.clone(), their_scale)
    labels, label_mask = quantiser.encode(target, scale)
    assert torch.equal(labels, their_labels)
    assert torch.equal(label_mask, their_label_mask)


def test_values_of_tokens_equal_upstream_bit_for_bit(pipeline: upstream.ChronosPipeline) -> None:
    ids = torch.arange(4096).reshape(2, 4, 512)
    scale = torch.tensor([0.37, 91.0])
    quantiser = Quantiser.of(vars(pipeline.model.config))
    assert torch.equal(quantiser.decode(ids, scale), pipeline.tokenizer.output_transform(ids, scale))


@pytest.mark.parametrize("horizon", [1, 12, 64])
def test_loss_equals_upstreams_training_preprocessing(
    model: Chronos, pipeline: upstream.ChronosPipeline, horizon: int
) -> None:
    context, target = random_values(8, 30, seed=3), random_values(8, horizon, seed=4)
    settings = upstream.ChronosConfig(**{**vars(pipeline.model.config), "prediction_length": horizon})
    tokenizer = settings.create_tokenizer()
    ids, mask, scale = tokenizer.context_input_transform(context.clone())
    labels, label_mask = tokenizer.label_input_transform(target.clone(), scale)
    labels[label_mask == 0] = -100
    expected = pipeline.model.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(model.loss(series(context), target), expected, rtol=0, atol=0)


def test_missing_targets_carry_no_loss(model: Chronos) -> None:
    context = series(torch.full((2, 24), 80.0))
    target = torch.full((2, 12), 81.0)
    target[1] = torch.nan
    alone = Series(context.values[:1], context.start[:1], context.step)
    # The second row keeps its end token alone: 14 labels in all.
    both = model.loss(context, target) * 14
    first = model.loss(alone, target[:1]) * 13
    end_only = model.loss(Series(context.values[1:], context.start[1:], 3600), target[1:])
    torch.testing.assert_close(both, first + end_only)


def test_first_step_follows_upstreams_forward_exactly(
    model: Chronos, pipeline: upstream.ChronosPipeline
) -> None:
    context = random_values(6, 24, seed=6)
    ids, mask, scale = pipeline.tokenizer.context_input_transform(context)
    logits = pipeline.model.model(
        input_ids=ids, attention_mask=mask, decoder_input_ids=torch.zeros(6, 1, dtype=torch.int64)
    ).logits[:, 0]
    uniforms = torch.linspace(0.005, 0.995, 100, dtype=torch.float64).expand(6, 100)[:, :, None]
    drawn = model.sample(series(context), uniforms.contiguous())
    for row in range(6):
        # Independent expectation: NumPy's softmax over the 50 best, without the end token.
        scores = logits[row].detach().double().numpy().copy()
        scores[1] = -np.inf
        kept = np.sort(np.argsort(scores)[-50:])
        weights = np.exp(scores[kept] - scores[kept].max())
        place = np.searchsorted(np.cumsum(weights / weights.sum()), uniforms[row, :, 0].numpy())
        expected = pipeline.tokenizer.output_transform(
            torch.tensor(kept[place])[None, :, None], scale[row : row + 1]
        )
        assert torch.equal(drawn[row : row + 1], expected)


def test_forecasts_have_upstreams_distribution(model: Chronos, pipeline: upstream.ChronosPipeline) -> None:
    context = 80 + 10 * torch.sin(torch.arange(24.0))[None]
    torch.manual_seed(11)
    theirs = pipeline.predict(context, prediction_length=4, num_samples=1500)[0]
    uniforms = torch.rand(1, 1500, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(12))
    ours = model.sample(series(context), uniforms)[0]
    for step in range(4):
        assert ks_2samp(theirs[:, step].numpy(), ours[:, step].numpy()).pvalue > 0.01
    # Steps depend on each other in the same way: compare the differences between steps too.
    assert ks_2samp((theirs[:, 3] - theirs[:, 0]).numpy(), (ours[:, 3] - ours[:, 0]).numpy()).pvalue > 0.01


def test_a_cached_path_equals_teacher_forcing_without_cache(model: Chronos) -> None:
    context = random_values(3, 24, seed=8)
    uniforms = torch.rand(3, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ids, mask, scale = model.encode_context(series(context))
    tokens = model.draw_paths(ids, mask, 6, Independent(uniforms))
    for sample in range(2):
        start = torch.zeros(3, 1, dtype=torch.int64)
        logits = model.module(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.cat((start, tokens[:, sample, :-1]), 1),
        ).logits
        for step in range(6):
            expected = draw_tokens(logits[:, step].detach(), uniforms[:, sample, step, None], 50, forbidden=1)
            assert torch.equal(tokens[:, sample, step], expected[:, 0])
    assert torch.isfinite(scale).all()


def test_a_windows_forecast_does_not_depend_on_its_batch(model: Chronos) -> None:
    context = series(random_values(7, 24, seed=9))
    uniforms = torch.rand(7, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    together = model.sample(context, uniforms)
    for row in range(7):
        alone = Series(context.values[row : row + 1], context.start[row : row + 1], context.step)
        torch.testing.assert_close(model.sample(alone, uniforms[row : row + 1])[0], together[row])


def test_the_end_token_is_never_drawn_and_a_larger_uniform_never_means_a_smaller_value() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(4))
    logits[:, 1] = 50.0
    levels = torch.linspace(1e-9, 1 - 1e-9, 200, dtype=torch.float64)
    drawn = draw_tokens(logits, levels.expand(5, -1), 10, forbidden=1).T
    assert (drawn != 1).all()
    assert (drawn.diff(dim=0) >= 0).all()
    assert all(len(drawn[:, row].unique()) == 10 for row in range(5))


def test_a_horizon_beyond_the_models_is_refused(model: Chronos) -> None:
    context = series(torch.full((1, 24), 80.0))
    with pytest.raises(UserError, match="at most 64 steps"):
        model.loss(context, torch.full((1, 65), 80.0))
    with pytest.raises(UserError, match="at most 64 steps"):
        model.sample(context, torch.full((1, 2, 65), 0.5, dtype=torch.float64))


def test_a_context_that_upstream_would_cut_is_refused(model: Chronos) -> None:
    with pytest.raises(UserError, match=r"windows\.context(.|\n)*at most 512 steps"):
        model.loss(series(torch.full((1, 513), 80.0)), torch.full((1, 12), 80.0))


def test_an_adapted_model_forecasts_with_its_adapter() -> None:
    adapted = Chronos.create(NANO, seed=3)
    context = series(random_values(4, 24, seed=10))
    uniforms = torch.rand(4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    target = random_values(4, 6, seed=11)
    before, loss_before = adapted.sample(context, uniforms), adapted.loss(context, target)
    adapted.module = get_peft_model(
        adapted.module, LoraConfig(r=2, lora_alpha=16, target_modules=Chronos.attention_targets)
    ).eval()
    assert torch.equal(adapted.sample(context, uniforms), before)
    assert torch.equal(adapted.loss(context, target), loss_before)
    with torch.no_grad():
        for name, parameter in adapted.module.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.5)
    assert not torch.equal(adapted.sample(context, uniforms), before)
    assert not torch.equal(adapted.loss(context, target), loss_before)


# Totals and trainable counts of docs' table, computed there from the published configurations.
COUNTS = {
    "chronos-t5-tiny": (8_394_496, 48, 24_576),
    "chronos-t5-mini": (20_456_192, 48, 43_008),
    "chronos-t5-small": (46_154_240, 72, 73_728),
    "chronos-t5-base": (None, 144, 221_184),
    "chronos-t5-large": (None, 288, None),
}


@pytest.mark.parametrize("rank", [1, 2, 32])
@pytest.mark.parametrize("name", COUNTS)
def test_lora_trains_the_published_number_of_parameters(name: str, rank: int) -> None:
    total, matrices, rank_one = COUNTS[name]
    with torch.device("meta"):
        built = Chronos.create(variant(name).sizes, seed=0)
        counted = sum(parameter.numel() for parameter in built.module.parameters())
        assert total in (None, counted)
        wrapped = get_peft_model(
            built.module, LoraConfig(r=rank, lora_alpha=16, target_modules=Chronos.attention_targets)
        )
    trainable = [p for p in wrapped.parameters() if p.requires_grad]
    assert len(trainable) == 2 * matrices
    if rank_one is not None:
        assert sum(parameter.numel() for parameter in trainable) == rank * rank_one


def test_a_folder_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"d_model": 384}')
    with pytest.raises(UserError, match="without chronos_config"):
        Chronos.load(tmp_path)


def test_incomplete_weights_are_refused(model: Chronos, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    dropped = "decoder.final_layer_norm.weight"
    save_file({name: t for name, t in tensors.items() if name != dropped}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=dropped):
        Chronos.load(tmp_path)


def test_weights_of_another_size_are_refused(model: Chronos, tmp_path: Path) -> None:
    model.save(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"d_model": 32', '"d_model": 64'))
    with pytest.raises(UserError, match="cannot be read"):
        Chronos.load(tmp_path)
