"""Tensors of an adapter on disk, and whether they are those of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def write_tensors(tensors: "Mapping[str, Tensor]", path: Path) -> None:
    """Write a safetensors file; tensors may be on any device and share memory."""
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(copies, str(path), metadata={"format": "pt"})


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a safetensors file. Raises ValueError where a value in it is not finite."""
    tensors = load_file(str(path))
    require_finite(tensors)
    return tensors


def require_finite(tensors: "Mapping[str, Tensor]") -> None:
    """Raise ValueError where a value is not finite."""
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"{len(broken)} tensors with values that are not finite, the first is {broken[0]}")


def require_equal_shapes(found: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]") -> None:
    """Raise ValueError where the tensors do not have the expected names and shapes."""
    shapes = {name: value.shape for name, value in found.items()}
    wanted = {name: value.shape for name, value in expected.items()}
    unlike = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
    if unlike:
        raise ValueError(f"{len(unlike)} tensors of another name or shape, the first is {unlike[0]}")
