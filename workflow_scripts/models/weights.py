"""Where a variant's base weights come from, and the proof that a folder holds them; light to import."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.models.registry import Variant, family_class
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, write_json
from workflow_scripts.runtime.hashing import file_hash

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel

HUB = "hub"
"""The source that means: download the pinned revision."""

PROVENANCE = "provenance.json"
_CONFIGURATION = "config.json"
_KEPT = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")
"""What is taken from a source. Never a pickle (*.bin, *.ckpt, *.pt)."""


def load_variant(variant: Variant, folder: Path) -> "ForecastModel":
    """Load a variant's base weights in evaluation mode, after checking that the folder holds this variant.

    Raises UserError naming what was found and expected: another family, another size, NaN weights.
    """
    check_sizes(variant, folder)
    model = family_class(variant.family).load(folder)
    _check_finite(model, folder)
    return model


def check_sizes(variant: Variant, folder: Path) -> None:
    """Compare config.json with the variant's sizes, without importing torch. Raises UserError."""
    path = folder / _CONFIGURATION
    if not path.is_file():
        raise UserError(
            str(path),
            "no such file",
            f"a folder with {_CONFIGURATION} and safetensors of {variant.name}",
            f"give the folder that was downloaded from {variant.hub_id}"
            if variant.hub_id
            else "run the step that pre-trains the embedded models",
        )
    try:
        found = read_json(path)
    except json.JSONDecodeError as error:
        raise UserError(
            str(path),
            f"not JSON ({error.msg})",
            "a model's configuration",
            "restore the file from its source",
        ) from None
    if not isinstance(found, dict):
        raise UserError(
            str(path), "a JSON list or value", "a JSON object", "restore the file from its source"
        )
    compared = {name: size for name, size in variant.sizes.items() if name in found or name not in _DERIVED}
    differing = {
        name: found.get(name, "absent") for name, size in compared.items() if found.get(name) != size
    }
    if differing:
        raise UserError(
            str(path),
            ", ".join(f"{name} {value}" for name, value in differing.items()),
            f"{variant.name}: " + ", ".join(f"{name} {variant.sizes[name]}" for name in differing),
            "give the folder of that very model, or name the model that the folder holds",
        )


_DERIVED = ("bin_limit",)
"""Sizes that a configuration stores in another form; loading checks them."""


def copy_local(variant: Variant, source: Path, destination: Path) -> None:
    """Copy configuration and safetensors of a local folder. Raises UserError where it is not this variant."""
    check_sizes(variant, source)
    if not any(source.glob("*.safetensors")):
        others = sorted(
            path.name for path in source.iterdir() if path.suffix in {".bin", ".ckpt", ".pt", ".pth"}
        )
        raise UserError(
            str(source),
            f"no safetensors, but {', '.join(others)}" if others else "no safetensors",
            "weights as *.safetensors; other formats can run code when they are read and are never opened",
            "get the model's safetensors files",
        )
    for pattern in _KEPT:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, destination / path.name)


def download(variant: Variant, destination: Path) -> None:
    """Download the pinned revision's configuration and safetensors from the hub.

    Raises UserError where the variant is embedded, has no revision on record, or the hub is out of reach.
    """
    if variant.hub_id is None:
        raise UserError(
            f"model {variant.name}",
            "an embedded model, which no hub has",
            "a published model",
            "run the step that pre-trains the embedded models",
        )
    if variant.revision is None:
        raise UserError(
            f"model {variant.name}",
            "no pinned revision on record",
            "a commit of the hub that the registry names",
            f"download {variant.hub_id} yourself and give its folder as the source",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(
            variant.hub_id,
            revision=variant.revision,
            local_dir=destination,
            allow_patterns=list(_KEPT),
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{variant.hub_id}, revision {variant.revision}",
            f"the download failed ({type(error).__name__})",
            "a reachable hub that has this revision",
            "check the network, or download elsewhere and give the folder as the source",
        ) from error
    shutil.rmtree(destination / ".cache", ignore_errors=True)
    if not any(destination.glob("*.safetensors")):
        raise UserError(
            f"{variant.hub_id}, revision {variant.revision}",
            "a repository without safetensors",
            "weights as *.safetensors; other formats can run code when they are read and are never opened",
            "convert them once on a machine that you can spare, and give the folder as the source",
        )


def write_provenance(variant: Variant, folder: Path, origin: dict[str, Any]) -> None:
    """Write provenance.json: the variant, its origin, and the SHA-256 of every other file."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != PROVENANCE)
    record = {
        "model": variant.name,
        "family": variant.family,
        "licence": variant.licence,
        **origin,
        "sha256": {path.name: file_hash(path) for path in files},
    }
    write_json(folder / PROVENANCE, record)


def _check_finite(model: "ForecastModel", folder: Path) -> None:
    broken = [name for name, weight in model.module.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise UserError(
            str(folder),
            f"NaN or infinite weights in {len(broken)} tensors, the first is {broken[0]}",
            "finite weights",
            "prepare the weights again from an undamaged source",
        )
