"""The whole of Lag-Llama, loss and forecasts, against upstream's numbers for the same weights and series.

Expected values: lag_llama_fixtures, made with lag-llama commit 013ff0c (gluonts 0.17.0, torch 2.13.0, CPU).
Tolerances are those of its README.json: features 1e-6 of max(1, |x|), parameters 1e-5, likelihood 2e-5,
gradient norms 5e-5 relative, trajectories 1e-5 of the row's scale.
Upstream's own float32 noise is up to a fifth of them.
"""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from workflow_scripts.models.interface import Series
from workflow_scripts.models.lag_llama import LagLlama, weights
from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.models.lag_llama.sampling import Past
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.runtime.errors import UserError

FIXTURES = Path(__file__).parent / "lag_llama_fixtures"
CASES = ["official_random", "small_default_lags", "small_mean_linear_notime"]
STEPS = {"h": 3600, "D": 86400, "15min": 900}
SETTINGS = [
    *("n_layer", "n_head", "n_embd_per_head", "context_length"),
    *("max_context_length", "scaling", "rope_scaling", "time_feat"),
]


class Case:
    """One fixture: its numbers, and how its series become arguments."""

    def __init__(self, name: str) -> None:
        self.meta: dict[str, Any] = json.loads((FIXTURES / name / "meta.json").read_text())
        self.inputs = load_file(FIXTURES / name / "inputs.safetensors")
        self.expected = load_file(FIXTURES / name / "expected.safetensors")
        self.horizon = self.inputs["future_target"].shape[1]

    def model(self, family: type[LagLlama] = LagLlama) -> LagLlama:
        config = self.meta["config"]
        settings = {name: config[name] for name in SETTINGS} | {"lags": config["lags_seq"]}
        model = family.create(settings, seed=0)
        model.module.load_state_dict(recipe_weights(model.module.state_dict(), self.seed), strict=True)
        return model

    @property
    def seed(self) -> int:
        return int(self.meta["weights"]["recipe_seed"])

    def batch(self) -> "FixtureLagLlama":
        """A model whose every batch is the fixture's, for a batch that mixes monthly and hourly steps."""
        model = self.model(FixtureLagLlama)
        assert isinstance(model, FixtureLagLlama)
        calendar = None
        context = self.meta["config"]["context_length"]
        if self.meta["config"]["time_feat"]:
            parts = [self.inputs["past_time_feat"][:, -context:], self.inputs["future_time_feat"]]
            calendar = torch.cat(parts, dim=1)
        observed = self.inputs["past_observed_values"].bool()
        model.past = Past(self.inputs["past_target"], observed, calendar, window=context, repeats=0)
        return model

    def target(self) -> Tensor:
        unobserved = ~self.inputs["future_observed_values"].bool()
        return self.inputs["future_target"].masked_fill(unobserved, torch.nan)

    @property
    def no_context(self) -> Series:
        """What the model of `batch` is given, since it has its past already."""
        rows = len(self.inputs["future_target"])
        return Series(torch.empty(rows, 0), torch.zeros(rows, dtype=torch.int64), 1)

    def raw_series(self, index: int) -> tuple[Series, Tensor]:
        raw, about = self.inputs[f"raw_target_{index}"], self.meta["series"][index]
        # Without calendar features neither the start nor the step is looked at.
        start, step = 0, 1
        if self.meta["config"]["time_feat"]:
            moment = datetime.fromisoformat(about["start"]).replace(tzinfo=UTC)
            start, step = int(moment.timestamp()), STEPS[about["freq"]]
        past, future = raw[None, : -self.horizon], raw[None, -self.horizon :]
        return Series(past, torch.tensor([start]), step), future


class FixtureLagLlama(LagLlama):
    past: Past

    def read_past(self, context: Series, horizon: int) -> Past:  # noqa: ARG002
        if self.past.calendar is None:
            return self.past
        return replace(self.past, calendar=self.past.calendar[:, : self.past.window + horizon - 1])


def recipe_weights(like: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """The fixture's weights, from its README.json: uniform numbers by name, in sorted order."""
    state = np.random.RandomState(seed)
    tensors = {}
    for name in sorted(like):
        uniform = 2 * state.random_sample(tuple(like[name].shape)) - 1
        if name.endswith(".scale"):
            value = 1 + 0.2 * uniform
        else:
            value = uniform * (0.1 if name.endswith(".bias") else np.sqrt(3 / like[name].shape[1]))
        tensors[name] = torch.from_numpy(value.astype("<f4"))
    return tensors


@cache
def loaded(name: str) -> Case:
    return Case(name)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return loaded(request.param)


def test_the_recipe_s_weights_are_those_of_the_fixture(case: Case) -> None:
    state = case.model().module.state_dict()
    content = b"".join(state[name].numpy().astype("<f4").tobytes() for name in sorted(state))
    assert hashlib.sha256(content).hexdigest() == case.meta["weights"]["sha256_sorted_f4"]
    assert sum(tensor.numel() for tensor in state.values()) == case.meta["weights"]["n_params"]


def test_stored_weights_load_strictly_and_equal_the_recipe() -> None:
    stored = load_file(FIXTURES / "small_default_lags" / "weights.safetensors")
    state = loaded("small_default_lags").model().module.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name], state[name]) for name in stored)


