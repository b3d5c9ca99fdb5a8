"""What the benchmarks share: models with random weights, windows, clocks, and a line about the machine.

Everything that is compared runs in the same process and in turn, and a ratio is taken within a round, so that other
work on the machine slows both sides alike. Times are CPU seconds of one thread, which it changes least.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.registry import VARIANTS, family_class
from workflow_scripts.runtime.machine import machine, versions
from workflow_scripts.training.data import WindowArrays

CONTEXT, STEP, SEED = 24, 3600, 0
CPU = torch.device("cpu")
NANO = ("chronos-t5-nano", "moirai-nano", "lag-llama-nano")


class Clock:
    """CPU seconds between two calls of `tick`."""

    def __init__(self) -> None:
        self._ticks: list[float] = []

    def tick(self) -> None:
        """A step has ended."""
        self._ticks.append(time.process_time())

    def seconds(self, skip: int = 1) -> float:
        """The median step, without the first ones, which warm up."""
        return statistics.median(np.diff(self._ticks)[skip:].tolist())


def random_model(name: str, arm: str = "zero-shot") -> ForecastModel:
    """A variant of these sizes with seeded random weights, adapted by an arm."""
    variant = VARIANTS[name]
    model = family_class(variant.family).create(variant.sizes, seed=SEED)
    adapt(model, Arm.parse(arm), AdaptationParameters(), SEED)
    return model


def noisy_days(count: int, horizon: int, context: int = CONTEXT) -> WindowArrays:
    """Noisy daily rhythms between 0 and 1, as scaled vital signs are, all observed."""
    random = np.random.default_rng(SEED)
    level = 0.2 + 0.2 * random.random((count, 1))
    rhythm = 0.05 * np.sin(np.arange(context + horizon) / 24 * 2 * np.pi)
    values = (level + rhythm + 0.02 * random.normal(size=(count, context + horizon))).astype(np.float32)
    start = np.arange(count) * STEP
    return WindowArrays(values[:, :context].copy(), values[:, context:].copy(), start, STEP)


def in_turn(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each case's seconds in every round; within a round the cases follow one another directly."""
    measured: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        # Every other round backwards, so that none is always the first.
        for name in list(cases)[:: -1 if number % 2 else 1]:
            measured[name].append(cases[name]())
    return measured


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over the rounds of the quotient of two cases."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def one_thread() -> None:
    """Compute with one thread, as a job that is given one core does."""
    torch.set_num_threads(1)


def about(what: str) -> str:
    """Machine, versions, load, and what is measured."""
    here, known = machine(), versions()
    load = os.getloadavg()[0]
    return (
        f"{here['processor']}, {here['cores']} cores, one thread used, load {load:.1f} as this began; "
        f"torch {known['torch']}\n{what}\n"
    )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A Markdown table; numbers with three significant digits."""
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns))
    for row in rows:
        cells = (f"{cell:#.3g}".rstrip(".") if isinstance(cell, float) else str(cell) for cell in row)
        print(f"| {' | '.join(cells)} |")
    print(flush=True)
