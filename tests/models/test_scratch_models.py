"""The models that are trained from scratch: darts' networks behind this project's interface."""

import json
import logging
from functools import cache

import numpy as np
import pytest
import torch
from darts import TimeSeries
from darts.models.forecasting.nbeats import NBEATSModel
from darts.models.forecasting.nhits import NHiTSModel
from darts.models.forecasting.tft_model import TFTModel
from darts.utils.data.torch_datasets.utils import PLModuleInput
from darts.utils.likelihood_models.torch import QuantileRegression
from safetensors.torch import load_file
from scipy.stats import norm
from torch import Tensor

from tests.helpers.tiny_scratch import CONTEXT, FAMILIES, HORIZON, SIZES, sines, tiny
from workflow_scripts.models.interface import Series
from workflow_scripts.models.registry import SCRATCH_VARIANTS, family_class, variant
from workflow_scripts.models.scratch.dilate import dilate
from workflow_scripts.models.scratch.model import LEVELS, ScratchModel, filled
from workflow_scripts.models.scratch.n_beats import NBeats
from workflow_scripts.models.scratch.n_hits import NHits
from workflow_scripts.models.scratch.tft import Tft
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(11)


CPU = torch.device("cpu")
UNIFORMS = torch.full((1, 3, HORIZON), 0.5, dtype=torch.float64)
every_family = pytest.mark.parametrize("family", FAMILIES)
every_loss = pytest.mark.parametrize("loss", ["mse", "dilate", "quantile"])


def series(values: Tensor) -> Series:
    return Series(values, torch.zeros(len(values), dtype=torch.int64), 3600)


def forecast(model: ScratchModel, values: Tensor) -> Tensor:
    """Float32 [batch, horizon]."""
    uniforms = UNIFORMS.expand(len(values), -1, -1)
    return model.quantiles(series(values), uniforms, [0.5])[:, 0]


def count(module: torch.nn.Module, trainable: bool = False) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad or not trainable)


# Sizes.


@pytest.mark.parametrize("name", SCRATCH_VARIANTS)
def test_the_registry_s_counts_are_those_of_the_real_module(name: str) -> None:
    entry = variant(name)
    with torch.device("meta"):
        model = family_class(entry.family).create(entry.sizes | entry.counted_at, 0)
    assert count(model.module) == entry.parameters
    assert entry.counted_at == {"context": 72, "horizon": 36}


@pytest.mark.parametrize(("name", "released"), [("n-hits-bp", 680_680), ("n-hits-hr", 534_567)])
def test_n_hits_has_the_parameters_of_the_released_models(name: str, released: int) -> None:
    """The checkpoints of SpassMed/Pipeline (darts 0.23.1). darts trains all but the last block's backcast."""
    entry = variant(name)
    model = NHits.create(entry.sizes | {"context": 72, "horizon": 36}, 0)
    assert count(model.module) == released == entry.parameters
    assert count(model.module, trainable=True) == released - (128 + 1) * 72


@every_family
def test_a_seed_decides_the_start_and_touches_no_other_random_number(family: type[ScratchModel]) -> None:
    def weights(seed: int) -> Tensor:
        return torch.cat([weight.flatten() for weight in tiny(family, seed).module.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), before)


# Forecasts.


@pytest.mark.filterwarnings("ignore")  # Lightning's, of the library's own training
@pytest.mark.parametrize(
    ("family", "upstream"), [(NBeats, NBEATSModel), (NHits, NHiTSModel), (Tft, TFTModel)]
)
def test_it_forecasts_as_the_library_s_own_model_with_the_same_weights(
    family: type[ScratchModel], upstream: type
) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    sizes = {name: size for name, size in SIZES[family].items() if name != "max_pool"}
    if "layer_width" in sizes:
        sizes["layer_widths"] = sizes.pop("layer_width")
    if family is Tft:
        sizes |= {"add_relative_index": True, "likelihood": None, "loss_fn": torch.nn.MSELoss()}
    quiet = {
        name: False
        for name in ("enable_progress_bar", "logger", "enable_checkpointing", "enable_model_summary")
    }
    theirs = upstream(
        CONTEXT,
        HORIZON,
        n_epochs=1,
        random_state=3,
        pl_trainer_kwargs={"accelerator": "cpu", **quiet},
        **sizes,
    )
    values = sines(1, seed=4)
    wave = np.concatenate((values.context, values.target), axis=1)[0]
    theirs.fit(TimeSeries.from_values(wave))
    expected = theirs.predict(HORIZON, TimeSeries.from_values(values.context[0])).values()[:, 0]
    ours = tiny(family)
    ours.module.load_state_dict(theirs.model.state_dict())
    found = forecast(ours, torch.from_numpy(values.context))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


