"""A folder of base weights: the proof that it holds a variant, and its record; light to import."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.models.registry import FAMILY_MARKS, Variant, family_class
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, write_json
from workflow_scripts.runtime.hashing import file_hash

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel

CONFIGURATION = "config.json"
WEIGHTS = "model.safetensors"
PROVENANCE = "provenance.json"

PREPARED_FOLDER = Path("weights/prepared")
"""Where the workflow puts the weights of every model, from whatever source."""

_DERIVED = ("bin_limit",)
"""Sizes that a configuration stores in another form; loading checks them."""


def load_variant(variant: Variant, folder: Path) -> "ForecastModel":
    """Load a variant's base weights in evaluation mode, after checking that the folder holds this variant.

    Raises UserError naming what was found and expected: another family, another size, a damaged file, NaN.
    """
    check_folder(variant, folder)
    model = family_class(variant.family).load(folder)
    _check_finite(model, folder)
    return model


def check_folder(variant: Variant, folder: Path) -> None:
    """Compare configuration and weights with the registry before anything is allocated, without torch.

    Raises UserError: a file is missing, another family or size, a cut or forged safetensors header.
    """
    check_configuration(variant, folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise _no_safetensors(folder)
    elements = count_elements(path)
    if variant.parameters is not None and elements != variant.parameters + variant.stored_constants:
        constants = f" and {variant.stored_constants} constants" if variant.stored_constants else ""
        raise UserError(
            str(path),
            f"{elements:,} values",
            f"the {variant.parameters:,} parameters{constants} of {variant.name}",
            "give the folder of that very model, or name the model that the folder holds",
        )


def check_configuration(variant: Variant, folder: Path) -> None:
    """Raise UserError where config.json is missing, or is that of another family or size."""
    source = (
        f"the folder that was downloaded from {variant.hub_id}"
        if variant.hub_id
        else "the folder that the rule `pretrain` wrote"
    )
    expected = f"a folder with {CONFIGURATION} and {WEIGHTS} of {variant.name}"
    found = read_configuration(folder, expected, f"give {source}")
    _check_family(variant, found, folder / CONFIGURATION)
    _check_sizes(variant, found, folder / CONFIGURATION)


def read_configuration(folder: Path, expected: str, remedy: str) -> dict[str, Any]:
    """config.json of a folder. Raises UserError where it is missing or is no JSON object."""
    path = folder / CONFIGURATION
    try:
        found = read_json(path)
    except FileNotFoundError:
        raise UserError(str(path), "no such file", expected, remedy) from None
    except ValueError as error:
        raise UserError(str(path), f"text that is not JSON: {error}", expected, remedy) from None
    if not isinstance(found, dict):
        raise UserError(str(path), "no JSON object", expected, remedy)
    return found


def _check_family(variant: Variant, found: dict[str, Any], path: Path) -> None:
    family = next((name for name, mark in FAMILY_MARKS.items() if _has(found, mark)), None)
    if family != variant.family:
        raise UserError(
            str(path),
            f"a model of the family {family}"
            if family
            else "the configuration of no family that is known here",
            f"{variant.name}, of the family {variant.family}, whose configuration has "
            f"{FAMILY_MARKS[variant.family]}",
            "give the folder of that very model, or name the model that the folder holds",
        )


def _has(found: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True


def _check_sizes(variant: Variant, found: dict[str, Any], path: Path) -> None:
    stored = _flattened(found)
    differing = {
        name: stored.get(name, "absent")
        for name, size in variant.sizes.items()
        if stored.get(name) != size and (name in stored or name not in _DERIVED)
    }
    if differing:
        raise UserError(
            str(path),
            ", ".join(f"{name} {value}" for name, value in differing.items()),
            f"{variant.name}: " + ", ".join(f"{name} {variant.sizes[name]}" for name in differing),
            "give the folder of that very model, or name the model that the folder holds",
        )


def _flattened(found: dict[str, Any]) -> dict[str, Any]:
    """Every entry by its own name, at whatever depth; the outer one where a name is there twice."""
    inner = [_flattened(part) for part in found.values() if isinstance(part, dict)]
    return {name: entry for part in (*reversed(inner), found) for name, entry in part.items()}


def _no_safetensors(folder: Path) -> UserError:
    others = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".ckpt", ".pt", ".pth"})
    return UserError(
        str(folder),
        f"no {WEIGHTS}, but {', '.join(others)}" if others else f"no {WEIGHTS}",
        f"weights as {WEIGHTS}; other formats can run code when they are read and are never opened",
        "get the model's safetensors file",
    )


def count_elements(path: Path) -> int:
    """The values that a safetensors file holds, by its header alone.

    Raises UserError where the header is cut, is no table of tensors, or does not fit the file's length.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            str(path),
            f"{path.stat().st_size:,} bytes that cannot be read ({error})",
            "a whole safetensors file",
            "prepare the weights again from an undamaged source",
        ) from None


def _check_finite(model: "ForecastModel", folder: Path) -> None:
    broken = [name for name, weight in model.module.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise UserError(
            str(folder),
            f"NaN or infinite weights in {len(broken)} tensors, the first is {broken[0]}",
            "finite weights",
            "prepare the weights again from an undamaged source",
        )


def write_provenance(variant: Variant, folder: Path, origin: dict[str, Any]) -> None:
    """Write provenance.json: the variant, its origin, and the SHA-256 of every other file."""
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file() and path.name != PROVENANCE)
    record = {
        "model": variant.name,
        "family": variant.family,
        "licence": variant.licence,
        **origin,
        "sha256": {path.name: file_hash(path) for path in files},
    }
    write_json(folder / PROVENANCE, record)
