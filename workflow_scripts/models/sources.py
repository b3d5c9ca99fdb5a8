"""Where base weights come from: the repository itself, an installed package, a local folder or file, or the hub."""

import shutil
from hashlib import sha256
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

from workflow_scripts.models.registry import Variant, family_module
from workflow_scripts.models.weights import (
    CONFIGURATION,
    PREPARED_FOLDER,
    PROVENANCE,
    WEIGHTS,
    check_configuration,
    check_folder,
)
from workflow_scripts.runtime.content import content_hashes
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.runtime.hashing import PACKAGE as OWN_PACKAGE
from workflow_scripts.runtime.hashing import file_hash

EMBEDDED = "embedded"
PACKAGE = "package"
HUB = "hub"
"""The sources that are no path."""

EMBEDDED_FOLDER = OWN_PACKAGE.parent / "weights" / "embedded"
KEPT = (CONFIGURATION, WEIGHTS, "generation_config.json")
"""What is taken from a folder or from the hub. Never a pickle (*.bin, *.ckpt, *.pt)."""


def default_source(variant: Variant) -> str:
    """What is meant where the study names no source."""
    return allowed_sources(variant)[0]


def allowed_sources(variant: Variant) -> list[str]:
    """The sources that are no path and have this variant; the first is the usual one."""
    return [
        *([PACKAGE] if variant.package else []),
        *([HUB] if variant.hub_id else [EMBEDDED]),
    ]


def require_base_weights(variant: Variant) -> None:
    """Raise UserError for a model that is trained from scratch: it has none."""
    if variant.from_scratch:
        raise UserError(
            f"base weights of {variant.name}",
            "a model that is trained from scratch",
            "a model that has base weights",
            "name another model, or the folder `adapter` of one of its runs, which holds the whole model",
        )


def weights_folder(variant: Variant, given: Path | None) -> Path:
    """The folder that the user gave, or that of the workflow. Raises UserError where the latter is missing."""
    require_base_weights(variant)
    folder = given or PREPARED_FOLDER / variant.weights_of
    if given is None and not folder.is_dir():
        raise UserError(
            str(folder),
            "no such folder",
            f"the weights of {variant.weights_of}, as the workflow prepares them",
            f"run python -m workflow_scripts.steps.prepare_weights --model {variant.weights_of} "
            f"--source {default_source(variant)} --output {folder}, or name a folder with --weights",
        )
    return folder


def copy_embedded(variant: Variant, destination: Path) -> None:
    """Copy an embedded model with its provenance.json, after comparing every file with the SHA-256 there.

    Raises UserError where the repository holds no such model, or a file is missing or differs.
    """
    folder = EMBEDDED_FOLDER / variant.name
    record = _read_provenance(variant, folder)
    for name, expected in record["sha256"].items():
        path = folder / name
        found = file_hash(path) if path.is_file() else "no such file"
        if found != expected:
            raise UserError(
                str(path),
                f"SHA-256 {found}",
                f"SHA-256 {expected}, as {PROVENANCE} says",
                f"restore the file: git checkout -- weights/embedded/{variant.name}",
            )
    check_configuration(variant, folder)
    for name in (*record["sha256"], PROVENANCE):
        shutil.copyfile(folder / name, destination / name)


def copy_packaged(variant: Variant, destination: Path) -> dict[str, Any]:
    """Copy the weights that an installed package holds, after comparing every file with the registry's SHA-256.

    Returns the origin for provenance.json. Raises UserError where the package is not installed, or a file differs.
    """
    if variant.package is None:
        raise UserError(
            f"base weights of {variant.name}",
            "no package that holds them",
            f"one of the sources {', '.join(allowed_sources(variant))}, or a path",
            "name another source",
        )
    package = variant.package
    remedy = (
        f"install the version in envs/requirements.txt: pip install --no-deps --force-reinstall {package}==…"
    )
    try:
        folder = files(package) / "weights"
        version = metadata.version(package)
    except ModuleNotFoundError:
        raise UserError(
            f"base weights of {variant.name}",
            f"no package {package}",
            "the package, installed, whose files hold them",
            remedy,
        ) from None
    for name, expected in variant.package_sha256.items():
        content = (folder / name).read_bytes() if (folder / name).is_file() else b""
        found = sha256(content).hexdigest()
        if found != expected:
            raise UserError(
                f"{name} of the package {package}", f"SHA-256 {found}", f"SHA-256 {expected}", remedy
            )
        (destination / name).write_bytes(content)
    return {"source": PACKAGE, "package": f"{package} {version}"}


def embedded_hashes(variant: Variant) -> dict[str, str]:
    """SHA-256 of every file of an embedded model; empty where there is no record, which copying refuses."""
    try:
        return _read_provenance(variant, EMBEDDED_FOLDER / variant.name)["sha256"]
    except UserError:
        return {}


