"""Lag-Llama behind the interface of all families: files, loss, sampling, and what LoRA finds in it."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from scipy import stats
from torch import Tensor, nn

from workflow_scripts.models.interface import Series
from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.models.lag_llama.network import Memory
from workflow_scripts.models.lag_llama.sampling import Past
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.lag_llama.tokens import calendar_features
from workflow_scripts.models.registry import VARIANTS, family_class
from workflow_scripts.runtime.errors import UserError

TINY = {"n_layer": 2, "n_head": 2, "n_embd_per_head": 8, "context_length": 16}
HOUR = 3600


def heart_rates(batch: int, length: int, seed: int = 0) -> Series:
    """Noisy daily rhythms around 80 per minute, a tenth not observed."""
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * math.pi * (torch.arange(length) / 24 + torch.rand(batch, 1, generator=generator))
    values = 80 + 5 * phase.sin() + torch.randn(batch, length, generator=generator)
    values[torch.rand(batch, length, generator=generator) < 0.1] = torch.nan
    return Series(values, 4_100_000_000 + HOUR * torch.arange(batch), HOUR)


def windows(batch: int, horizon: int) -> tuple[Series, Tensor]:
    """Contexts of 24 values and what followed them."""
    series = heart_rates(batch, 24 + horizon)
    return Series(series.values[:, :24], series.start, HOUR), series.values[:, 24:]


def uniforms(batch: int, samples: int, horizon: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, samples, horizon, dtype=torch.float64, generator=generator)


@pytest.fixture
def tiny() -> LagLlama:
    return LagLlama.create(TINY, seed=3)


def test_the_registry_finds_this_family() -> None:
    assert family_class("lag-llama") is LagLlama


def test_the_nano_size_is_well_under_a_million_parameters() -> None:
    model = LagLlama.create(VARIANTS["lag-llama-nano"].sizes, seed=0)
    assert sum(parameter.numel() for parameter in model.module.parameters()) == 137_539


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    first, expected_next = LagLlama.create(TINY, seed=9), torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), expected_next)
    again, other = LagLlama.create(TINY, seed=9), LagLlama.create(TINY, seed=10)
    name = "transformer.wte.weight"
    assert torch.equal(first.module.state_dict()[name], again.module.state_dict()[name])
    assert not torch.equal(first.module.state_dict()[name], other.module.state_dict()[name])


@pytest.mark.parametrize(
    ("rank", "trainable"),
    [(1, 8_064), (2, 16_128), (4, 32_256), (8, 64_512), (16, 129_024), (32, 258_048)],
)
def test_lora_on_the_official_size_trains_the_published_number_of_parameters(
    rank: int, trainable: int
) -> None:
    """Counts: 8 layers x rank x (288 + 432 + 288), the inputs and outputs of the three projections."""
    model = LagLlama.create(VARIANTS["lag-llama"].sizes, seed=0)
    adapted = get_peft_model(model.module, LoraConfig(r=rank, target_modules=model.attention_targets))
    assert adapted.get_nb_trainable_parameters()[0] == trainable
    assert len(adapted.targeted_module_names) == 24


def test_a_wrapped_module_starts_from_the_same_loss_and_forecast_and_learns(tiny: LagLlama) -> None:
    (context, target), numbers = windows(8, 6), uniforms(8, 4, 6)
    loss, samples = tiny.loss(context, target), tiny.sample(context, numbers)
    base = {name: tensor.clone() for name, tensor in tiny.module.state_dict().items()}
    tiny.module = get_peft_model(tiny.module, LoraConfig(r=2, target_modules=tiny.attention_targets))
    assert torch.equal(tiny.loss(context, target), loss)
    torch.testing.assert_close(tiny.sample(context, numbers), samples, rtol=1e-6, atol=1e-5)

    trained = [parameter for parameter in tiny.module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=1e-2)
    for _ in range(5):
        optimiser.zero_grad()
        tiny.loss(context, target).backward()
        optimiser.step()
    assert tiny.loss(context, target) < loss
    adapted = tiny.sample(context, numbers)
    tiny.module = tiny.module.merge_and_unload()
    torch.testing.assert_close(tiny.sample(context, numbers), adapted, rtol=1e-5, atol=1e-4)
    merged = tiny.module.state_dict()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert changed == {f"transformer.h.{i}.attn.{p}_proj.weight" for i in (0, 1) for p in ("q", "kv", "c")}


def test_full_training_lowers_the_loss(tiny: LagLlama) -> None:
    context, target = windows(16, 6)
    optimiser = torch.optim.Adam(tiny.module.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = tiny.loss(context, target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2


def test_saved_weights_load_equal(tiny: LagLlama, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny")
    loaded = LagLlama.load(tmp_path / "tiny")
    assert loaded.configuration == tiny.configuration
    assert not loaded.module.training
    assert all(parameter.requires_grad for parameter in loaded.module.parameters())
    context, numbers = heart_rates(3, 24), uniforms(3, 4, 6)
    assert torch.equal(loaded.sample(context, numbers), tiny.sample(context, numbers))


def test_every_setting_survives_saving_and_loading(tmp_path: Path) -> None:
    sizes = {"scaling": "mean", "time_feat": False, "lags": [0, 1, 5], "max_context_length": 64}
    rope = {"rope_scaling": {"type": "linear", "factor": 1.5}}
    model = LagLlama.create(TINY | sizes | rope, seed=0)
    model.save(tmp_path)
    assert LagLlama.load(tmp_path).configuration == model.configuration


def test_a_wrapped_module_is_not_saved_as_base_weights(tiny: LagLlama, tmp_path: Path) -> None:
    tiny.module = get_peft_model(tiny.module, LoraConfig(r=2, target_modules=tiny.attention_targets))
    with pytest.raises(TypeError, match="wrapped"):
        tiny.save(tmp_path / "wrapped")
    assert not (tmp_path / "wrapped").exists()


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_settings(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    settings = json.loads((folder / "config.json").read_text())
    change(settings)
    (folder / "config.json").write_text(json.dumps(settings))


WTE = "transformer.wte.bias"
MISFITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "no such file"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
    "not JSON": (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object"),
    "another family": (
        lambda folder: edit_settings(folder, lambda settings: settings.update(model_type="t5")),
        "model_type 't5'",
    ),
    "no sizes": (lambda folder: edit_settings(folder, lambda settings: settings.pop("n_layer")), "n_layer"),
    "unknown setting": (lambda folder: edit_settings(folder, lambda settings: settings.update(x=1)), "x: "),
    "one layer too many": (
        lambda folder: edit_settings(folder, lambda settings: settings.update(n_layer=1)),
        "8 (transformer.h.1.attn.c_proj.weight",
    ),
    "another size": (
        lambda folder: edit_settings(folder, lambda settings: settings.update(n_head=3)),
        "float32 [1, 16]",
    ),
    "truncated": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x08\x00\x00"),
        "not readable",
    ),
    "a tensor missing": (lambda folder: edit_tensors(folder, lambda tensors: tensors.pop(WTE)), WTE),
    "a tensor too many": (
        lambda folder: edit_tensors(folder, lambda tensors: tensors.update(extra=torch.zeros(1))),
        "none missing, 1 (extra) unknown",
    ),
    "half precision": (
        lambda folder: edit_tensors(folder, lambda tensors: tensors.update({WTE: tensors[WTE].half()})),
        "float16 [16]",
    ),
    "NaN": (lambda folder: edit_tensors(folder, lambda tensors: tensors[WTE].fill_(torch.nan)), "NaN"),
    "infinity": (lambda folder: edit_tensors(folder, lambda tensors: tensors[WTE].fill_(torch.inf)), "infin"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_weights_that_do_not_fit_are_refused_with_the_file_and_the_finding(
    misfit: str, tiny: LagLlama, tmp_path: Path
) -> None:
    tiny.save(tmp_path)
    spoil, finding = MISFITS[misfit]
    spoil(tmp_path)
    with pytest.raises(UserError) as error:
        LagLlama.load(tmp_path)
    assert finding in error.value.found
    assert str(tmp_path) in error.value.where


def test_the_loss_does_not_look_at_values_that_were_not_observed(tiny: LagLlama) -> None:
    """Appending points without observation to the horizon changes neither loss nor gradients."""
    context, target = windows(4, 6)
    tiny.loss(context, target).backward()
    gradient = tiny.module.get_parameter(WTE).grad
    assert gradient is not None
    expected = gradient.clone()
    tiny.module.zero_grad()
    longer = torch.cat([target, torch.full((4, 3), torch.nan)], dim=1)
    loss = tiny.loss(context, longer)
    loss.backward()
    torch.testing.assert_close(loss, tiny.loss(context, target), rtol=1e-6, atol=0)
    torch.testing.assert_close(tiny.module.get_parameter(WTE).grad, expected, rtol=1e-5, atol=1e-6)


class _PaddedByHand(LagLlama):
    """Upstream's arrays written out: unobserved zeros without calendar before a short context."""

    def read_past(self, context: Series, horizon: int) -> Past:
        used, window = self.configuration.past_length, self.configuration.context_length
        batch, length = context.values.shape
        values = torch.zeros(batch, used)
        observed = torch.zeros(batch, used, dtype=torch.bool)
        kept = context.values[:, -used:]
        values[:, used - kept.shape[1] :] = kept.nan_to_num(nan=0.0)
        observed[:, used - kept.shape[1] :] = ~kept.isnan()
        index = torch.arange(length - window, length + horizon - 1)
        calendar = calendar_features(context.start[:, None] + context.step * index)
        calendar[:, index < 0] = 0
        return Past(values, observed, calendar, window, repeats=0)


