"""The state of a training run on disk, so that what was interrupted ends as if it had not been."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workflow_scripts.runtime.files import atomic_path

_FILE = "checkpoint.safetensors"
_STATE = "state"
_TENSOR = "__tensor__"
"""Marks the place of a tensor in the JSON."""


class Checkpoints:
    """The last checkpoint of one training run: a single file of tensors, with everything else as JSON in its head.

    One file, renamed into place, is complete or absent; nothing in it can run code.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        """folder: where the file is. identity: what makes this run; the checkpoint of another run is not read."""
        self._path = folder / _FILE
        self._identity = identity

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint. state: dicts with text keys, lists, tensors, and whatever JSON holds."""
        tensors: dict[str, Tensor] = {}
        text = json.dumps({"identity": self._identity, _STATE: _without_tensors(state, "", tensors)})
        # Safetensors refuses tensors that share memory.
        copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        with atomic_path(self._path) as temporary:
            save_file(copies, temporary, metadata={_STATE: text})

    def load(self) -> dict[str, Any] | None:
        """The last state, tensors on the CPU; None where there is none, or only that of another run."""
        if not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                content = json.loads((file.metadata() or {}).get(_STATE, "{}"))
                if content.get("identity") != self._identity:
                    return None
                return _with_tensors(content[_STATE], file.get_tensor)
        except (SafetensorError, ValueError):
            # Damaged from outside: training begins anew, which costs time but no result.
            return None


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The value with every tensor moved to `tensors`; its name takes its place."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {key: _without_tensors(part, f"{name}/{key}", tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(part, f"{name}/{place}", tensors) for place, part in enumerate(value)]
    return value


def _with_tensors(value: Any, read: Callable[[str], Tensor]) -> Any:
    """The value with every tensor read back into its place."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return read(value[_TENSOR])
        return {key: _with_tensors(part, read) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_tensors(part, read) for part in value]
    return value


def run_identity(*parts: Any) -> str:
    """SHA-256 over what decides a run: tensors, and what JSON holds."""
    digest = hashlib.sha256(torch.__version__.encode())
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()