def test_names_and_shapes_are_the_official_checkpoint_s_without_its_prefix() -> None:
    official = json.loads((FIXTURES / "official_state_dict.json").read_text())
    state = loaded("official_random").model().module.state_dict()
    shapes = {f"model.{name}": list(tensor.shape) for name, tensor in state.items()}
    assert shapes == official["keys"]
    assert sum(tensor.numel() for tensor in state.values()) == official["total"] == 2_449_299


def test_the_official_checkpoint_s_tensors_load_one_to_one_and_nothing_else_does() -> None:
    """Each tensor is filled with a number of its own, so that two could not be exchanged unseen."""
    official = json.loads((FIXTURES / "official_state_dict.json").read_text())["keys"]
    tensors = {
        name.removeprefix("model."): torch.full(shape, number / 128)
        for number, (name, shape) in enumerate(official.items())
    }
    configuration = LagLlamaConfiguration.parse(VARIANTS["lag-llama"].sizes, where="official sizes")
    state = weights.build(configuration, tensors, where="lag-llama.ckpt").state_dict()
    assert len(state) == 73
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    tensors["transformer.wte.biases"] = tensors.pop("transformer.wte.bias")
    with pytest.raises(
        UserError, match=r"1 \(transformer.wte.bias\) missing, 1 \(transformer.wte.biases\) unknown"
    ):
        weights.build(configuration, tensors, where="lag-llama.ckpt")


def teacher_forced(case: Case) -> tuple[Tensor, StudentT, Tensor]:
    """Tokens, distributions and loss of the whole batch, as they pass through the network."""
    model, seen = case.batch(), {}

    def record(_module: object, arguments: tuple[Tensor], result: tuple[Tensor, Tensor, Tensor]) -> None:
        seen["tokens"], seen["parameters"] = arguments[0], result

    with model.module.register_forward_hook(record), torch.no_grad():
        loss = model.loss(case.no_context, case.target())
    rows = (case.expected["tf_loc"][:, None], case.expected["tf_scale"][:, None])
    return seen["tokens"], StudentT(*seen["parameters"], *rows), loss


def test_token_features_equal_upstreams(case: Case) -> None:
    tokens, _, _ = teacher_forced(case)
    expected = case.expected["tf_model_input"]
    gap = (tokens - expected).abs() / expected.abs().clamp(min=1)
    assert tokens.shape == expected.shape
    assert gap.max() <= 1e-6


def test_predicted_parameters_equal_upstreams(case: Case) -> None:
    _, predicted, _ = teacher_forced(case)
    for ours, name in ((predicted.df, "df"), (predicted.loc, "param_loc"), (predicted.scale, "param_scale")):
        torch.testing.assert_close(ours, case.expected[f"tf_{name}"], rtol=0, atol=1e-5)


def test_the_likelihood_of_every_token_and_the_loss_equal_upstreams(case: Case) -> None:
    _, predicted, loss = teacher_forced(case)
    values, observed = (
        torch.cat([case.inputs[f"past_{name}"], case.inputs[f"future_{name}"]], dim=1)
        for name in ("target", "observed_values")
    )
    tokens = case.expected["tf_df"].shape[1]
    ours = predicted.negative_log_likelihood(values[:, -tokens:]) * observed[:, -tokens:]
    torch.testing.assert_close(ours, case.expected["tf_weighted_nll"], rtol=0, atol=2e-5)
    assert loss.item() == pytest.approx(case.meta["loss"], rel=0, abs=2e-5)


def test_gradient_norms_of_every_parameter_equal_upstreams(case: Case) -> None:
    model = case.batch()
    model.loss(case.no_context, case.target()).backward()
    norms = {name: parameter.grad.norm().item() for name, parameter in model.module.named_parameters()}
    assert norms == pytest.approx(case.meta["grad_norms_all"], rel=5e-5)


