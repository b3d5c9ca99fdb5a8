"""The reader of the official checkpoint, on stand-ins of the same layout and on hostile files.

The stand-ins are made with the installed gluonts, whose objects the official file holds beside its tensors.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.lag_llama_checkpoint import Runs, stand_in
from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.models.lag_llama.checkpoint import convert_checkpoint
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.runtime.errors import UserError


def test_the_checkpoint_s_weights_and_settings_become_a_folder_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "lag-llama.ckpt"
    torch.save(stand_in(), path)
    assert convert_checkpoint(path, tmp_path / "out") == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded, expected = LagLlama.load(tmp_path / "out"), LagLlama.create(VARIANTS["lag-llama"].sizes, seed=4)
    assert loaded.configuration == expected.configuration
    weights = expected.module.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.module.state_dict().items())
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("function", "named"),
    [(os.system, "posix.system"), (eval, "eval"), (exec, "exec")],
    ids=["a shell command", "eval", "exec"],
)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "old format"])
def test_a_hostile_pickle_is_refused_and_never_runs(
    function: Callable[..., Any], named: str, legacy: bool, tmp_path: Path
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "hostile.ckpt"
    command = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    content = stand_in()
    content["hyper_parameters"]["loss"] = Runs(function, command)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError) as error:
        convert_checkpoint(path, tmp_path / "out")
    assert legacy or named in error.value.found
    assert not trace.exists()
    assert not (tmp_path / "out").exists()


def test_the_hostile_pickle_would_run_where_it_is_trusted(tmp_path: Path) -> None:
    """The counter-check: without the allow-list the same kind of file does leave its trace."""
    trace, path = tmp_path / "trace", tmp_path / "hostile.ckpt"
    torch.save({"loss": Runs(os.system, f"touch {trace}")}, path)
    torch.load(path, weights_only=False)
    assert trace.exists()


def change_arguments(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["hyper_parameters"]["model_kwargs"].update(changes)


MISFITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a tensor missing": (
        lambda content: content["state_dict"].popitem(),
        "1 (param_proj.proj.2.bias) missing",
    ),
    "a tensor too many": (
        lambda content: content["state_dict"].update({"model.extra": torch.zeros(1)}),
        "1 (extra) unknown",
    ),
    "NaN": (lambda content: content["state_dict"]["model.transformer.wte.bias"].fill_(torch.nan), "NaN"),
    "another size": (change_arguments(n_head=8), "float32 ["),
    "dropout": (change_arguments(dropout=0.1), "dropout 0.1"),
    "several inputs": (change_arguments(input_size=2), "input_size 2"),
    "no settings": (lambda content: content.pop("hyper_parameters"), "hyper_parameters"),
    "a name twice": (
        lambda content: content["state_dict"].update({"transformer.wte.bias": torch.zeros(144)}),
        "twice",
    ),
    "not a tensor": (
        lambda content: content["state_dict"].update({"model.transformer.wte.bias": 1.0}),
        "not tensors",
    ),
    "no tensors": (lambda content: content.pop("state_dict"), "state_dict"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_finding(misfit: str, tmp_path: Path) -> None:
    content, path = stand_in(), tmp_path / "lag-llama.ckpt"
    change, finding = MISFITS[misfit]
    change(content)
    torch.save(content, path)
    with pytest.raises(UserError) as error:
        convert_checkpoint(path, tmp_path / "out")
    assert finding in error.value.found
    assert not (tmp_path / "out").exists()


def test_a_damaged_or_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lag-llama.ckpt"
    with pytest.raises(UserError, match="no such file"):
        convert_checkpoint(path, tmp_path / "out")
    torch.save(stand_in(), path)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(UserError, match="not readable"):
        convert_checkpoint(path, tmp_path / "out")
