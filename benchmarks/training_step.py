"""A training step: our loop against a bare one and against each family's upstream trainer; LoRA against full.

The bare loop is forward, backward and AdamW on the same module and batch, nothing else. The upstream trainers are
described in upstream_training.py. Memory is every tensor that exists after a step beside the model and the windows,
against the calculation on paper: for each trainable number a gradient, two moments and a copy of the best weights,
4 bytes each, and nothing for a frozen one.

    python -m benchmarks.training_step
    python -m benchmarks.training_step --models chronos-t5-small --models lag-llama --steps 4
"""

import contextlib
import gc
import io
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
from typer import Option

from benchmarks import harness
from benchmarks.upstream_training import TRAINERS
from workflow_scripts.adaptation.adapting import count_parameters
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters

CPU = torch.device("cpu")
HORIZON = 12
ARMS = ("full", "lora-r2", "lora-r8")
BYTES_FOR_A_TRAINABLE_NUMBER = 16

Loop = Callable[[Any, WindowArrays, int, int, Callable[[], None]], None]
"""model, windows, batch size, steps, what to call after each step. Trains the model's module in place."""

Seconds = dict[str, list[float]]
"""`loop arm` -> seconds of a step in every round."""


def training_step(
    models: harness.Models = harness.NANO,
    batch: harness.Batch = 32,
    steps: Annotated[int, Option(help="timed steps of each case in a round")] = 20,
    rounds: harness.Rounds = 5,
    compiled: Annotated[
        bool, Option("--compiled", help="measure torch.compile too, which takes minutes")
    ] = False,
    output: harness.Output = None,
) -> None:
    """Compare a step of training: loops, upstream's trainers, arms, memory."""
    harness.one_thread()
    harness.print_about(
        f"batch {batch}, context 24, horizon {HORIZON}; {rounds} rounds of {steps} steps each; CPU time"
    )
    others = [bare, torch_compiled] if compiled else [bare]
    # First, because what torch.compile leaves behind has no place in memory that could be asked for.
    held = [memory(name, arm, batch) for name in models for arm in ARMS]
    measured = {name: measure(name, [ours, *others], batch, steps, rounds) for name in models}
    tables = {
        "Our loop over another": [
            loop_row(name, arm, other, seconds)
            for other in others
            for name, seconds in measured.items()
            for arm in ARMS
        ],
        "Full fine-tuning against the upstream trainer": [
            upstream_row(name, seconds, batch)
            for name, seconds in measured.items()
            if "upstream full" in seconds
        ],
        "LoRA's step over that of full fine-tuning": [arms_row(*item) for item in measured.items()],
        "Memory of training": held,
    }
    harness.report(tables, output)


def measure(name: str, loops: list[Loop], batch: int, steps: int, rounds: int) -> Seconds:
    """Each loop under each arm, and upstream's full fine-tuning, in turn."""
    windows = harness.noisy_days(10 * batch, HORIZON)
    cases: dict[str, Callable[[], float]] = {}
    for arm in ARMS:
        for loop in loops:
            cases[f"{loop.__name__} {arm}"] = partial(_seconds, loop, name, arm, windows, batch, steps)
    upstream = TRAINERS.get(VARIANTS[name].family)
    if upstream:
        cases["upstream full"] = partial(_seconds, upstream, name, "full", windows, batch, steps)
    return harness.in_turn(cases, rounds)


def _seconds(loop: Loop, name: str, arm: str, windows: WindowArrays, batch: int, steps: int) -> float:
    clock = harness.Clock()
    # Progress of our loop, and the summary of transformers' Trainer.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        loop(harness.random_model(name, arm), windows, batch, steps + 2, clock.tick)
    return clock.seconds()


class Watch(TrainingHooks):
    """Ticks after every step."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    def after_step(self, step: int) -> None:  # noqa: ARG002
        self._tick()


def ours(model: Any, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]) -> None:
    """This project's loop."""
    parameters = TrainingParameters(steps=steps, batch_size=batch, evaluate_every=steps)
    one = WindowArrays(windows.context[:1], windows.target[:1], windows.start[:1], windows.step)
    fit(model, windows, one, parameters, harness.SEED, CPU, hooks=Watch(tick))


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


def torch_compiled(
    model: Any, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]
) -> None:
    """The bare loop on a compiled module, for the one shape that there is; compiling is in the first step."""
    computing = getattr(model.module, "get_base_model", lambda: model.module)()
    computing.forward = torch.compile(computing.forward, dynamic=False)
    bare(model, windows, batch, steps, tick)


def memory(name: str, arm: str, batch: int) -> harness.Row:
    """What training holds beside the model and the windows."""
    model, windows = harness.random_model(name, arm), harness.noisy_days(batch, HORIZON)
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
    return {
        "model": name,
        "arm": arm,
        "trainable": trainable,
        "paper MiB": paper / harness.MIB,
        "measured MiB": held[-1] / harness.MIB,
        "measured / paper": held[-1] / paper,
    }


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


def loop_row(name: str, arm: str, other: Loop, seconds: Seconds) -> harness.Row:
    """Our loop against another; reach: 1.05 times the bare one."""
    our, their = seconds[f"ours {arm}"], seconds[f"{other.__name__} {arm}"]
    milliseconds = {"ours, ms": 1e3 * min(our), "other, ms": 1e3 * min(their)}
    return {
        "model": name,
        "arm": arm,
        "other": other.__name__,
        **milliseconds,
        "ours / other": harness.ratio(our, their),
    }


def upstream_row(name: str, seconds: Seconds, batch: int) -> harness.Row:
    """Examples per second; reach: 2 times upstream's at nano size, as many at a real one."""
    our, other = seconds["ours full"], seconds["upstream full"]
    speeds = {"ours, examples/s": batch / min(our), "upstream, examples/s": batch / min(other)}
    return {"model": name, **speeds, "times faster": harness.ratio(other, our)}


def arms_row(name: str, seconds: Seconds) -> harness.Row:
    """LoRA's step against full's; reach: 1."""
    full = seconds["ours full"]
    ratios = {f"{arm} / full": harness.ratio(seconds[f"ours {arm}"], full) for arm in ARMS if arm != "full"}
    return {"model": name, "full, ms": 1e3 * min(full), **ratios}


app = harness.command_line(training_step)

if __name__ == "__main__":
    harness.run(app)