@pytest.mark.parametrize("length", [1, 8, 15, 16, 17, 24, 1108, 1200])
def test_a_context_of_any_length_gives_what_upstreams_padded_arrays_give(tiny: LagLlama, length: int) -> None:
    context, target = heart_rates(2, length), heart_rates(2, 4, seed=2).values
    by_hand, numbers = _PaddedByHand.create(TINY, seed=3), uniforms(2, 3, 4)
    torch.testing.assert_close(tiny.loss(context, target), by_hand.loss(context, target), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        tiny.sample(context, numbers), by_hand.sample(context, numbers), rtol=1e-5, atol=1e-4
    )


def test_where_nothing_was_observed_the_location_may_stand_instead_of_zero(tiny: LagLlama) -> None:
    """A row whose location is 0 cannot tell the two settings apart; one far from 0 can."""
    context, target = windows(4, 6)
    numbers = uniforms(4, 5, 6)
    located = LagLlama.create(TINY | {"missing_as": "location"}, seed=3)
    # The robust location is upstream's lower median of what was observed.
    ordered = context.values.sort(dim=1).values
    middle = (~context.values.isnan()).sum(dim=1, keepdim=True).sub(1) // 2
    median = ordered.gather(1, middle)
    around_zero = Series(context.values - median, context.start, HOUR)
    torch.testing.assert_close(
        located.loss(around_zero, target - median), tiny.loss(around_zero, target - median)
    )
    assert not torch.allclose(located.loss(context, target), tiny.loss(context, target))
    assert not torch.allclose(located.sample(context, numbers), tiny.sample(context, numbers))


