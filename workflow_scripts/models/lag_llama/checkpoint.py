"""The official checkpoint, a pickle by Lightning: read once with an allow-list, saved as safetensors.

PyTorch's restricted reader never calls a function that is not on its list of tensor rebuilders. The few other
names that the official file needs are answered with classes that do nothing; a file with any further name is
refused before a single value is read.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from workflow_scripts.models.lag_llama import weights
from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration
from workflow_scripts.runtime.errors import UserError

LARGEST = 512 * 2**20
"""Bytes of the file, and of what is packed in it; the official one has 30 million."""
_PREFIX = "model."
_INERT_NAMES = (
    "gluonts.torch.distributions.studentT.StudentTOutput",
    "gluonts.torch.modules.loss.NegativeLogLikelihood",
    # How gluonts from 0.17 on has the two objects above rebuilt.
    "functools.partial",
    "builtins.getattr",
    "builtins.object",
)
_SAME_NAME = ("n_layer", "n_head", "n_embd_per_head", "context_length")
_SAME_NAME_OPTIONAL = ("max_context_length", "rope_scaling", "time_feat")
_REMEDY = "download lag-llama.ckpt of time-series-foundation-models/Lag-Llama again, from its own page"


def convert_checkpoint(checkpoint: Path, folder: Path) -> str:
    """Write the checkpoint's weights and configuration to `folder`, as `LagLlama.load` reads them.

    Returns the SHA-256 of the very bytes that were read. Raises UserError where the file is not a checkpoint,
    names anything outside the allow-list, is of another architecture, or has missing, surplus or non-finite
    weights. Nothing of the file is ever executed.
    """
    if not checkpoint.is_file():
        raise UserError(str(checkpoint), "no such file", "a Lightning checkpoint of Lag-Llama", _REMEDY)
    _refuse_large(checkpoint)
    content = checkpoint.read_bytes()
    stored = _read_restricted(content, where=str(checkpoint))
    settings, tensors = _arguments(stored, where=str(checkpoint))
    configuration = LagLlamaConfiguration.parse(settings, where=str(checkpoint))
    weights.save(weights.build(configuration, tensors, where=str(checkpoint)), folder)
    return hashlib.sha256(content).hexdigest()


def _refuse_large(checkpoint: Path) -> None:
    """Before anything is allocated. The form before zip states sizes that only reading it would show."""
    where = str(checkpoint)
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            size = max(checkpoint.stat().st_size, sum(member.file_size for member in archive.infolist()))
    except (zipfile.BadZipFile, OSError) as error:
        raise _unreadable(where, error) from None
    if size > LARGEST:
        raise UserError(where, f"{size:,} bytes", f"a checkpoint of at most {LARGEST:,} bytes", _REMEDY)


def _read_restricted(content: bytes, where: str) -> Any:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(BytesIO(content))
        refused = sorted(set(names) - set(_INERT_NAMES))
    except Exception as error:  # a damaged file may break its reader anywhere
        raise _unreadable(where, error) from None
    if refused:
        raise UserError(
            where,
            found="a pickle that asks for " + ", ".join(refused[:5]),
            expected="tensors and plain values, and nothing else but " + ", ".join(_INERT_NAMES),
            remedy="do not open this file with any other program; " + _REMEDY,
        )
    # The object itself is listed too, because the reader calls only what is listed.
    inert: list[Any] = [*((_Nothing, name) for name in _INERT_NAMES), (_Nothing(), "nothing")]
    try:
        with torch.serialization.safe_globals(inert):
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        raise _unreadable(where, error) from None


class _Nothing:
    """Stands in for what is not wanted: whatever is done with it, the result is this one idle object."""

    _only: Self | None = None

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __call__(self, *_arguments: Any, **_named: Any) -> Self:
        return self

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


def _unreadable(where: str, error: Exception) -> UserError:
    found = f"not readable ({type(error).__name__})"
    return UserError(where, found, "a whole Lightning checkpoint of Lag-Llama", _REMEDY)


def _arguments(stored: Any, where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The checkpoint's settings under our names, and its tensors without Lightning's prefix."""
    try:
        arguments: Mapping[str, Any] = stored["hyper_parameters"]["model_kwargs"]
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in stored["state_dict"].items()}
        if len(tensors) < len(stored["state_dict"]) or not all(map(torch.is_tensor, tensors.values())):
            raise TypeError("state_dict holds names twice, or values that are not tensors")
        settings = {name: arguments[name] for name in _SAME_NAME}
        settings |= {name: arguments[name] for name in _SAME_NAME_OPTIONAL if name in arguments}
        settings |= {"lags": arguments["lags_seq"], "scaling": arguments["scaling"] or "none"}
    except (KeyError, TypeError, AttributeError) as error:
        found = f"no usable hyper_parameters.model_kwargs or state_dict ({error})"
        raise UserError(where, found, "a Lightning checkpoint of Lag-Llama", _REMEDY) from None
    unsupported = [
        f"{name} {arguments[name]!r}"
        for name, only in (("input_size", 1), ("dropout", 0))
        if arguments.get(name, only) != only
    ]
    if unsupported:
        found, expected = ", ".join(unsupported), "input_size 1 and dropout 0, as the released model has"
        raise UserError(where, found, expected, _REMEDY)
    return settings, tensors
