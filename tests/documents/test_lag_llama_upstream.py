"""Adapters of Lag-Llama on upstream's own network, through peft alone.

Needs a checkout of time-series-foundation-models/lag-llama (LAG_LLAMA_DIR; checked with commit 013ff0c); without one
the tests are skipped. Nothing of it is part of this repository.
"""

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from gluonts.torch.distributions import StudentTOutput
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.helpers.trained_arms import PEFT_ARMS, SELECTING_ARMS
from workflow_scripts.adaptation.adapters import load_adapter, merge, save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.models.lag_llama.configuration import DEFAULT_LAGS
from workflow_scripts.models.registry import variant

SIZES = variant("lag-llama").sizes
ROWS, PAST = 3, 32 + max(DEFAULT_LAGS)


@pytest.fixture(scope="module")
def network_class() -> Any:
    """Upstream's LagLlamaModel, imported from the checkout."""
    folder = os.environ.get("LAG_LLAMA_DIR")
    if not folder or not (Path(folder) / "lag_llama").is_dir():
        pytest.skip("no checkout of lag-llama: set LAG_LLAMA_DIR to its folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return importlib.import_module("lag_llama.model.module").LagLlamaModel


@pytest.fixture
def upstream(network_class: Any) -> nn.Module:
    """Upstream's network of the released size, with our base weights, strictly."""
    network = network_class(
        **{name: SIZES[name] for name in ("n_layer", "n_head", "n_embd_per_head")},
        context_length=32,
        max_context_length=2048,
        scaling="robust",
        input_size=1,
        distr_output=StudentTOutput(),
        lags_seq=list(DEFAULT_LAGS),
        rope_scaling=None,
        time_feat=True,
        dropout=0.0,
    )
    network.load_state_dict(LagLlama.create(SIZES, seed=3).module.state_dict(), strict=True)
    return network.eval()


def adapted(name: str) -> LagLlama:
    """The same base weights under an arm, whose trained numbers are clearly not those of the start."""
    model = LagLlama.create(SIZES, seed=3)
    adapt(model, Arm.parse(name), AdaptationParameters(), seed=0, steps=10)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, weight in model.module.named_parameters():
            if weight.requires_grad:
                # AdaLoRA starts with three singular values a matrix, and may end with two.
                kept = slice(0, 2) if ".lora_E." in key else slice(None)
                weight[kept] += 0.05 * torch.randn(weight[kept].shape, generator=generator)
    return model


def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        "past_target": 80 + torch.randn(ROWS, PAST, generator=generator).cumsum(1),
        "past_observed_values": torch.ones(ROWS, PAST),
        "past_time_feat": torch.rand(ROWS, PAST, 6, generator=generator) - 0.5,
        "future_time_feat": torch.rand(ROWS, 1, 6, generator=generator) - 0.5,
    }


@torch.no_grad()
def parameters(network: nn.Module) -> Tensor:
    """Upstream's Student-t parameters of every token, [3, rows, tokens]."""
    return torch.stack(network(**inputs())[0])


@torch.no_grad()
def ours(model: LagLlama, upstream: Any) -> Tensor:
    """The same of our network, on upstream's tokens: that ours are equal shows test_lag_llama_equality.py."""
    tokens, _, _ = upstream.prepare_input(**inputs())
    return torch.stack([each.view(ROWS, -1) for each in model.module(tokens)])


@pytest.mark.parametrize("name", PEFT_ARMS)
def test_peft_puts_every_adapter_on_upstream_s_network(name: str, upstream: Any, tmp_path: Path) -> None:
    save_adapter(adapted(name), Arm.parse(name), tmp_path, "lag-llama")
    loaded = LagLlama.create(SIZES, seed=3)
    load_adapter(loaded, tmp_path)
    bare = parameters(upstream)
    theirs = parameters(PeftModel.from_pretrained(upstream, str(tmp_path)).eval())
    torch.testing.assert_close(theirs, ours(loaded, upstream), rtol=1e-5, atol=1e-5)
    assert (theirs - bare).abs().max() > 1e-3


@pytest.mark.parametrize("name", SELECTING_ARMS)
def test_selected_tensors_are_upstream_s_own(name: str, upstream: Any, tmp_path: Path) -> None:
    model = adapted(name)
    save_adapter(model, Arm.parse(name), tmp_path, "lag-llama")
    bare = parameters(upstream)
    unlike = upstream.load_state_dict(load_file(tmp_path / "selected.safetensors"), strict=False)
    assert not unlike.unexpected_keys
    torch.testing.assert_close(parameters(upstream), ours(model, upstream), rtol=1e-5, atol=1e-5)
    assert (parameters(upstream) - bare).abs().max() > 1e-3


def test_merged_weights_are_a_state_of_upstream_s_network(upstream: Any, tmp_path: Path) -> None:
    model = adapted("lora-r2")
    expected = ours(model, upstream)
    merge(model, Arm.parse("lora-r2"))
    model.save(tmp_path)
    upstream.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    torch.testing.assert_close(parameters(upstream), expected, rtol=1e-5, atol=1e-5)
