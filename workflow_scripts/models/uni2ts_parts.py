"""What both generations of MOIRAI share: uni2ts' model classes without Lightning, and patches."""

import io
import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from workflow_scripts.models.base_weights import check_tensors, reading


def uni2ts_module(package: str) -> ModuleType:
    """`uni2ts.model.<package>.module`, without running `uni2ts.model.<package>`'s own imports.

    Those bring in Lightning, whose import costs more than everything else together.
    """
    name = f"uni2ts.model.{package}.module"
    if name not in sys.modules:
        models = find_spec("uni2ts.model")
        if models is None or models.origin is None:
            return import_module(name)
        spec = spec_from_file_location(name, Path(models.origin).parent / package / "module.py")
        if spec is None or spec.loader is None:
            return import_module(name)
        module = module_from_spec(spec)
        # Under its own name, so that a later plain import finds this very module.
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def load_module(kind: Any, folder: Path) -> Any:
    """A module of this class from a local folder, every tensor of it, in evaluation mode."""
    # Upstream prints that it loads.
    with reading(folder), redirect_stdout(io.StringIO()):
        module = kind.from_pretrained(str(folder), local_files_only=True, strict=True)
        check_tensors(folder, module)
    return module.eval()


def save_module(module: Any, folder: Path) -> None:
    """Weights and configuration, without upstream's model card: it says that the model was sent to the hub."""
    card = folder / "README.md"
    kept = card.exists()
    module.save_pretrained(folder)
    if not kept:
        card.unlink()


def patches(values: Tensor, patch: int, left: bool) -> Tensor:
    """[..., time] -> [..., patches, patch], filled up with zeros on the left or on the right."""
    missing = -values.shape[-1] % patch
    return nn.functional.pad(values, (missing, 0) if left else (0, missing)).unflatten(-1, (-1, patch))