def test_a_location_in_the_gaps_forecasts_a_shifted_series_alike_but_for_its_level() -> None:
    """Only log(1 + |location|) tells the level; without that column's weights a shift changes nothing."""
    context, _ = windows(4, 6)
    numbers = uniforms(4, 5, 6)
    located = LagLlama.create(TINY | {"missing_as": "location"}, seed=3)
    with torch.no_grad():
        located.module.transformer.wte.weight[:, len(located.configuration.lags)] = 0
    moved = Series(context.values + 64, context.start, HOUR)
    torch.testing.assert_close(
        located.sample(moved, numbers), located.sample(context, numbers) + 64, rtol=1e-4, atol=1e-2
    )


def test_tokens_that_repeat_the_first_are_equal_to_computing_each(tiny: LagLlama) -> None:
    torch.manual_seed(0)
    tokens = torch.randn(3, 6, tiny.configuration.token_width)
    written_out = torch.cat([tokens[:, :1].expand(-1, 5, -1), tokens], dim=1)
    gradients = []
    for given, repeats, skipped in ((tokens, 5, 0), (written_out, 0, 5)):
        tiny.module.zero_grad()
        results = torch.stack(tiny.module(given, repeats))[:, :, skipped:]
        last = torch.stack(tiny.module(given, repeats, last_only=True))
        torch.testing.assert_close(last, results[:, :, -1:])
        results.square().sum().backward()
        gradients.append([results, *(parameter.grad.clone() for parameter in tiny.module.parameters())])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_samples_rise_with_their_uniform_numbers_at_the_first_step(tiny: LagLlama) -> None:
    numbers = torch.linspace(0.01, 0.99, 15, dtype=torch.float64).expand(3, 15).unsqueeze(-1)
    samples = tiny.sample(heart_rates(3, 24), numbers)
    assert (samples[:, 1:, 0] > samples[:, :-1, 0]).all()


def test_draws_follow_the_distribution_that_torch_samples(tiny: LagLlama) -> None:
    """Kolmogorov-Smirnov between 20,000 draws of ours and of torch.distributions.StudentT, fixed seeds."""
    seen: list[StudentT] = []

    def keep(distribution: StudentT, step: int) -> Tensor:  # noqa: ARG001
        seen.append(distribution)
        return distribution.row_loc

    context = heart_rates(1, 24)
    tiny.roll_out(context, 1, keep)
    ours = tiny.sample(context, uniforms(1, 20_000, 1)).flatten()
    torch.manual_seed(4)
    first = seen[0]
    drawn = torch.distributions.StudentT(first.df, first.loc, first.scale).sample((20_000,)).flatten()
    theirs = drawn * first.row_scale.item() + first.row_loc.item()
    assert stats.ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 0.01
    shifted = ours.numpy() + 0.1 * first.row_scale.item() * first.scale.item()
    assert stats.ks_2samp(shifted, theirs.numpy()).pvalue < 0.01


@pytest.mark.parametrize(
    "spoil",
    [lambda values: values.fill_(80.0), lambda values: values.fill_(torch.nan)],
    ids=["constant", "nothing observed"],
)
def test_loss_gradients_and_samples_stay_finite_for_degenerate_contexts(
    spoil: Callable[[Tensor], Tensor], tiny: LagLlama
) -> None:
    context, target = windows(4, 6)
    spoil(context.values[1])
    loss = tiny.loss(context, target)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in tiny.module.parameters())
    assert tiny.sample(context, uniforms(4, 5, 6)).isfinite().all()


def test_a_batch_without_any_observation_has_loss_zero(tiny: LagLlama) -> None:
    context = Series(torch.full((2, 24), torch.nan), torch.zeros(2, dtype=torch.int64), HOUR)
    loss = tiny.loss(context, torch.full((2, 6), torch.nan))
    loss.backward()
    assert loss.item() == 0


class _SettlesOnTwo(nn.Module):
    """A network whose degrees of freedom have underflowed to exactly 2."""

    def forward(
        self,
        tokens: Tensor,
        repeats: int,  # noqa: ARG002
        last_only: bool,
        memory: Memory,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor, Tensor]:
        zeros = tokens.new_zeros(tokens.shape[0], 1 if last_only else tokens.shape[1])
        return zeros + 2.0, zeros, zeros + 1.0


def test_two_degrees_of_freedom_give_finite_samples(tiny: LagLlama) -> None:
    tiny.module = _SettlesOnTwo()
    context = heart_rates(1, 24)
    numbers = torch.tensor([[[1e-9], [0.5], [1 - 1e-9]]], dtype=torch.float64)
    samples = tiny.sample(context, numbers)
    observed = context.values[0][~context.values[0].isnan()]
    assert samples.isfinite().all()
    assert samples[0, 1, 0] == observed.median()


def test_the_module_imports_no_library_that_it_does_not_use() -> None:
    """In a fresh process, because this one has imported peft for its own checks."""
    code = "import sys, workflow_scripts.models.lag_llama as m; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {"gluonts", "lightning", "transformers", "peft", "pandas", "mlflow", "scipy"}
    assert not unwanted & set(run.stdout.split())
