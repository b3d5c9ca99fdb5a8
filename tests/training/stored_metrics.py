"""A short training of each embedded model, and its metrics: what tests/training/stored_metrics.json holds.

After a change that is meant to change results: python tests/training/stored_metrics.py
"""

import json
from pathlib import Path

import numpy as np
import torch

from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.models.weights import load_variant
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.inference import forecast
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters

STORED = Path(__file__).with_suffix(".json")
MODELS = ("chronos-t5-nano", "moirai-nano", "lag-llama-nano")
ARMS = ("full", "lora-r2")
CPU = torch.device("cpu")
SCALE = (0.0, 300.0)
"""Beats per minute that are 0 and 1 for the models."""


def windows(count: int, seed: int) -> WindowArrays:
    """Daily rhythms with noise on the models' scale, with gaps in the context."""
    random = np.random.default_rng(seed)
    rhythm = 0.03 * np.sin(np.arange(36) / 24 * 2 * np.pi + random.uniform(0, 6, (count, 1)))
    level = random.uniform(0.2, 0.4, (count, 1))
    values = (level + rhythm + random.normal(0, 0.01, (count, 36))).astype(np.float32)
    context = values[:, :24].copy()
    context[random.random(context.shape) < 0.05] = np.nan
    return WindowArrays(context, values[:, 24:], np.arange(count) * 3600, 3600)


def metrics(name: str, arm: str) -> dict[str, float]:
    """Both losses after ten steps, and every metric of the forecasts that follow."""
    model = load_variant(VARIANTS[name], EMBEDDED_FOLDER / name)
    hooks = adapt(model, Arm.parse(arm), AdaptationParameters(), seed=0)
    budget = TrainingParameters(steps=10, evaluate_every=10)
    history = fit(model, windows(96, 1), windows(32, 2), budget, seed=0, device=CPU, hooks=hooks)
    test, settings = windows(32, 3), ForecastParameters(protocol="paper")
    scaled = forecast(model, test, np.arange(len(test)), settings, 0, CPU)
    low, high = SCALE
    truth, quantiles = (low + (high - low) * part for part in (test.target, scaled))
    scores = score(truth, quantiles, settings.quantiles, *SCALE).metrics
    losses = {"train_loss": history.train_loss[-1][1], "validation_loss": history.validation_loss[-1][1]}
    return losses | {metric: value for metric, value in scores.items() if value is not None}


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {f"{name} {arm}": metrics(name, arm) for name in MODELS for arm in ARMS}
    STORED.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
