"""Lag-Llama's two samplers, against forecasts recomputed from the whole grown past at every step.

The recomputation stands in this file and shares neither memory nor paths: it gathers every lag by hand and lets
the network read all tokens of every path at once, whose outputs test_lag_llama_equality.py holds equal to
upstream's. For `frozen` it keeps the context's location and scale, which is that sampler's definition.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from benchmarks import forecasting
from workflow_scripts.models.interface import Series
from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.models.lag_llama.network import LagLlamaNetwork, Memory
from workflow_scripts.models.lag_llama.sampling import SAMPLERS, Exact, Sampler
from workflow_scripts.models.lag_llama.scaling import SCALERS
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.lag_llama.tokens import calendar_features
from workflow_scripts.runtime.errors import UserError

TINY = {"n_layer": 2, "n_head": 2, "n_embd_per_head": 8, "context_length": 16}
HOUR, HORIZON = 3600, 6


def series_of(batch: int, length: int) -> Series:
    """Noisy daily rhythms around 80 per minute, in whole numbers as they are charted, a tenth not observed."""
    generator = torch.Generator().manual_seed(length)
    phase = 2 * math.pi * (torch.arange(length) / 24 + torch.rand(batch, 1, generator=generator))
    values = (80 + 5 * phase.sin() + 2 * torch.randn(batch, length, generator=generator)).round()
    values[torch.rand(batch, length, generator=generator) < 0.1] = torch.nan
    return Series(values, 4_100_000_000 + HOUR * torch.arange(batch), HOUR)


def uniforms(batch: int, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, samples, HORIZON, dtype=torch.float64, generator=generator)


def model_of(sampler: str, **changes: object) -> LagLlama:
    model = LagLlama.create(TINY | changes, seed=3)
    model.sampler = sampler
    return model


@torch.no_grad()
def recomputed(model: LagLlama, context: Series, numbers: Tensor) -> Tensor:
    """Every path on its own and from the start at every step, padding written out; as `sample` returns."""
    settings = model.configuration
    (past,) = context.values.numpy()
    paths = []
    for own in numbers[0]:
        grown, statistics = past.astype(np.float32), None
        for number in own:
            observed = torch.from_numpy(~np.isnan(grown[-settings.past_length - len(grown) + len(past) :]))
            filled = torch.from_numpy(grown[-len(observed) :]).nan_to_num(nan=0.0)
            if statistics is None or model.sampler == "exact":
                statistics = SCALERS[settings.scaling](filled[None], observed[None])
            tokens = tokens_by_hand(settings, grown, len(past), context, *(s.item() for s in statistics))
            parameters = [field[:, -1:] for field in model.module(tokens)]
            drawn = StudentT(*parameters, *statistics).quantile(number.view(1, 1))
            grown = np.append(grown, np.float32(drawn.item()))
        paths.append(grown[len(past) :])
    return torch.from_numpy(np.stack(paths))[None]


def tokens_by_hand(
    settings: LagLlamaConfiguration, grown: np.ndarray, given: int, context: Series, loc: float, scale: float
) -> Tensor:
    gap = 0.0 if settings.missing_as == "zero" else loc
    rows = []
    for time in range(given - settings.context_length, len(grown)):
        places = [time - lag for lag in settings.lags]
        lagged = [grown[place] if place >= 0 and not np.isnan(grown[place]) else gap for place in places]
        row = [*((np.array(lagged) - loc) / scale), math.log1p(abs(loc)), math.log(scale)]
        if settings.time_feat:
            moment = context.start + HOUR * time
            row += calendar_features(moment)[0].tolist() if time >= 0 else [0.0] * 6
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64).float()[None]


CASES: dict[str, dict[str, object]] = {
    "as released": {},
    "gaps as location": {"missing_as": "location"},
    "mean scaling": {"scaling": "mean"},
    "no calendar": {"time_feat": False},
    "no rotation": {"rope_scaling": {"type": "nope"}},
    "stretched positions": {"rope_scaling": {"type": "linear", "factor": 1.5}},
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("case", "length"),
    [("as released", 1), ("as released", 15), ("as released", 16), ("as released", 1110)]
    + [(case, 12) for case in CASES],
)
def test_paths_are_those_of_recomputing_all_of_every_path_at_every_step(
    sampler: str, case: str, length: int
) -> None:
    """Contexts shorter and longer than the window of 16, and longer than all that the lags reach."""
    model, context, numbers = model_of(sampler, **CASES[case]), series_of(1, length), uniforms(1, 4)
    context.values[:, -1] = 80.0
    expected = recomputed(model, context, numbers)
    torch.testing.assert_close(model.sample(context, numbers), expected, rtol=1e-5, atol=2e-4)


def test_exact_recomputes_positions_that_stretch_with_every_step_and_frozen_refuses_them() -> None:
    dynamic = {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_context_length": 17}
    model, context, numbers = model_of("exact", **dynamic), series_of(1, 20), uniforms(1, 3)
    expected = recomputed(model, context, numbers)
    torch.testing.assert_close(model.sample(context, numbers), expected, rtol=1e-5, atol=2e-4)
    model.sampler = "frozen"
    with pytest.raises(UserError, match="use the sampler exact"):
        model.sample(context, numbers)
    assert model.sample(context, numbers[:, :, :2]).shape == (1, 3, 2)


def test_without_scaling_the_two_samplers_are_one() -> None:
    """Nothing can be frozen then; upstream's own growing cache agrees with its loop in this case alone."""
    context, numbers = series_of(3, 24), uniforms(3, 5)
    exact, frozen = (model_of(sampler, scaling="none").sample(context, numbers) for sampler in SAMPLERS)
    torch.testing.assert_close(frozen, exact, rtol=1e-5, atol=1e-4)


