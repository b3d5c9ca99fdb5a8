"""What an arm learned, as a folder: saved, loaded and merged.

Every folder holds arm.json (which arm, of which base model), and one of
- adapter_config.json and adapter_model.safetensors: an adapter that `peft.PeftModel.from_pretrained` loads,
- selected.safetensors: the base model's own parameters that were trained, under their names,
- the whole model as its family saves it (`full`, and what is trained from scratch).
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.adapting import quiet_peft, select
from workflow_scripts.adaptation.arms import FITTING_METHODS, Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.adaptation.plan import SELECTING_METHODS, plan
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from workflow_scripts.models.interface import ForecastModel

ARM_FILE = "arm.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
SELECTED_WEIGHTS = "selected.safetensors"
WHOLE_METHODS = ("full", *FITTING_METHODS)


@dataclass(frozen=True)
class SavedArm:
    """What a folder says of itself.

    base: the variant's name, never a path. base_parameters: how many it has, where peft put the adapter on it
    (an adapter's own shapes need not tell: FourierFT's coefficients fit a matrix of any size).
    """

    arm: Arm
    base: str
    base_parameters: int | None


def save_adapter(model: "ForecastModel", arm: Arm, folder: Path, base_name: str) -> None:
    """Write what the arm learned: all weights where all may change, else only what was trained."""
    folder.mkdir(parents=True, exist_ok=True)
    description: dict[str, Any] = {"arm": arm.name, "base": base_name}
    if arm.method in WHOLE_METHODS:
        model.save(folder)
    elif arm.method in SELECTING_METHODS:
        named = model.module.named_parameters()
        _save_tensors(
            {name: weight for name, weight in named if weight.requires_grad}, folder / SELECTED_WEIGHTS
        )
    else:
        _save_peft(model.module, arm, folder, base_name)
        description["base_parameters"] = _base_parameters(model.module)
    write_json(folder / ARM_FILE, description)


def read_arm(folder: Path) -> SavedArm:
    """Which arm a folder holds. Raises UserError where it holds none."""
    try:
        saved = read_json(folder / ARM_FILE)
        return SavedArm(Arm.parse(saved["arm"]), str(saved["base"]), saved.get("base_parameters"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            str(folder),
            f"no readable {ARM_FILE} ({type(error).__name__})",
            "the adapter folder of a run, with all its files",
            "point to the folder `adapter` of a run",
        ) from None


def load_adapter(model: "ForecastModel", folder: Path) -> Arm:
    """Put a saved arm on its base model, in evaluation mode.

    The model must hold the original base weights, unwrapped; one that is trained from scratch may hold any.
    Raises UserError where the folder does not hold an arm of this family and size, or where a value in it is not
    finite; the model is of no use then.
    """
    saved = read_arm(folder)
    arm = saved.arm
    try:
        if arm.method in WHOLE_METHODS:
            _load_whole(model, folder)
        elif arm.method in SELECTING_METHODS:
            _load_selected(model, arm, folder)
        else:
            _load_peft(model, folder, saved.base_parameters)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, _safetensor_error()) as error:
        raise UserError(
            str(folder),
            f"{arm.name} that does not fit: {' '.join(str(error).split())[:300]}",
            f"an adapter of this family and size ({type(model).__name__})",
            "load it on the base model that arm.json names, or train it again",
        ) from error
    model.module.requires_grad_(False).eval()
    return arm


def merge(model: "ForecastModel") -> None:
    """Fold an adapter into the base weights: the module is then the family's own again, and can be saved."""
    config = getattr(model.module, "peft_config", None)
    if config is None:
        return
    if config["default"].peft_type == "LN_TUNING":
        model.module = _with_trained_norms(model.module)
    else:
        model.module = model.module.merge_and_unload()


def _save_peft(module: Any, arm: Arm, folder: Path, base_name: str) -> None:
    """As peft's `save_pretrained` does, but for the original base model, and without paths of this machine."""
    from peft import get_peft_model_state_dict

    config = module.peft_config["default"]
    if arm.method == "adalora":
        _check_budget(module, arm)
        # What was cut is saved as zeros: peft's cut form warns of keys and empty factors on every load.
        config.rank_pattern = None
    state = get_peft_model_state_dict(module, save_embedding_layers=False)
    # The base is named, not located: an absolute path would mean nothing on another machine.
    config = copy.copy(config)
    config.base_model_name_or_path, config.inference_mode = base_name, True
    if arm.method == "pissa":
        state = _as_change_of_the_original(state, module.pissa_start)
        config.init_lora_weights, config.r, config.lora_alpha = True, 2 * config.r, 2 * config.lora_alpha
    _save_tensors(state, folder / PEFT_WEIGHTS)
    config.save_pretrained(str(folder))


