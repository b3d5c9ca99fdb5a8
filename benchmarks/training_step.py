"""A training step: our loop against a bare one and against each family's upstream trainer; LoRA against full.

The bare loop is forward, backward and AdamW on the same module and batch, nothing else. The upstream trainers are
described in upstream_training.py. Memory is every tensor that exists after a step beside the model and the windows,
against the calculation on paper: for each trainable number a gradient, two moments and a copy of the best weights,
4 bytes each, and nothing for a frozen one. With --compiled also the bare loop on a module that torch.compile has
compiled, which takes a C++ compiler and up to a minute a case.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --compiled
    python benchmarks/training_step.py --models chronos-t5-small moirai-1.1-R-small lag-llama --steps 4
"""

import argparse
import contextlib
import gc
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from side_by_side import (
    CPU,
    NANO,
    SEED,
    Clock,
    about,
    in_turn,
    noisy_days,
    one_thread,
    print_table,
    random_model,
    ratio,
)
from upstream_training import TRAINERS

from workflow_scripts.adaptation.adapting import count_parameters
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters

HORIZON = 12
ARMS = ("full", "lora-r2", "lora-r8")
BYTES_FOR_A_TRAINABLE_NUMBER = 16


class Watch(TrainingHooks):
    """Ticks after every step."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    def after_step(self, step: int) -> None:  # noqa: ARG002
        self._tick()


def main() -> None:
    """Parse the arguments, measure, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=NANO, choices=VARIANTS, metavar="MODEL")
    parser.add_argument("--batch", type=int, default=32, help="windows in one step")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each case in a round")
    parser.add_argument("--rounds", type=int, default=5, help="how often all cases are measured in turn")
    parser.add_argument("--compiled", action="store_true", help="measure torch.compile too")
    options = parser.parse_args()
    one_thread()
    what = f"batch {options.batch}, context 24, horizon {HORIZON}; medians of {options.rounds} rounds"
    print(about(f"{what}, {options.steps} steps each; CPU time"))
    # First, because what torch.compile leaves behind has no place in memory that could be asked for.
    held = [memory(name, arm, options.batch) for name in options.models for arm in ARMS]
    measured = {name: measure(name, options) for name in options.models}
    print_loops(measured)
    print_upstream(measured, options.batch)
    print_arms(measured)
    print_table(("model", "arm", "trainable", "paper MiB", "measured MiB", "measured / paper"), held)


def measure(name: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step in every round: ours and the bare loop under each arm, and upstream's full fine-tuning."""
    windows = noisy_days(10 * options.batch, HORIZON)
    cases: dict[str, Callable[[], float]] = {}
    for arm in ARMS:
        for loop in (ours, bare, compiled) if options.compiled else (ours, bare):
            cases[f"{loop.__name__} {arm}"] = partial(_seconds, loop, name, arm, windows, options)
    upstream = TRAINERS.get(VARIANTS[name].family)
    if upstream:
        cases["upstream full"] = partial(_seconds, upstream, name, "full", windows, options)
    return in_turn(cases, options.rounds)


def _seconds(
    loop: Callable[..., None], name: str, arm: str, windows: WindowArrays, options: argparse.Namespace
) -> float:
    clock = Clock()
    # Progress of our loop, and the summary of transformers' Trainer.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        loop(random_model(name, arm), windows, options.batch, options.steps + 2, clock.tick)
    return clock.seconds()


def ours(model: Any, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]) -> None:
    """This project's loop."""
    parameters = TrainingParameters(steps=steps, batch_size=batch, evaluate_every=steps)
    one = WindowArrays(windows.context[:1], windows.target[:1], windows.start[:1], windows.step)
    fit(model, windows, one, parameters, SEED, CPU, hooks=Watch(tick))


def bare(model: Any, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]) -> None:
    """Forward, backward and AdamW, written by hand."""
    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
    tensors = windows.on(CPU)
    model.module.train()
    for step in range(steps):
        first = step * batch % len(windows)
        context, target = tensors.batch(slice(first, first + batch))
        loss = model.loss(context, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        tick()


def compiled(model: Any, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]) -> None:
    """The bare loop on a compiled module, for the one shape that there is; compiling is in the first step."""
    computing = getattr(model.module, "get_base_model", lambda: model.module)()
    computing.forward = torch.compile(computing.forward, dynamic=False)
    bare(model, windows, batch, steps, tick)


def memory(name: str, arm: str, batch: int) -> tuple[Any, ...]:
    """What training holds beside the model and the windows: a row of the last table."""
    model, windows = random_model(name, arm), noisy_days(batch, HORIZON)
    own = {weight.untyped_storage().data_ptr() for weight in model.module.state_dict().values()}
    own |= {part.ctypes.data for part in (windows.context, windows.target, windows.start)}
    held: list[int] = []
    others = _storages().keys() | own

    def look() -> None:
        held.append(sum(size for place, size in _storages().items() if place not in others))

    with contextlib.redirect_stderr(io.StringIO()):
        ours(model, windows, batch, 2, look)
    trainable = count_parameters(model)["trainable"]
    paper = BYTES_FOR_A_TRAINABLE_NUMBER * trainable
    return name, arm, trainable, paper / 2**20, held[-1] / 2**20, held[-1] / paper


def _storages() -> dict[int, int]:
    """Place and bytes of all memory that a tensor uses, gradients included."""
    found: dict[int, int] = {}
    for thing in gc.get_objects():
        # By type, because asking some libraries' objects for their class warns.
        if issubclass(type(thing), torch.Tensor):
            for tensor in (thing, thing.grad if thing.is_leaf else None):
                if tensor is not None:
                    storage = tensor.untyped_storage()
                    found[storage.data_ptr()] = storage.nbytes()
    return found


def print_loops(measured: dict[str, dict[str, list[float]]]) -> None:
    """Our loop against the bare one (reach: 1.05), and against a compiled module where that was measured."""
    for loop in ("bare", "compiled"):
        rows = []
        for name, seconds in measured.items():
            for arm in ARMS:
                if f"{loop} {arm}" in seconds:
                    our, other = seconds[f"ours {arm}"], seconds[f"{loop} {arm}"]
                    rows.append((name, arm, 1e3 * min(our), 1e3 * min(other), ratio(our, other)))
        if rows:
            print_table(("model", "arm", "ours, ms", f"{loop}, ms", f"ours / {loop}"), rows)


def print_upstream(measured: dict[str, dict[str, list[float]]], batch: int) -> None:
    """Full fine-tuning in examples per second; reach: 2 at nano size, 1 at a real one."""
    rows = []
    for name, seconds in measured.items():
        if "upstream full" in seconds:
            our, other = seconds["ours full"], seconds["upstream full"]
            rows.append((name, batch / min(our), batch / min(other), ratio(other, our)))
    print_table(("model", "ours, examples/s", "upstream, examples/s", "times faster"), rows)


def print_arms(measured: dict[str, dict[str, list[float]]]) -> None:
    """LoRA's step against full's; reach: 1."""
    rows = []
    for name, seconds in measured.items():
        full = seconds["ours full"]
        ratios = (ratio(seconds[f"ours {arm}"], full) for arm in ARMS if arm != "full")
        rows.append((name, 1e3 * min(full), *ratios))
    print_table(("model", "full, ms", *(f"{arm} / full" for arm in ARMS if arm != "full")), rows)


if __name__ == "__main__":
    main()
