"""Fracast: upstream's forecasts with the padding computed once, its published weights, and where they come from.

Source of the expected forecasts: `fracast.inference.FracastModel.forecast_batch` with the published float32 weights.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from fracast.inference import FracastModel
from peft import LoraConfig, get_peft_model

from tests.helpers.random_models import series
from workflow_scripts.models import sources
from workflow_scripts.models.fracast import Fracast
from workflow_scripts.models.registry import variant
from workflow_scripts.models.sources import copy_packaged, default_source
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.steps.prepare_weights import prepare

PUBLISHED = Path(str(files("fracast"))) / "weights"


@pytest.fixture(scope="module")
def model() -> Fracast:
    loaded = load_variant(variant("fracast"), PUBLISHED)
    assert isinstance(loaded, Fracast)
    return loaded


@pytest.fixture(scope="module")
def upstream() -> FracastModel:
    return FracastModel.from_pretrained(weights="fp32")


def vital_signs(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    """Noisy daily rhythms in whole numbers; the first begins late, the second has a gap, the third is constant."""
    generator = torch.Generator().manual_seed(seed)
    daily = 80 + 10 * torch.sin(torch.arange(length) / 24 * 2 * torch.pi)
    values = (daily + 4 * torch.randn(rows, length, generator=generator)).round()
    if rows > 2:
        values[0, : length // 2], values[1, length // 3], values[2] = torch.nan, torch.nan, 70
    return values


@pytest.mark.parametrize(
    ("context", "horizon", "rows"),
    [(24, 12, 64), (72, 36, 16), (24, 48, 3), (8, 1, 2), (130, 48, 3), (2048, 48, 3)],
)
def test_forecasts_are_upstreams(
    model: Fracast, upstream: FracastModel, context: int, horizon: int, rows: int
) -> None:
    values = vital_signs(rows, context)
    expected = upstream.forecast_batch(values.numpy(), horizon=horizon)
    with torch.inference_mode():
        forecast = model.trained_quantiles(series(values), horizon).transpose(1, 2)
    np.testing.assert_allclose(forecast, expected, atol=2e-4, rtol=0)


def test_gradients_are_those_of_upstreams_own_forward_pass(model: Fracast, upstream: FracastModel) -> None:
    """Source: automatic differentiation of upstream's core and head over the whole padded context."""
    values = vital_signs(6, 24)[3:]
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    padded = torch.nn.functional.pad((values - low) / (high - low), (2024, 0))[:, None]
    observed = torch.nn.functional.pad(torch.ones_like(values, dtype=torch.bool), (2024, 0))[:, None]
    core, head = upstream.core, upstream.head
    hidden = core(padded, observed, observed.float())
    forecast = head.forward_horizon(hidden, ctx=padded[:, 0], ctx_mask=observed[:, 0])
    forecast[:, :12].square().mean().backward()
    ours = model.module((values - low) / (high - low), torch.ones_like(values, dtype=torch.bool), 12)
    ours.square().mean().backward()
    expected = {f"core.{name}": weight.grad for name, weight in core.named_parameters()}
    expected |= {f"head.{name}": weight.grad for name, weight in head.named_parameters()}
    for name, weight in model.module.named_parameters():
        if expected[name] is not None:
            largest = expected[name].abs().max()
            # The order of sums over 2,048 steps differs: 3e-5 of the largest gradient, measured.
            torch.testing.assert_close(weight.grad, expected[name], atol=1e-3 * float(largest) + 1e-9, rtol=0)
    core.zero_grad(), head.zero_grad(), model.module.zero_grad()


def test_a_window_s_forecast_does_not_depend_on_its_batch(model: Fracast) -> None:
    values = vital_signs(40, 24, seed=1)
    with torch.inference_mode():
        together = model.trained_quantiles(series(values), 12)
        alone = torch.cat([model.trained_quantiles(series(row[None]), 12) for row in values])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=0)


@pytest.mark.parametrize("observed", [0, 1, 7])
def test_a_series_of_hardly_any_values_gets_a_finite_forecast(model: Fracast, observed: int) -> None:
    values = torch.full((2, 24), torch.nan)
    values[:, :observed] = 80.0
    assert model.trained_quantiles(series(values), 12).isfinite().all()


def test_the_loss_is_twice_the_pinball_loss_of_the_scaled_forecast(model: Fracast) -> None:
    """Source: the definition of the quantile loss, written out with NumPy on upstream's scale."""
    values, target = vital_signs(4, 24)[3:], torch.tensor([[82.0, torch.nan, 70.0]])
    with torch.inference_mode():
        forecast = model.trained_quantiles(series(values), 3)[0].double().numpy()
        loss = float(model.loss(series(values), target))
    low, span = float(values.min()), float(values.max() - values.min())
    levels = np.arange(1, 10)[:, None] / 10
    error = (target.numpy() - low) / span - (forecast - low) / span
    expected = np.nanmean(2 * np.maximum(levels * error, (levels - 1) * error))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_merged_weights_give_upstream_the_adapted_forecast(model: Fracast, tmp_path: Path) -> None:
    """Source: upstream's own loading of the saved folder."""
    adapted = Fracast.load(PUBLISHED)
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=Fracast.attention_targets, init_lora_weights=False)
    adapted.module = get_peft_model(adapted.module, config)
    values = vital_signs(4, 24)
    with torch.inference_mode():
        expected = adapted.trained_quantiles(series(values), 12)
    assert not torch.allclose(expected, model.trained_quantiles(series(values), 12), atol=0.1)
    adapted.module = adapted.module.merge_and_unload()
    adapted.save(tmp_path)
    read = FracastModel.from_pretrained(tmp_path, weights="fp32").forecast_batch(values.numpy(), horizon=12)
    np.testing.assert_allclose(expected.transpose(1, 2), read, rtol=1e-4)


@pytest.mark.parametrize(
    ("context", "horizon", "what"), [(2049, 1, "windows.context"), (24, 49, "windows.horizon")]
)
def test_what_it_was_not_made_for_is_refused(model: Fracast, context: int, horizon: int, what: str) -> None:
    with pytest.raises(UserError, match=what):
        model.trained_quantiles(series(vital_signs(1, context)), horizon)


def test_its_weights_come_from_the_installed_package_with_their_origin_on_record(tmp_path: Path) -> None:
    assert default_source(variant("fracast")) == "package"
    prepare("fracast", "package", tmp_path / "fracast")
    record = read_json(tmp_path / "fracast/provenance.json")
    assert record["source"] == "package"
    assert record["package"] == "fracast 0.1.0"
    assert record["sha256"] == variant("fracast").package_sha256
    assert load_variant(variant("fracast"), tmp_path / "fracast").levels[0] == 0.1


def test_other_weights_than_the_registered_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    for name in variant("fracast").package_sha256:
        (tmp_path / "weights" / name).write_bytes((PUBLISHED / name).read_bytes() + b" ")
    monkeypatch.setattr(sources, "files", lambda _: tmp_path)
    with pytest.raises(UserError, match=r"config\.json of the package fracast") as refused:
        copy_packaged(variant("fracast"), tmp_path)
    assert "pip install --no-deps --force-reinstall fracast" in refused.value.remedy


def test_a_missing_package_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(sources, "files", missing)
    with pytest.raises(UserError, match="no package fracast"):
        copy_packaged(variant("fracast"), tmp_path)


def test_a_model_that_no_package_holds_is_not_taken_from_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no package that holds them"):
        copy_packaged(variant("moirai-nano"), tmp_path)