def _with_trained_norms(module: Any) -> "nn.Module":
    """The base model with the trained normalisations (peft's own merge wants gains to be called `weight`)."""
    from peft.tuners.ln_tuning.layer import LNTuningLayer

    base = module.get_base_model()
    wrapped = [(name, layer) for name, layer in base.named_modules() if isinstance(layer, LNTuningLayer)]
    for name, layer in wrapped:
        parent, _, leaf = name.rpartition(".")
        setattr(base.get_submodule(parent), leaf, layer.ln_tuning_layers["default"])
    del base.peft_config
    return base


def _as_change_of_the_original(state: "dict[str, Tensor]", start: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """PiSSA's factors as a LoRA of twice the rank on the original weights.

    W - B0 A0 + B A = W + [B, -B0] [A; A0]; alpha doubles with the rank, so that their ratio stays.
    (peft's `LoraModel.subtract_mutated_init` is the same sum.)
    """
    import torch

    original = {name: factor.to(state[name].device) for name, factor in start.items()}
    return {
        name: torch.cat((factor, original[name]))
        if ".lora_A." in name
        else torch.cat((factor, -original[name]), dim=1)
        for name, factor in state.items()
    }


def _base_parameters(module: Any) -> int:
    """Parameters of the base model inside an adapted one: all that are frozen, but for AdaLoRA's rank counts."""
    named = module.named_parameters()
    return sum(w.numel() for name, w in named if not w.requires_grad and ".ranknum." not in name)


def _check_budget(module: Any, arm: Arm) -> None:
    """Raise RuntimeError where AdaLoRA has more singular values left than its rank allows."""
    named = module.base_model.model.named_parameters()
    values = [value for name, value in named if ".lora_E." in name]
    left, budget = sum(int(value.count_nonzero()) for value in values), (arm.rank or 0) * len(values)
    if left > budget:
        raise RuntimeError(f"{left} singular values are left, allowed are {budget}: call the training hooks")


def _save_tensors(tensors: "Mapping[str, Tensor]", path: Path) -> None:
    from safetensors.torch import save_file

    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(plain, str(path), metadata={"format": "pt"})


def _read_tensors(path: Path) -> "dict[str, Tensor]":
    from safetensors.torch import load_file

    tensors = load_file(str(path))
    _require_finite(tensors)
    return tensors


def _load_whole(model: "ForecastModel", folder: Path) -> None:
    whole = type(model).load(folder).module
    _require_finite(dict(whole.named_parameters()))
    expected = {name: weight.shape for name, weight in model.module.named_parameters()}
    _require_equal({name: weight.shape for name, weight in whole.named_parameters()}, expected)
    model.module = whole


def _load_selected(model: "ForecastModel", arm: Arm, folder: Path) -> None:
    import torch

    tensors = _read_tensors(folder / SELECTED_WEIGHTS)
    names = plan(model, arm, AdaptationParameters()).parameters
    expected = {name: model.module.get_parameter(name).shape for name in names}
    _require_equal({name: value.shape for name, value in tensors.items()}, expected)
    select(model.module, tensors)
    with torch.no_grad():
        for name, value in tensors.items():
            model.module.get_parameter(name).copy_(value)


def _load_peft(model: "ForecastModel", folder: Path, base_parameters: int | None) -> None:
    from peft import PeftModel, get_peft_model_state_dict

    found = sum(weight.numel() for weight in model.module.parameters())
    if found != base_parameters:
        raise ValueError(f"it was trained on a model of {base_parameters} parameters, this one has {found}")
    saved = _read_tensors(folder / PEFT_WEIGHTS)
    with quiet_peft():
        module = PeftModel.from_pretrained(model.module, str(folder))
    loaded = get_peft_model_state_dict(module, save_embedding_layers=False)
    # peft passes over tensors that it finds no place for, such as those of a deeper model.
    _require_equal(
        {name: value.shape for name, value in saved.items()},
        {name: value.shape for name, value in loaded.items()},
    )
    model.module = module


def _require_finite(tensors: "dict[str, Tensor]") -> None:
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"{len(broken)} tensors with values that are not finite, the first is {broken[0]}")


def _require_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    unlike = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if unlike:
        raise ValueError(f"{len(unlike)} tensors of another name or shape, the first is {unlike[0]}")


def _safetensor_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError
