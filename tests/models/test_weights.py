"""Preparing base weights: what is copied, what is recorded, what is refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.lag_llama_checkpoint import Runs, stand_in
from workflow_scripts.models import sources
from workflow_scripts.models.registry import VARIANTS, family_class, variant
from workflow_scripts.models.sources import copy_embedded
from workflow_scripts.models.weights import check_folder, count_elements, load_variant, write_provenance
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.steps.prepare_weights import prepare

NANOS = ("chronos-t5-nano", "moirai-nano", "lag-llama-nano")


def make(name: str, folder: Path, seed: int = 1) -> Path:
    """A folder of the variant with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = variant(name)
    family_class(entry.family).create(entry.sizes, seed).save(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub serves it, of the real size, with random weights."""
    folder = make("chronos-t5-tiny", tmp_path_factory.mktemp("tiny"))
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    return folder


@pytest.fixture(scope="module")
def moirai_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("moirai-nano", tmp_path_factory.mktemp("moirai"))


@pytest.fixture
def moirai(moirai_once: Path, tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(moirai_once, tmp_path / "moirai"))


def test_a_local_folder_is_copied_checked_and_recorded(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "weights" / "chronos-t5-tiny"
    prepare("chronos-t5-tiny", str(tiny), output)
    record = read_json(output / "provenance.json")
    assert record["model"] == "chronos-t5-tiny"
    assert record["source"] == "local folder"
    assert set(record["sha256"]) == {"config.json", "generation_config.json", "model.safetensors"}
    for name, digest in record["sha256"].items():
        assert digest == hashlib.sha256((tiny / name).read_bytes()).hexdigest()
    model = load_variant(variant("chronos-t5-tiny"), output)
    theirs = load_file(tiny / "model.safetensors")["shared.weight"]
    assert torch.equal(model.module.shared.weight, theirs)


def test_the_safetensors_file_itself_can_be_named(moirai: Path, tmp_path: Path) -> None:
    prepare("moirai-nano", str(moirai / "model.safetensors"), tmp_path / "output")
    assert load_variant(variant("moirai-nano"), tmp_path / "output")


@pytest.mark.parametrize("name", ["chronos-bolt-tiny", "chronos-2-small", "moirai-2.0-R-small", *NANOS])
def test_what_a_family_saves_passes_the_check_of_family_sizes_and_values(name: str, tmp_path: Path) -> None:
    check_folder(variant(name), make(name, tmp_path))
    # uni2ts would leave a model card, which says that the model was sent to the hub.
    assert not (tmp_path / "README.md").exists()


def test_another_size_is_refused_with_both_sizes_and_nothing_is_left(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "weights" / "chronos-t5-small"
    with pytest.raises(UserError, match=r"d_model 256[\s\S]*d_model 512") as caught:
        prepare("chronos-t5-small", str(tiny), output)
    assert "config.json" in caught.value.where
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.parametrize(("asked", "given"), [("chronos-t5-tiny", "moirai"), ("chronos-bolt-tiny", "tiny")])
def test_another_family_is_refused_by_its_configuration(
    asked: str, given: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    # Chronos-T5 and Chronos-Bolt of one size differ in nothing that `sizes` names.
    with pytest.raises(UserError, match=f"family {'moirai' if given == 'moirai' else 'chronos'}"):
        prepare(asked, str(request.getfixturevalue(given)), tmp_path / "output")


def test_other_quantile_levels_are_refused(tmp_path: Path) -> None:
    sizes = variant("chronos-2-small").sizes | {"num_layers": 1, "quantiles": [0.1, 0.5, 0.9]}
    family_class("chronos-2").create(sizes, 1).save(tmp_path)
    with pytest.raises(UserError, match=r"num_layers 1, quantiles \[0\.1, 0\.5, 0\.9\]"):
        prepare("chronos-2-small", str(tmp_path), tmp_path / "output")


def test_weights_of_another_size_than_their_configuration_are_refused(moirai: Path, tmp_path: Path) -> None:
    tensors = load_file(moirai / "model.safetensors")
    tensors["surplus"] = torch.zeros(5)
    save_file(tensors, moirai / "model.safetensors")
    with pytest.raises(UserError, match=r"409,837 values[\s\S]*409,832 parameters of moirai-nano"):
        prepare("moirai-nano", str(moirai), tmp_path / "output")


def test_a_configuration_that_would_call_something_is_refused_and_calls_nothing(
    moirai: Path, tmp_path: Path
) -> None:
    trace, config = tmp_path / "trace", read_json(moirai / "config.json")
    config["distr_output"]["components"][0] = {"_target_": "os.system", "command": f"touch {trace}"}
    (moirai / "config.json").write_text(json.dumps(config))
    # hydra would call it; uni2ts refuses every name outside its own modules.
    with pytest.raises(UserError, match=r"Unsafe _target_ .*os\.system"):
        prepare("moirai-nano", str(moirai), tmp_path / "output")
    assert not trace.exists()


def test_an_empty_folder_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        prepare("chronos-t5-tiny", str(tmp_path), tmp_path / "output")
    with pytest.raises(UserError, match="no such file or folder"):
        prepare("chronos-t5-tiny", str(tmp_path / "absent"), tmp_path / "output")


@pytest.mark.parametrize(
    ("text", "finding"),
    [("{", "not JSON"), ("[]", "no JSON object"), ("3", "no JSON object"), ("", "not JSON")],
)
def test_a_configuration_that_is_no_json_object_is_refused(text: str, finding: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=finding):
        prepare("chronos-t5-tiny", str(tmp_path), tmp_path / "output")


def test_a_folder_with_a_pickle_alone_is_refused_unread(moirai: Path, tmp_path: Path) -> None:
    (moirai / "model.safetensors").rename(moirai / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"but pytorch_model\.bin"):
        prepare("moirai-nano", str(moirai), tmp_path / "output")
    with pytest.raises(UserError, match="never opened"):
        prepare("moirai-nano", str(moirai / "pytorch_model.bin"), tmp_path / "output")


def test_weights_that_are_not_finite_are_refused(moirai: Path, tmp_path: Path) -> None:
    tensors = load_file(moirai / "model.safetensors")
    tensors["mask_encoding.weight"][0, 3] = float("nan")
    save_file(tensors, moirai / "model.safetensors")
    for source in (moirai, moirai / "model.safetensors"):
        with pytest.raises(UserError, match=r"mask_encoding\.weight") as caught:
            prepare("moirai-nano", str(source), tmp_path / "output")
        # Not the copy, which is gone.
        assert caught.value.where == str(moirai)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def forge(path: Path, header: Any, values: int = 16, length: int | None = None) -> Path:
    """A file in the layout of safetensors: the header's length, the header, the values."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(values))
    return path


def test_the_values_of_a_file_are_counted_by_its_header(moirai: Path, tmp_path: Path) -> None:
    tensors = load_file(moirai / "model.safetensors")
    assert count_elements(moirai / "model.safetensors") == sum(each.numel() for each in tensors.values())
    # An empty tensor and a file's own notes are part of the format.
    header = {"__metadata__": {"format": "pt"}, "none": entry([0, 3], 0, 0), "two": entry([2, 2], 0, 16)}
    assert count_elements(forge(tmp_path / "file", header)) == 4


FORGED: dict[str, tuple[Any, dict[str, int], str]] = {
    "nothing": (b"", {"values": 0, "length": 0}, "invalid JSON"),
    "a header longer than the file": ({}, {"length": 2**63}, "header too large"),
    "a header of the file's size": (
        {"a": entry([4], 0, 16)},
        {"length": 10_000},
        "invalid header length",
    ),
    "no JSON": (b"{'a': 1}", {}, "invalid JSON"),
    "a list": ([1, 2], {}, "invalid JSON"),
    "a huge shape": ({"a": entry([2**40, 2**20], 0, 16)}, {}, "overflow"),
    "a huge place": ({"a": entry([2**40], 0, 2**42)}, {}, "file not fully covered"),
    "a negative shape": ({"a": entry([-4, -1], 0, 16)}, {}, "expected usize"),
    "a shape of text": ({"a": entry(["4"], 0, 16)}, {}, "expected usize"),  # type: ignore[list-item]
    "overlapping places": ({"a": entry([4], 0, 16), "b": entry([2], 8, 16)}, {}, "invalid offset"),
    "a gap": ({"a": entry([2], 8, 16)}, {}, "invalid offset"),
    "values left over": ({"a": entry([2], 0, 8)}, {}, "file not fully covered"),
    "an unknown type": ({"a": entry([4], 0, 16, "X9")}, {}, "unknown variant `X9`"),
    "no places": ({"a": {"dtype": "F32", "shape": [4]}}, {}, "missing field `data_offsets`"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_cut_or_forged_header_is_refused_before_anything_is_allocated(forged: str, tmp_path: Path) -> None:
    header, sizes, finding = FORGED[forged]
    with pytest.raises(UserError, match=finding):
        count_elements(forge(tmp_path / "model.safetensors", header, **sizes))


def test_a_cut_file_is_refused(moirai: Path, tmp_path: Path) -> None:
    file = moirai / "model.safetensors"
    whole = file.read_bytes()
    for cut in (whole[:-100], whole[:1000], whole[:5], b""):
        file.write_bytes(cut)
        with pytest.raises(UserError, match=r"model\.safetensors[\s\S]*bytes"):
            prepare("moirai-nano", str(moirai), tmp_path / "output")


def test_lag_llama_s_checkpoint_is_converted_once_and_its_hash_recorded(tmp_path: Path) -> None:
    source = tmp_path / "downloaded"
    source.mkdir()
    torch.save(stand_in(), source / "lag-llama.ckpt")
    expected = hashlib.sha256((source / "lag-llama.ckpt").read_bytes()).hexdigest()
    # The file by any name, or the folder in which it was downloaded.
    (tmp_path / "renamed.ckpt").write_bytes((source / "lag-llama.ckpt").read_bytes())
    for number, given in enumerate((source, source / "lag-llama.ckpt", tmp_path / "renamed.ckpt")):
        output = tmp_path / f"output{number}"
        prepare("lag-llama", str(given), output)
        record = read_json(output / "provenance.json")
        assert record["source"] == "local file"
        assert record["checkpoint"]["sha256"] == expected
        assert {path.name for path in output.glob("[!.]*")} == {
            "config.json",
            "model.safetensors",
            "provenance.json",
        }
    loaded = load_variant(VARIANTS["lag-llama"], output).module.state_dict()
    theirs = stand_in()["state_dict"]
    assert all(torch.equal(tensor, theirs[f"model.{name}"]) for name, tensor in loaded.items())


def test_a_hostile_checkpoint_is_refused_by_the_step_and_never_runs(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "lag-llama.ckpt"
    content = stand_in()
    content["hyper_parameters"]["loss"] = Runs(os.system, f"touch {trace}")
    torch.save(content, path)
    with pytest.raises(UserError, match=r"posix\.system"):
        prepare("lag-llama", str(path), tmp_path / "weights" / "lag-llama")
    assert not trace.exists()
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.fixture
def embedded(moirai_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded model as git holds it, with a model card."""
    monkeypatch.setattr(sources, "EMBEDDED_FOLDER", tmp_path / "embedded")
    folder = Path(shutil.copytree(moirai_once, tmp_path / "embedded" / "moirai-nano"))
    (folder / "README.md").write_text("# A model card\n")
    write_provenance(variant("moirai-nano"), folder, {"source": "embedded"})
    return folder


def test_an_embedded_model_is_copied_with_its_record_and_its_hashes_verified(
    embedded: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    copy_embedded(variant("moirai-nano"), output)
    assert {path.name: path.read_bytes() for path in output.glob("[!.]*")} == {
        path.name: path.read_bytes() for path in embedded.iterdir()
    }


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_an_embedded_file_that_is_not_the_recorded_one_is_refused(
    name: str, embedded: Path, tmp_path: Path
) -> None:
    found = (embedded / name).read_bytes()
    (embedded / name).write_bytes(found[:-1] + bytes([found[-1] ^ 1]))
    with pytest.raises(UserError, match=rf"{name}[\s\S]*SHA-256 \w{{64}}[\s\S]*SHA-256 \w{{64}}, as prov"):
        copy_embedded(variant("moirai-nano"), tmp_path)
    (embedded / name).unlink()
    with pytest.raises(UserError, match=r"no such file[\s\S]*restore the file"):
        copy_embedded(variant("moirai-nano"), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "chronos-t5-nano"},
        {"sha256": {}},
        {"sha256": {"../config.json": "", "model.safetensors": ""}},
    ],
    ids=["another model", "no hashes", "a path"],
)
def test_a_record_that_does_not_hold_for_the_model_is_refused(
    change: dict[str, Any], embedded: Path, tmp_path: Path
) -> None:
    path = embedded / "provenance.json"
    path.write_text(json.dumps(read_json(path) | change))
    with pytest.raises(UserError, match="record of another model, or without hashes"):
        copy_embedded(variant("moirai-nano"), tmp_path)


def test_a_published_model_is_not_embedded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"embedded model chronos-t5-tiny[\s\S]*give a folder"):
        prepare("chronos-t5-tiny", "embedded", tmp_path / "output")


def test_an_embedded_model_is_prepared_without_torch(embedded: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from workflow_scripts.models import sources; import workflow_scripts.steps.prepare_weights as step;"
        "sources.EMBEDDED_FOLDER = Path(sys.argv[1]);"
        "step.prepare('moirai-nano', 'embedded', Path(sys.argv[2]));"
        "assert not {'torch', 'numpy', 'huggingface_hub'} & set(sys.modules)"
    )
    output = tmp_path / "output"
    subprocess.run([sys.executable, "-c", program, str(embedded.parent), str(output)], check=True)
    assert (output / "model.safetensors").is_file()


def test_a_restricting_licence_is_said(moirai: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UserError):
        prepare("moirai-1.0-R-small", str(moirai), tmp_path / "output")
    said = capsys.readouterr().out
    assert "moirai-1.0-R-small" in said
    assert "CC-BY-NC-4.0: non-commercial use only" in said
