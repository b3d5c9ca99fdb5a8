"""The models that are trained from scratch, as small as their code allows, and sine waves to train them on."""

from typing import Any

import numpy as np

from workflow_scripts.models.scratch.model import ScratchModel
from workflow_scripts.models.scratch.n_beats import NBeats
from workflow_scripts.models.scratch.n_hits import NHits
from workflow_scripts.models.scratch.tft import Tft
from workflow_scripts.training.data import WindowArrays

CONTEXT, HORIZON = 24, 6
BLOCKS: dict[str, Any] = {"num_stacks": 2, "num_blocks": 1, "num_layers": 2, "layer_width": 32}
SIZES: dict[type[ScratchModel], dict[str, Any]] = {
    NBeats: {**BLOCKS, "expansion_coefficient_dim": 5, "activation": "ReLU", "dropout": 0.0},
    NHits: {**BLOCKS, "activation": "LeakyReLU", "max_pool": True, "dropout": 0.1},
    Tft: {
        "hidden_size": 16,
        "lstm_layers": 1,
        "num_attention_heads": 2,
        "hidden_continuous_size": 8,
        "dropout": 0.0,
    },
}
FAMILIES = tuple(SIZES)


def tiny(family: type[ScratchModel], seed: int = 0, context: int = CONTEXT) -> ScratchModel:
    """A random start of the family's smallest model."""
    return family.create({**SIZES[family], "context": context, "horizon": HORIZON}, seed)


def sines(count: int, seed: int) -> WindowArrays:
    """Waves between 0.3 and 0.7 with a period of twelve steps, each at a phase of its own within a quarter of it."""
    phase = np.random.default_rng(seed).uniform(0, np.pi / 2, (count, 1))
    waves = 0.5 + 0.2 * np.sin(2 * np.pi * np.arange(CONTEXT + HORIZON) / 12 + phase)
    values = waves.astype(np.float32)
    return WindowArrays(values[:, :CONTEXT], values[:, CONTEXT:], np.zeros(count, np.int64), 3600)
