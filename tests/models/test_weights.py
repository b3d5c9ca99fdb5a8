"""Preparing base weights: what is copied, what is recorded, what is refused."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import load_variant
from workflow_scripts.prepare_weights import prepare
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub serves it, of the real size, with random weights."""
    from workflow_scripts.models.chronos import Chronos

    folder = tmp_path_factory.mktemp("tiny")
    Chronos.create(variant("chronos-t5-tiny").sizes, seed=1).save(folder)
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    return folder


@pytest.fixture
def moirai(tmp_path: Path) -> Path:
    from workflow_scripts.models.moirai import Moirai

    folder = tmp_path / "moirai"
    folder.mkdir()
    Moirai.create(variant("moirai-nano").sizes, seed=1).save(folder)
    return folder


def test_a_local_folder_is_copied_checked_and_recorded(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "weights" / "chronos-t5-tiny"
    prepare("chronos-t5-tiny", str(tiny), output)
    record = read_json(output / "provenance.json")
    assert record["model"] == "chronos-t5-tiny"
    assert set(record["sha256"]) == {"config.json", "generation_config.json", "model.safetensors"}
    for name, digest in record["sha256"].items():
        assert digest == hashlib.sha256((tiny / name).read_bytes()).hexdigest()
    model = load_variant(variant("chronos-t5-tiny"), output)
    theirs = load_file(tiny / "model.safetensors")["shared.weight"]
    assert torch.equal(model.module.shared.weight, theirs)


def test_another_size_is_refused_with_both_sizes_and_nothing_is_left(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "weights" / "chronos-t5-small"
    with pytest.raises(UserError, match=r"d_model 256[\s\S]*d_model 512") as caught:
        prepare("chronos-t5-small", str(tiny), output)
    assert "config.json" in caught.value.where
    assert list((tmp_path / "weights").iterdir()) == []


def test_another_family_is_refused(moirai: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="d_ff absent"):
        prepare("chronos-t5-tiny", str(moirai), tmp_path / "output")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        prepare("chronos-t5-tiny", str(tmp_path), tmp_path / "output")


def test_a_configuration_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        prepare("chronos-t5-tiny", str(tmp_path), tmp_path / "output")


def test_a_folder_with_a_pickle_alone_is_refused_unread(moirai: Path, tmp_path: Path) -> None:
    (moirai / "model.safetensors").rename(moirai / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"but pytorch_model\.bin"):
        prepare("moirai-nano", str(moirai), tmp_path / "output")


def test_weights_that_are_not_finite_are_refused(moirai: Path, tmp_path: Path) -> None:
    tensors = load_file(moirai / "model.safetensors")
    tensors["mask_encoding.weight"][0, 3] = float("nan")
    save_file(tensors, moirai / "model.safetensors")
    with pytest.raises(UserError, match=r"mask_encoding\.weight"):
        prepare("moirai-nano", str(moirai), tmp_path / "output")


def test_a_cut_file_is_refused(moirai: Path, tmp_path: Path) -> None:
    file = moirai / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot be read"):
        prepare("moirai-nano", str(moirai), tmp_path / "output")


@pytest.mark.parametrize(
    ("name", "reason"), [("moirai-nano", "embedded"), ("chronos-t5-small", "no pinned revision")]
)
def test_what_the_hub_cannot_give_is_said_before_any_connection(
    name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=reason):
        prepare(name, "hub", tmp_path / "output")


def test_a_hub_out_of_reach_ends_with_one_message(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "workflow_scripts.prepare_weights", "--model", "chronos-t5-tiny"]
    ended = subprocess.run(
        [*command, "--source", "hub", "--output", str(tmp_path / "weights" / "tiny")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "error: amazon/chronos-t5-tiny, revision" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "weights").iterdir()) == []
