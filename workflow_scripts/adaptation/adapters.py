"""What an arm learned, as a folder: saved, loaded and merged.

Every folder holds arm.json (which arm, of which base model and weights, trained on which windows, with which
versions), and one of
- adapter_config.json and adapter_model.safetensors: an adapter that `peft.PeftModel.from_pretrained` loads,
- selected.safetensors: the base model's own parameters that were trained, under their names,
- the whole model as its family saves it (`full`, and what is trained from scratch).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.models.weights import PROVENANCE
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, write_json
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.machine import versions

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel

ARM_FILE = "arm.json"
LIBRARIES = ("torch", "transformers", "peft", "chronos-forecasting", "uni2ts", "darts", "safetensors")
"""Whose versions are noted beside what was learned."""


@dataclass(frozen=True)
class TrainedOn:
    """The windows that an adapter was trained on, as its user must know them.

    scale_low, scale_high: the values, in `unit`, that are 0 and 1 to the model; context, horizon: in steps of
    interval_minutes.
    """

    vital: str
    unit: str
    scale_low: float
    scale_high: float
    interval_minutes: int
    context: int
    horizon: int


@dataclass(frozen=True)
class SavedArm:
    """What a folder says of itself.

    base: the variant's name, never a path. description: all of arm.json. trained_on, base_sha256 (of the base model's
    weights file): None where nobody noted them; a model from scratch has no base weights.
    """

    arm: Arm
    base: str
    description: Mapping[str, Any]
    trained_on: TrainedOn | None = None
    base_sha256: str | None = None


def save_adapter(
    model: "ForecastModel",
    arm: Arm,
    folder: Path,
    base_name: str,
    trained_on: TrainedOn | None = None,
    base_sha256: str | None = None,
) -> None:
    """Write what the arm learned: all weights where all may change, else only what was trained."""
    folder.mkdir(parents=True, exist_ok=True)
    further = arm.definition.save(model, arm.rank, folder, base_name)
    noted: dict[str, Any] = {"trained_on": asdict(trained_on)} if trained_on else {}
    if base_sha256:
        noted["base_sha256"] = base_sha256
    content = {"arm": arm.name, "base": base_name, **further, **noted, "versions": versions(LIBRARIES)}
    write_json(folder / ARM_FILE, content)


def read_arm(folder: Path) -> SavedArm:
    """Which arm a folder holds. Raises UserError where it holds none."""
    try:
        description = read_json(folder / ARM_FILE)
        trained_on = TrainedOn(**description["trained_on"]) if "trained_on" in description else None
        arm, base = Arm.parse(description["arm"]), str(description["base"])
        return SavedArm(arm, base, description, trained_on, description.get("base_sha256"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            str(folder),
            f"no readable {ARM_FILE} ({type(error).__name__})",
            "the adapter folder of a run, with all its files",
            "point to the folder `adapter` of a run",
        ) from None


def read_merged(weights: Path) -> TrainedOn | None:
    """The windows that the adapter in merged weights was trained on; None of other weights.

    weights: a folder as merge_adapter writes it, or any other. Raises UserError where its record is damaged.
    """
    path = weights / PROVENANCE
    noted = read_json(path).get("trained_on") if path.is_file() else None
    return TrainedOn(**noted) if noted else None


def require_base(folder: Path, model: str) -> None:
    """Raise UserError unless a folder holds an arm of this model."""
    saved = read_arm(folder)
    if saved.base != model:
        raise UserError(
            str(folder), f"an adapter of {saved.base}", f"one of {model}", "name its own base model"
        )


def require_weights(folder: Path, weights: Path) -> None:
    """Raise UserError where a folder's arm was trained on other base weights than this file, as far as it is noted."""
    saved = read_arm(folder)
    if saved.base_sha256 and file_hash(weights) != saved.base_sha256:
        raise UserError(
            str(weights),
            f"other weights than those that {folder} was trained on",
            f"the {saved.base} whose SHA-256 is {saved.base_sha256}",
            "name the folder of those weights with --weights, or train the adapter again on these",
        )


def load_adapter(model: "ForecastModel", folder: Path) -> Arm:
    """Put a saved arm on its base model, in evaluation mode.

    The model must hold the original base weights, unwrapped; one that is trained from scratch may hold any.
    Raises UserError where the folder does not hold an arm of this family and size, or where a value in it is not
    finite; the model is of no use then.
    """
    from safetensors import SafetensorError

    saved = read_arm(folder)
    arm = saved.arm
    try:
        arm.definition.load(model, folder, saved.description)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(
            str(folder),
            f"{arm.name} that does not fit: {' '.join(str(error).split())[:300]}",
            f"an adapter of this family and size ({type(model).__name__})",
            "load it on the base model that arm.json names, or train it again",
        ) from error
    model.module.requires_grad_(False).eval()
    return arm


def merge(model: "ForecastModel", arm: Arm) -> None:
    """Fold an adapter into the base weights: the module is then the family's own again, and can be saved."""
    arm.definition.merge(model)
