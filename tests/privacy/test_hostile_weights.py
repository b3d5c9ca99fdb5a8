"""Weights of others: nothing in them is run, nothing is taken for small that is not, no name leads outside."""

import os
import zipfile
from pathlib import Path

import pytest
import torch

from tests.helpers.lag_llama_checkpoint import Runs, stand_in
from workflow_scripts.adaptation.adapters import ARM_FILE, load_adapter
from workflow_scripts.models.hub import read_lock
from workflow_scripts.models.lag_llama import checkpoint
from workflow_scripts.models.lag_llama.checkpoint import convert_checkpoint
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_json

NANO = Path(__file__).parents[2] / "weights/embedded/lag-llama-nano"


def test_a_checkpoint_that_unpacks_to_more_than_allowed_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 3_000_000)
    monkeypatch.setattr(checkpoint, "LARGEST", 2_000_000)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match=r"3,000,000 bytes\n.*at most 2,000,000"):
        convert_checkpoint(path, tmp_path / "out")


def test_a_checkpoint_in_the_form_before_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    torch.save(stand_in(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"not readable \(BadZipFile\)"):
        convert_checkpoint(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["../outside", "/outside", "folder/../../outside"])
def test_a_lock_file_can_name_no_file_outside(tmp_path: Path, name: str) -> None:
    path = tmp_path / "weights.lock.yaml"
    path.write_text(f"model: {{hub_id: a/b, commit: {'0' * 40}, sha256: {{'{name}': '0'}}}}")
    with pytest.raises(UserError, match="not readable as a list of pinned models"):
        read_lock(path)


def test_a_pickle_in_an_adapter_s_folder_is_never_opened(tmp_path: Path) -> None:
    model = load_variant(VARIANTS["lag-llama-nano"], NANO)
    count = sum(weight.numel() for weight in model.module.parameters())
    trace = tmp_path / "trace"
    # peft itself would fall back on this name where there is no safetensors file.
    torch.save({"a": Runs(os.system, f"touch {trace}")}, tmp_path / "adapter_model.bin")
    write_json(tmp_path / ARM_FILE, {"arm": "lora-r1", "base": "lag-llama-nano", "base_parameters": count})
    write_json(tmp_path / "adapter_config.json", {"peft_type": "LORA", "r": 1, "target_modules": ["q_proj"]})
    with pytest.raises(UserError, match="lora-r1 that does not fit"):
        load_adapter(model, tmp_path)
    assert not trace.exists()