def _read_provenance(variant: Variant, folder: Path) -> dict[str, Any]:
    path = folder / PROVENANCE
    try:
        record = read_json(path)
        # A name with a folder in it could reach outside.
        usable = record["model"] == variant.name and {CONFIGURATION, WEIGHTS} <= record["sha256"].keys()
        usable = usable and all(Path(name).name == name for name in record["sha256"])
        found = "the record of another model, or without hashes of its files"
    except FileNotFoundError:
        usable, found = False, "no such file"
    except (ValueError, KeyError, TypeError, AttributeError):
        usable, found = False, "no record of weights"
    if not usable:
        raise UserError(
            str(path),
            found,
            f"the record of the embedded model {variant.name}, with the SHA-256 of every file",
            "name an embedded model, restore the folder from git, or give a folder of weights as the source",
        )
    return record


def copy_local(variant: Variant, source: Path, destination: Path) -> dict[str, Any]:
    """Copy configuration and safetensors of a local folder, or convert a local checkpoint.

    source: a folder; its model.safetensors; or, where the variant has one, the official checkpoint.
    Returns the origin for provenance.json, which names no path. Raises UserError where it is not this variant.
    """
    folder = source.parent if source.name == WEIGHTS else source
    if source.is_file() and folder is source:
        return _convert_local(variant, source, destination)
    if not folder.is_dir():
        raise UserError(
            str(source),
            "no such file or folder",
            f"a folder with {CONFIGURATION} and {WEIGHTS} of {variant.name}, '{EMBEDDED}' or '{HUB}'",
            "correct the path",
        )
    if (
        variant.checkpoint
        and not (folder / CONFIGURATION).exists()
        and (folder / variant.checkpoint).exists()
    ):
        return _convert_local(variant, folder / variant.checkpoint, destination)
    read = local_inventory(variant, str(folder))
    check_folder(variant, folder)
    for name in KEPT:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, destination / name)
    return {"source": "local folder", "read": read}


def _convert_local(variant: Variant, checkpoint: Path, destination: Path) -> dict[str, Any]:
    if variant.checkpoint is None:
        raise UserError(
            str(checkpoint),
            "a file",
            f"a folder with {CONFIGURATION} and {WEIGHTS}; other formats can run code when they are read and "
            "are never opened",
            f"give the folder that was downloaded from {variant.hub_id}"
            if variant.hub_id
            else "give the folder that the rule `pretrain` wrote",
        )
    read = {checkpoint.name: file_hash(checkpoint)}
    return {"source": "local file", "read": read, "checkpoint": convert(variant, checkpoint, destination)}


def convert(variant: Variant, checkpoint: Path, destination: Path) -> dict[str, str]:
    """Re-save the official checkpoint, a pickle, as safetensors with its settings; see the family's reader.

    Returns the file's name and SHA-256. Raises UserError where it is damaged or asks for anything harmful.
    """
    # By name, so that only the family whose checkpoint it is counts as this step's code.
    reader = import_module(checkpoint_reader(variant))
    return {"file": checkpoint.name, "sha256": reader.convert_checkpoint(checkpoint, destination)}


def weights_identity(variant: Variant, source: str, memory: Path | None = None) -> dict[str, Any]:
    """What prepared weights depend on, apart from code: their source, and what the registry says of the model.

    memory: as `runtime.content.content_hashes` has it.
    """
    named = ("family", "sizes", "hub_id", "revision", "checkpoint")
    identity = {"source": source, "variant": {name: getattr(variant, name) for name in named}}
    hashes = {EMBEDDED: embedded_hashes(variant), PACKAGE: variant.package_sha256}
    if source in hashes:
        return identity | {"sha256": hashes[source]}
    return identity | ({} if source == HUB else {"sha256": local_inventory(variant, source, memory)})


def local_files(variant: Variant, source: str) -> list[Path]:
    """The files that are read of a source of weights that is a path; none for the other sources."""
    if source in (EMBEDDED, PACKAGE, HUB):
        return []
    path = Path(source)
    folder = path.parent if path.name == WEIGHTS else path
    files = [folder / name for name in (*KEPT, variant.checkpoint) if name]
    return [file for file in files if file.is_file()] or ([path] if path.is_file() else [])


def local_inventory(variant: Variant, source: str, memory: Path | None = None) -> dict[str, str]:
    """The SHA-256 of every file that is read of a source that is a path, by name; as `content_hashes` with a memory."""
    return {
        path.name: digest for path, digest in content_hashes(local_files(variant, source), memory).items()
    }


def reading_code(variant: Variant) -> list[str]:
    """The reader of an official checkpoint: it is chosen by name while the step runs, so imports do not show it."""
    return [checkpoint_reader(variant)] if variant.checkpoint else []


def checkpoint_reader(variant: Variant) -> str:
    """The module that reads the official checkpoint of a variant that has one."""
    return f"{family_module(variant.family)}.checkpoint"