def test_with_robust_scaling_they_agree_at_the_first_step_and_part_after_it() -> None:
    context, numbers = series_of(3, 24), uniforms(3, 5)
    exact, frozen = (model_of(sampler).sample(context, numbers) for sampler in SAMPLERS)
    assert torch.equal(frozen[:, :, 0], exact[:, :, 0])
    assert (frozen - exact)[:, :, 2:].abs().amax(dim=(1, 2)).min() > 1e-2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_path_depends_on_its_own_numbers_alone(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on the other paths of its series, with which it may share a reading, nor on batch or portion."""
    model, context, numbers = model_of(sampler), series_of(7, 24), uniforms(7, 5)
    together = model.sample(context, numbers)
    for index in range(7):
        rows = slice(index, index + 1)
        alone = Series(context.values[rows], context.start[rows], HOUR)
        for path in (slice(0, 5), slice(2, 3)):
            expected = together[rows, path]
            found = model.sample(alone, numbers[rows, path])
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
    for paths in (1, 12):
        monkeypatch.setattr("workflow_scripts.models.lag_llama.model._CPU_PATHS", paths)
        torch.testing.assert_close(model.sample(context, numbers), together, rtol=1e-6, atol=1e-5)


def test_paths_in_the_same_scale_share_one_reading_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies beyond all that was observed moves median and quartiles alike."""
    read: list[int] = []

    def count(self: Sampler, series: Tensor, loc: Tensor, scale: Tensor, memory: Memory) -> object:
        read.append(len(series))
        return whole(self, series, loc, scale, memory)

    whole = Sampler.read_window
    monkeypatch.setattr(Exact, "read_window", count)
    model = model_of("exact")
    with torch.no_grad():
        sampler = Exact(model.module, model.configuration, model.read_past(series_of(3, 24), 3), 3)
        for _ in range(3):
            sampler.next()
            sampler.append(torch.tensor([10.0, 20.0, 30.0, 180.0, 190.0]).expand(3, 5))
    assert read == [3, 3 * 2, 3 * 2]


@pytest.mark.parametrize("kind", [None, "linear", "nope"])
def test_tokens_read_in_pieces_through_a_memory_are_read_as_at_once(kind: str | None) -> None:
    rope = None if kind is None else {"type": kind, "factor": 1.5}
    settings = LagLlamaConfiguration.parse(TINY | {"rope_scaling": rope}, where="test")
    torch.manual_seed(0)
    network = LagLlamaNetwork(settings).eval()
    tokens = torch.randn(3, 9, settings.token_width)
    with torch.no_grad():
        at_once = network(tokens, repeats=2)
        memory = Memory(settings, rows=3, capacity=11, device=tokens.device)
        pieces = [network(tokens[:, :4], repeats=2, memory=memory), network(tokens[:, 4:8], memory=memory)]
        reordered = torch.tensor([2, 0, 0])
        last = network(tokens[reordered, 8:], memory=memory.select(reordered))
    for field, expected in enumerate(at_once):
        found = torch.cat([piece[field] for piece in pieces], dim=1)
        torch.testing.assert_close(found, expected[:, :8], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(last[field], expected[reordered, 8:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_adapted_network_samples_through_its_wrapper(sampler: str) -> None:
    model, context, numbers = model_of(sampler), series_of(2, 24), uniforms(2, 4)
    before = model.sample(context, numbers)
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=r".*\.attn\.(q_proj|kv_proj|c_proj)", init_lora_weights=False)
    model.module = get_peft_model(model.module, lora).eval()
    adapted = model.sample(context, numbers)
    assert not torch.allclose(adapted, before, atol=1e-2)
    model.module = model.module.merge_and_unload()
    torch.testing.assert_close(model.sample(context, numbers), adapted, rtol=1e-5, atol=1e-3)


def test_an_unknown_sampler_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError) as error:
        model_of("cached").sample(series_of(1, 24), uniforms(1, 2))
    assert error.value.found == "'cached'"
    assert error.value.expected == "one of exact, frozen"


@pytest.mark.parametrize("horizon", [17, 18])
def test_a_window_beyond_the_longest_is_refused_and_one_as_long_is_not(horizon: int) -> None:
    """16 tokens and a horizon of 17 are 32 positions, for the last value is never read."""
    model = model_of("exact", max_context_length=32)
    context, target = series_of(1, 24), torch.full((1, horizon), 80.0)
    numbers = torch.full((1, 2, horizon), 0.5, dtype=torch.float64)
    if horizon == 17:
        assert model.loss(context, target).isfinite()
        assert model.sample(context, numbers).isfinite().all()
        return
    for call in (lambda: model.loss(context, target), lambda: model.sample(context, numbers)):
        with pytest.raises(UserError) as error:
            call()
        assert error.value.found == "16 tokens of context and a horizon of 18"
        assert "at most 32 positions" in error.value.expected


def test_an_empty_context_or_horizon_is_refused() -> None:
    model, context = model_of("exact"), series_of(1, 24)
    for values, horizon in ((context.values[:, :0], 2), (context.values, 0)):
        with pytest.raises(UserError, match="at least one of each"):
            model.loss(replace(context, values=values), torch.ones(1, horizon))


def test_exact_draws_the_paths_of_upstreams_loop_as_the_benchmark_re_enacts_it(tmp_path: Path) -> None:
    """The official size; that loop is written without any of this project's model code."""
    for loop in ("upstream", "exact", "frozen"):
        _, cpu = forecasting.sample(loop, 2, 3, 12, str(tmp_path))
        assert cpu > 0
    assert forecasting.largest_gap(tmp_path, "exact") < 1e-5
    assert forecasting.largest_gap(tmp_path, "frozen") > 1e-3