def test_five_adam_steps_have_upstreams_losses(case: Case) -> None:
    model = case.batch()
    optimiser = torch.optim.Adam(model.module.parameters(), lr=1e-3, weight_decay=1e-8)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = model.loss(case.no_context, case.target())
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == pytest.approx(case.meta["adam_losses_5_steps_lr1e3_wd1e8"], rel=1e-5)


@pytest.mark.parametrize("name", ["official_random", "small_mean_linear_notime"])
def test_the_loss_from_raw_series_equals_upstreams(name: str) -> None:
    """Each raw series alone, through the public interface; the batch's loss is their weighted mean."""
    case, total, count = loaded(name), 0.0, 0.0
    model = case.model()
    terms = case.expected["tf_df"].shape[1]
    for index in range(len(case.meta["series"])):
        context, target = case.raw_series(index)
        observed = torch.cat([case.inputs[f"{part}_observed_values"][index] for part in ("past", "future")])
        weight = observed[-terms:].sum().item()
        total += model.loss(context, target).item() * weight
        count += weight
    assert total / count == pytest.approx(case.meta["loss"], rel=0, abs=2e-5)


def mean_of(distribution: StudentT, step: int) -> Tensor:  # noqa: ARG001
    return distribution.loc * distribution.row_scale + distribution.row_loc


def in_scale_units(gap: Tensor, case: Case) -> float:
    return (gap.abs() / case.expected["tf_scale"].view(-1, *[1] * (gap.dim() - 1))).max().item()


def test_the_trajectory_of_means_and_all_that_leads_to_it_equal_upstreams(case: Case) -> None:
    seen: list[StudentT] = []

    def keep(distribution: StudentT, step: int) -> Tensor:
        seen.append(distribution)
        return mean_of(distribution, step)

    trajectory = case.batch().roll_out(case.no_context, case.horizon, keep)[:, 0]
    assert in_scale_units(trajectory - case.expected["ar_nocache_traj"], case) <= 1e-5
    for field, name in (("df", "df"), ("loc", "p_loc"), ("scale", "p_scale")):
        ours = torch.cat([getattr(step, field) for step in seen], dim=1)
        torch.testing.assert_close(ours, case.expected[f"ar_nocache_{name}"], rtol=0, atol=1e-5)
    for field in ("loc", "scale"):
        ours = torch.cat([getattr(step, f"row_{field}") for step in seen], dim=1)
        assert in_scale_units(ours - case.expected[f"ar_nocache_{field}"], case) <= 1e-5


@pytest.mark.parametrize("name", ["official_random", "small_mean_linear_notime"])
def test_the_trajectory_of_means_from_raw_series_equals_upstreams(name: str) -> None:
    case = loaded(name)
    model = case.model()
    series = [case.raw_series(index)[0] for index in range(len(case.meta["series"]))]
    trajectory = torch.cat([model.roll_out(context, case.horizon, mean_of)[:, 0] for context in series])
    assert in_scale_units(trajectory - case.expected["ar_nocache_traj"], case) <= 1e-5


def test_the_first_step_s_moments_and_quantiles_equal_upstreams(case: Case) -> None:
    """The quantiles were computed by SciPy from upstream's parameters."""
    seen: list[StudentT] = []

    def keep(distribution: StudentT, step: int) -> Tensor:
        seen.append(distribution)
        return mean_of(distribution, step)

    mean = case.batch().roll_out(case.no_context, 1, keep)[:, 0, 0]
    first = seen[0]
    levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    quantiles = first.quantile(levels.expand(len(mean), 5))
    assert in_scale_units(quantiles - case.expected["tf_first_quantiles"], case) <= 1e-4
    assert in_scale_units(mean - case.expected["tf_first_mean"], case) <= 1e-5
    # The variance of a Student-t distribution, which exists above two degrees of freedom.
    variance = (first.scale * first.row_scale).square() * first.df / (first.df - 2)
    torch.testing.assert_close(variance[:, 0], case.expected["tf_first_variance"], rtol=1e-4, atol=0)


def test_drawn_with_torch_s_generator_the_samples_are_upstreams(case: Case) -> None:
    """The fixture drew with seed 7 on torch 2.13.0: per step a normal, then a chi-square, for every row."""
    torch.manual_seed(7)

    def draw(distribution: StudentT, step: int) -> Tensor:  # noqa: ARG001
        fields = (distribution.df, distribution.loc, distribution.scale)
        rows = [field.expand(-1, 3).reshape(-1, 1) for field in fields]
        sampled = torch.distributions.StudentT(*rows).sample().view(-1, 3)
        return sampled * distribution.row_scale + distribution.row_loc

    samples = case.batch().roll_out(case.no_context, case.horizon, draw)
    assert in_scale_units(samples - case.expected["rng_nocache_samples"], case) <= 2e-5
