"""What the families of Chronos and TimesFM-2.5 share: their folders, read and written by transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from workflow_scripts.models.base_weights import check_tensors, reading, refuse_other_tensors


def load_module(kind: Any, folder: Path) -> Any:
    """A model of this class from a local folder, every tensor of it, in float32 and evaluation mode."""
    module, _ = _from_pretrained(kind, folder)
    with reading(folder):
        check_tensors(folder, module)
    return module


def load_renamed_module(kind: Any, folder: Path) -> Any:
    """The same for a class whose file has other names than its module; transformers knows which."""
    module, info = _from_pretrained(kind, folder)
    refuse_other_tensors(folder, sorted(info["missing_keys"]), sorted(info["unexpected_keys"]))
    return module


def _from_pretrained(kind: Any, folder: Path) -> tuple[Any, dict[str, Any]]:
    logging.disable_progress_bar()
    before = logging.get_verbosity()
    # Tensors that are missing or unknown are refused in one message; upstream's report of them is left out.
    logging.set_verbosity_error()
    try:
        with reading(folder):
            module, info = kind.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    finally:
        logging.set_verbosity(before)
    return module.eval(), info


def save_module(module: Any, folder: Path) -> None:
    """model.safetensors and config.json, which `BaseChronosPipeline.from_pretrained` reads."""
    logging.disable_progress_bar()
    module.save_pretrained(folder)
