"""MOIRAI-2 against uni2ts: its own forecasting, packing and loss; and gluonts' imputation."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from gluonts.transform.feature import CausalMeanValueImputation
from peft import LoraConfig, get_peft_model

from tests.helpers.random_models import MOIRAI_2_SIZES, random_uniforms, random_values, series, small
from workflow_scripts.models.moirai_2 import Moirai2, impute

LEVELS = MOIRAI_2_SIZES["quantile_levels"]


@pytest.fixture(scope="module")
def model() -> Moirai2:
    return small(Moirai2)


def upstream_forecast(model: Moirai2, length: int, horizon: int):
    from uni2ts.model.moirai2 import Moirai2Forecast

    return Moirai2Forecast(
        prediction_length=horizon,
        target_dim=1,
        feat_dynamic_real_dim=0,
        past_feat_dynamic_real_dim=0,
        context_length=length,
        module=model.module,
    )


def test_importing_the_family_imports_neither_lightning_nor_transformers() -> None:
    program = (
        "import sys; from workflow_scripts.models.uni2ts_parts import uni2ts_module as m;"
        "import workflow_scripts.models.moirai_2; m('moirai2').Moirai2Module;"
        "assert 'lightning' not in sys.modules; assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_plain_import_of_upstream_finds_the_same_class(model: Moirai2) -> None:
    from uni2ts.model.moirai2 import Moirai2Module

    assert type(model.module) is Moirai2Module


@pytest.mark.parametrize(("length", "horizon"), [(24, 12), (72, 36), (300, 64), (5, 1)])
def test_quantiles_equal_upstreams_predict(model: Moirai2, length: int, horizon: int) -> None:
    values = random_values(6, length, seed=length, missing=0.0)
    expected = upstream_forecast(model, length, horizon).predict(list(values.numpy()))
    found = model.quantiles(series(values), random_uniforms(6, 2, horizon), LEVELS)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-3)


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
@pytest.mark.parametrize(("length", "horizon"), [(24, 12), (72, 36)])
def test_quantiles_of_series_with_gaps_equal_upstreams_transformation_and_forward(
    model: Moirai2, length: int, horizon: int
) -> None:
    values = random_values(6, length, seed=length)
    forecast = upstream_forecast(model, length, horizon)
    entries = [
        next(iter(forecast.get_default_transform()([{"target": row.numpy().copy()}], is_train=False)))
        for row in values
    ]
    with torch.no_grad():
        expected = forecast(
            past_target=torch.from_numpy(np.stack([entry["target"] for entry in entries])).transpose(1, 2),
            past_observed_target=torch.from_numpy(
                np.stack([entry["observed_target"] for entry in entries])
            ).transpose(1, 2),
            past_is_pad=torch.zeros(6, length, dtype=torch.bool),
        )
    found = model.quantiles(series(values), random_uniforms(6, 2, horizon), LEVELS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
def test_missing_values_are_filled_as_by_gluonts() -> None:
    values = random_values(40, 30, seed=1, missing=0.4)
    expected = np.stack([CausalMeanValueImputation()(row.numpy().copy()) for row in values])
    np.testing.assert_allclose(impute(values).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("horizon", [12, 36, 64])
def test_loss_is_the_mean_quantile_loss_of_the_forecast(model: Moirai2, horizon: int) -> None:
    """Written out on the forecast itself: each window's mean over observed steps, then over windows."""
    context, target = random_values(5, 40, seed=2, missing=0.0), random_values(5, horizon, seed=horizon)
    target[0] = 75.0
    spread = (context.var(1) + 1e-5).sqrt()
    error = (target[:, None] - model.trained_quantiles(series(context), horizon)) / spread[:, None, None]
    level = torch.tensor(LEVELS)[:, None]
    windows = torch.maximum(level * error, (level - 1) * error).mean(1).nanmean(1)
    # uni2ts weighs every token's window alike, however much of it was observed.
    torch.testing.assert_close(model.loss(series(context), target), windows.mean(), rtol=1e-4, atol=0)


def test_lora_trains_as_many_parameters_as_the_sizes_say() -> None:
    with torch.device("meta"):
        built = Moirai2.create({**MOIRAI_2_SIZES, "d_model": 384, "d_ff": 1024, "num_layers": 6}, seed=0)
        # The published count of Salesforce/moirai-2.0-R-small.
        assert sum(parameter.numel() for parameter in built.module.parameters()) == 11_387_208
        wrapped = get_peft_model(built.module, LoraConfig(r=8, target_modules=Moirai2.attention_targets))
    trainable = sum(weight.numel() for weight in wrapped.parameters() if weight.requires_grad)
    assert trainable == 6 * 4 * 8 * (384 + 384)