@every_family
def test_every_sample_and_every_quantile_is_the_one_forecast(family: type[ScratchModel]) -> None:
    model, values = tiny(family), torch.rand(2, CONTEXT)
    expected = forecast(model, values)
    uniforms = torch.rand(2, 5, HORIZON, dtype=torch.float64)
    for drawn in (
        model.sample(series(values), uniforms),
        model.quantiles(series(values), uniforms, [0.1] * 5),
    ):
        assert drawn.shape == (2, 5, HORIZON)
        assert torch.equal(drawn, expected[:, None].expand_as(drawn))


@every_family
def test_a_forecast_does_not_depend_on_its_batch(family: type[ScratchModel]) -> None:
    model, values = tiny(family), torch.rand(7, CONTEXT)
    values[2, :5] = torch.nan
    alone = torch.cat([forecast(model, values[row : row + 1]) for row in range(7)])
    torch.testing.assert_close(forecast(model, values), alone, rtol=1e-5, atol=1e-6)


@every_family
def test_it_trains_after_a_forecast_of_as_many_windows(family: type[ScratchModel]) -> None:
    model, values = tiny(family), torch.rand(3, CONTEXT)
    with torch.inference_mode():
        forecast(model, values)
    model.loss(series(values), torch.rand(3, HORIZON)).backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.module.parameters())


# Gaps.


def test_gaps_are_filled_from_inside_the_context_forwards_first() -> None:
    gap = torch.nan
    values = torch.tensor([[gap, gap, 3.0, gap, 5.0, gap], [1.0, 2, 3, 4, 5, 6], [gap] * 6])
    expected = torch.tensor([[3.0, 3, 3, 3, 5, 5], [1.0, 2, 3, 4, 5, 6], [gap] * 6])
    torch.testing.assert_close(filled(values), expected, equal_nan=True)


@every_loss
def test_a_context_without_an_observation_has_no_forecast_and_no_loss(loss: str) -> None:
    model = tiny(NHits)
    model.choose_loss(loss)
    values, target = torch.rand(3, CONTEXT), torch.rand(3, HORIZON)
    values[1] = torch.nan
    assert forecast(model, values).isnan().all(dim=1).tolist() == [False, True, False]
    kept = [0, 2]
    expected = model.loss(series(values[kept]), target[kept])
    torch.testing.assert_close(model.loss(series(values), target), expected)


def test_the_plain_loss_is_the_mean_squared_error_of_what_was_observed() -> None:
    model, values, target = tiny(NBeats), torch.rand(3, CONTEXT), torch.rand(3, HORIZON)
    target[0], target[1, 2:] = torch.nan, torch.nan
    errors = (forecast(model, values) - target)[~target.isnan()]
    torch.testing.assert_close(model.loss(series(values), target), errors.square().mean())


def test_the_other_loss_is_dilate() -> None:
    model, values, target = tiny(NBeats), torch.rand(3, CONTEXT), torch.rand(3, HORIZON)
    model.choose_loss("dilate")
    torch.testing.assert_close(model.loss(series(values), target), dilate(forecast(model, values), target))


def test_the_quantile_loss_is_the_library_s_on_what_was_observed() -> None:
    """darts' QuantileRegression at the same levels; as it knows no gaps, it is given the observed points alone."""
    model, values, target = tiny(NBeats), torch.rand(3, CONTEXT), torch.rand(3, HORIZON)
    model.choose_loss("quantile")
    with torch.no_grad():
        output = model.module(PLModuleInput(past_target=values[..., None])).prediction
    expected = QuantileRegression(LEVELS).compute_loss(output, target[..., None], None)
    torch.testing.assert_close(model.loss(series(values), target), expected)
    target[0], target[1, 2:] = torch.nan, torch.nan
    seen = ~target.isnan()
    expected = QuantileRegression(LEVELS).compute_loss(output[seen][None], target[seen][None, :, None], None)
    torch.testing.assert_close(model.loss(series(values), target), expected)


@every_family
def test_with_the_quantile_loss_it_has_another_start_of_the_same_seed(family: type[ScratchModel]) -> None:
    model, other = tiny(family, 4), tiny(family, 4)
    before = torch.get_rng_state()
    model.choose_loss("quantile")
    other.choose_loss("quantile")
    assert torch.equal(torch.get_rng_state(), before)
    found, expected = model.module.state_dict(), other.module.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    other.choose_loss("mse")
    plain = tiny(family, 4).module.state_dict()
    assert all(torch.equal(weight, plain[name]) for name, weight in other.module.state_dict().items())


@every_family
def test_trained_quantiles_rise_and_levels_between_them_are_interpolated(family: type[ScratchModel]) -> None:
    model, values = tiny(family), torch.rand(4, CONTEXT)
    model.choose_loss("quantile")
    uniforms = torch.rand(4, 50, HORIZON, dtype=torch.float64)
    found = model.quantiles(series(values), uniforms, [0.1, 0.2, 0.5, 0.55, 0.6, 0.95])
    assert (found.diff(dim=1) >= 0).all()
    assert found[:, 0].lt(found[:, 4]).all()
    torch.testing.assert_close(found[:, 3], (found[:, 2] + found[:, 4]) / 2)
    assert torch.equal(found[:, 5], model.quantiles(series(values), uniforms, [0.9])[:, 0])
    drawn = model.sample(series(values), uniforms)
    assert drawn.shape == uniforms.shape
    outermost = model.quantiles(series(values), uniforms, [0.1, 0.9])
    assert (drawn >= outermost[:, :1]).all()
    assert (drawn <= outermost[:, 1:]).all()
    middle = model.sample(series(values), torch.full((4, 1, HORIZON), 0.5, dtype=torch.float64))
    assert torch.equal(middle[:, 0], found[:, 2])


def test_on_noise_the_quantile_loss_finds_the_quantiles_of_the_noise() -> None:
    """Targets that no context tells anything of: normal, mean 0.5 and spread 0.1; the exact quantiles are scipy's."""
    generator = np.random.default_rng(0)

    def noise(count: int) -> WindowArrays:
        values = generator.normal(0.5, 0.1, (count, CONTEXT + HORIZON)).astype(np.float32)
        return WindowArrays(values[:, :CONTEXT], values[:, CONTEXT:], np.zeros(count, np.int64), 3600)

    model = tiny(NHits, seed=1)
    model.choose_loss("quantile")
    budget = TrainingParameters(steps=150, learning_rate=0.01, evaluate_every=25)
    fit(model, noise(2000), noise(500), budget, 0, CPU)
    test = noise(500)
    uniforms = torch.zeros(500, 1, HORIZON, dtype=torch.float64)
    found = model.quantiles(series(torch.from_numpy(test.context)), uniforms, LEVELS).numpy()
    np.testing.assert_allclose(found.mean(axis=(0, 2)), norm.ppf(LEVELS, 0.5, 0.1), atol=0.02)
    inside = (test.target >= found[:, 0]) & (test.target <= found[:, -1])
    assert inside.mean() == pytest.approx(0.8, abs=0.04)


@every_loss
def test_a_network_whose_numbers_are_not_finite_has_no_finite_loss(loss: str) -> None:
    model = tiny(NHits)
    model.choose_loss(loss)
    with torch.no_grad():
        next(model.module.parameters()).fill_(torch.nan)
    assert not model.loss(series(torch.rand(2, CONTEXT)), torch.rand(2, HORIZON)).isfinite()


# Training.


@pytest.fixture(scope="module")
def learn():
    """A tiny model after a short training; each is trained once."""

    @cache
    def train(family: type[ScratchModel], loss: str):
        model = tiny(family, seed=5)
        model.choose_loss(loss)
        budget = TrainingParameters(steps=100, learning_rate=0.01, evaluate_every=25)
        return model, fit(model, sines(128, 0), sines(32, 1), budget, 0, CPU), sines(32, 2)

    return train


@every_family
@every_loss
def test_training_on_waves_lowers_the_loss_and_beats_persistence(
    family: type[ScratchModel], loss: str, learn
) -> None:
    model, history, test = learn(family, loss)
    assert history.best_validation_loss < 0.5 * history.validation_loss[0][1]
    target = torch.from_numpy(test.target)
    error = (forecast(model, torch.from_numpy(test.context)) - target).square().mean()
    persistence = (torch.from_numpy(test.context[:, -1:]) - target).square().mean()
    assert error < 0.5 * persistence


@every_family
def test_a_saved_model_of_quantiles_loads_with_all_of_them(
    family: type[ScratchModel], learn, tmp_path
) -> None:
    model, _, test = learn(family, "quantile")
    model.save(tmp_path)
    loaded = family.load(tmp_path)
    values = torch.from_numpy(test.context)
    uniforms = torch.zeros(len(values), 1, HORIZON, dtype=torch.float64)
    found, expected = (each.quantiles(series(values), uniforms, LEVELS) for each in (loaded, model))
    assert torch.equal(found, expected)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["made"]["loss"] == {"name": "quantile", "levels": LEVELS}


@every_family
def test_a_saved_model_forecasts_bit_for_bit_the_same_and_says_how_it_was_made(
    family: type[ScratchModel], learn, tmp_path
) -> None:
    model, _, test = learn(family, "dilate")
    model.save(tmp_path)
    loaded = family.load(tmp_path)
    values = torch.from_numpy(test.context)
    assert torch.equal(forecast(loaded, values), forecast(model, values))
    assert loaded.training_loss == "dilate"
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["made"] == {
        "library": "darts 0.48.1",
        "seed": 5,
        "loss": {"name": "dilate", "alpha": 0.5, "gamma": 0.01},
    }
    assert {**SIZES[family], "context": CONTEXT, "horizon": HORIZON}.items() <= config.items()
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["config.json", "model.safetensors"]
    stored = load_file(tmp_path / "model.safetensors")
    assert sum(value.numel() for value in stored.values()) == count(model.module)


# What does not fit.


@every_family
def test_windows_of_another_length_are_refused(family: type[ScratchModel]) -> None:
    model = tiny(family)
    with pytest.raises(UserError, match=rf"windows\.context[\s\S]*{CONTEXT - 1} steps[\s\S]*{CONTEXT} steps"):
        model.loss(series(torch.rand(2, CONTEXT - 1)), torch.rand(2, HORIZON))
    with pytest.raises(UserError, match=r"windows\.horizon"):
        model.loss(series(torch.rand(2, CONTEXT)), torch.rand(2, HORIZON + 1))


def test_a_folder_of_another_family_or_without_a_tensor_is_refused(tmp_path) -> None:
    tiny(NBeats).save(tmp_path)
    with pytest.raises(UserError, match="without max_pool"):
        NHits.load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_stacks": 3}), encoding="utf-8")
    with pytest.raises(UserError, match="are missing"):
        NBeats.load(tmp_path)


def test_tft_needs_two_steps_of_context() -> None:
    with pytest.raises(UserError, match="at least 2 steps"):
        tiny(Tft, context=1)
    forecast = tiny(Tft, context=2).sample(series(torch.tensor([[80.0, 82.0]])), UNIFORMS)
    assert forecast.isfinite().all()
