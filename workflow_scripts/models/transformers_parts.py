"""What the three families of Chronos share: their folders, read and written by transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from workflow_scripts.models.base_weights import check_tensors, reading


def load_module(kind: Any, folder: Path) -> Any:
    """A model of this class from a local folder, every tensor of it, in float32 and evaluation mode."""
    logging.disable_progress_bar()
    with reading(folder):
        module = kind.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        check_tensors(folder, module)
    return module.eval()


def save_module(module: Any, folder: Path) -> None:
    """model.safetensors and config.json, which `BaseChronosPipeline.from_pretrained` reads."""
    logging.disable_progress_bar()
    module.save_pretrained(folder)
