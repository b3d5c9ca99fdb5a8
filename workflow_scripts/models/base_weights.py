"""Folders of base weights: what a family expects in one, each failing with one message."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from workflow_scripts.models.weights import CONFIGURATION, WEIGHTS, read_configuration
from workflow_scripts.runtime.errors import UserError

_AGAIN = "prepare the weights again from a complete source"


def read_config(
    folder: Path, model: str, required: set[str], absent: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """config.json of a family's folder, which needs safetensors beside it.

    model: the family's name in messages. required, absent: keys that tell the family from the others.
    Raises UserError where the folder holds something else.
    """
    expected, remedy = f"the configuration of a {model} model", f"point to a folder of {model} weights"
    config = read_configuration(folder, expected, remedy)
    missing, foreign = required - set(config), absent & set(config)
    if missing or foreign:
        found = [f"without {', '.join(sorted(missing))}"] if missing else []
        found += [f"with {', '.join(sorted(foreign))}"] if foreign else []
        raise UserError(str(folder / CONFIGURATION), " and ".join(found), expected, remedy)
    if not (folder / WEIGHTS).is_file():
        raise UserError(str(folder), f"no {WEIGHTS}", "weights as safetensors", _AGAIN)
    return config


def read_architecture(folder: Path, model: str, architecture: str) -> None:
    """Refuse a folder whose configuration names another architecture than this one of `chronos`."""
    config = read_config(folder, model, {"architectures", "chronos_config"})
    if config["architectures"] != [architecture]:
        raise UserError(
            str(folder / CONFIGURATION),
            f"architectures {config['architectures']}",
            f"['{architecture}'], the configuration of a {model} model",
            f"point to a folder of {model} weights",
        )


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what a library raises on weights that it cannot read into one UserError."""
    try:
        yield
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise UserError(
            str(folder),
            f"weights that cannot be read: {' '.join(str(error).split())[:300]}",
            f"{WEIGHTS} that fits config.json",
            _AGAIN,
        ) from error


def load_tensors(folder: Path, module: nn.Module) -> None:
    """Give a module the weights of a folder's safetensors file, every tensor of it and no other."""
    from safetensors.torch import load_file

    with reading(folder):
        check_tensors(folder, module)
        module.load_state_dict(load_file(folder / WEIGHTS))


def save_tensors(folder: Path, module: nn.Module) -> None:
    """Write a module's tensors under its own names."""
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in module.state_dict().items()}, folder / WEIGHTS)


def check_tensors(folder: Path, module: nn.Module) -> None:
    """Refuse a file that lacks a tensor of the module or has one too many.

    Upstream's own loading is content with less: Chronos-Bolt's may even lack its output head.
    """
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
    # A tied tensor has several names; a file holds it under any of them.
    names = defaultdict(set)
    for name, weight in module.named_parameters(remove_duplicate=False):
        names[id(weight)].add(name)
    missing = sorted(min(group) for group in names.values() if not group & stored)
    ignored = getattr(module, "_keys_to_ignore_on_load_unexpected", None) or []
    surplus = sorted(
        name
        for name in stored - set(module.state_dict())
        if not any(re.search(pattern, name) for pattern in ignored)
    )
    refuse_other_tensors(folder, missing, surplus)


def refuse_other_tensors(folder: Path, missing: list[str], surplus: list[str]) -> None:
    """Raise UserError where tensors are missing from a file or too many in it."""
    for named, what in ((missing, "are missing"), (surplus, "belong to another model")):
        if named:
            raise UserError(
                str(folder),
                f"{len(named)} tensors {what}, the first is {named[0]}",
                "every tensor of the model that config.json describes, and no other",
                _AGAIN,
            )
