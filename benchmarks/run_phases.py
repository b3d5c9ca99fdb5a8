"""Where the time of a run goes, phase by phase, with a floor beside it.

A run is `run_arm` as the workflow calls it (a process of its own; plain, or with --warm forked from one that has
imported what it needs), with a stopwatch around the functions that make a phase: its seconds without those of the
phases inside it. Floors are what the same machine would need for the bare work: importing torch and the class of the
model; operations of the matrix products over the matrix rate that was measured just before; bytes over the rate of a
copy. Embedded models are trained as by the default study, the published sizes (random weights) for a few steps.

    python -m benchmarks.run_phases
    python -m benchmarks.run_phases --warm
    python -m benchmarks.run_phases --models chronos-t5-small --models lag-llama --steps 5 --windows 160
"""

import json
import os
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from benchmarks import harness
from benchmarks.run_time import Workplace, floor, workplace

PHASES = (
    *("imports", "reading", "weights", "adapting", "tokenising", "forward", "backward", "optimiser"),
    *("validation", "sampling", "scoring", "writing", "other"),
)
WHOLE = {"validation", "sampling", "scoring", "writing", "weights", "imports"}
"""Phases to which everything inside them counts, but for imports."""

TOKENISING = {
    "chronos": [("workflow_scripts.models.chronos:Quantiser", ("scale", "encode"))],
    "moirai": [("workflow_scripts.models.moirai", ("pack",))],
    "lag-llama": [
        ("workflow_scripts.models.lag_llama.model:LagLlama", ("read_past",)),
        ("workflow_scripts.models.lag_llama.model", ("lag", "lag_positions", "assemble_tokens")),
    ],
}
WATCHED = {
    "reading": [("workflow_scripts.training.run", ("read_windows", "window_arrays"))],
    "weights": [("workflow_scripts.training.inference", ("load_variant",))],
    "adapting": [
        ("workflow_scripts.training.run", ("adapt",)),
        ("workflow_scripts.training.inference", ("load_adapter",)),
    ],
    "backward": [("torch:Tensor", ("backward",))],
    "optimiser": [
        ("torch.optim:AdamW", ("step",)),
        ("torch.optim.lr_scheduler:LambdaLR", ("step",)),
        ("torch.nn.utils", ("clip_grad_norm_",)),
    ],
    "validation": [("workflow_scripts.training.loop", ("validation_loss",))],
    "scoring": [("workflow_scripts.steps.run_arm", ("record_run",))],
    "writing": [
        ("workflow_scripts.training.run", ("save_adapter",)),
        (
            "workflow_scripts.steps.run_arm",
            ("write_forecasts", "file_hash", "folder_hash", "collect_provenance"),
        ),
    ],
}
"""Phase -> where its functions are: `module` or `module:class`, and names."""


def run_phases(
    models: harness.Models = harness.NANO,
    arm: Annotated[str, Option(help="an arm of docs/methods.md")] = "lora-r8",
    steps: Annotated[int, Option(help="most steps of the training")] = 100,
    windows: Annotated[int, Option(help="training windows; an eighth of it to validate, to test")] = 900,
    warm: Annotated[bool, Option("--warm", help="fork the run, as the workflow does")] = False,
    output: harness.Output = None,
) -> None:
    """The phases of a single run."""
    kind = "warm" if warm else "plain"
    harness.print_about(f"{arm}, {steps} steps at most, {windows} training windows, {kind}; single runs")
    with workplace(steps, windows) as (place, _):
        tables = {f"{name}, {arm}": phase_rows(place, name, arm, warm) for name in models}
    harness.report(tables, output)


def phase_rows(place: Workplace, model: str, arm: str, warm: bool) -> list[harness.Row]:
    """Each phase's wall and CPU seconds, and its floor in CPU seconds where one is known."""
    spent_file = place.folder / "phases.json"
    harness.isolated(
        "benchmarks.run_phases:watch_run", model, place.arguments(model, arm), warm, str(spent_file)
    )
    spent = json.loads(spent_file.read_text())
    floors = floors_of(place, model, arm) | {"imports": floor(model).cpu}
    total = {"wall": sum(wall for wall, _ in spent.values()), "cpu": sum(cpu for _, cpu in spent.values())}
    rows = [
        {
            "phase": phase,
            "wall s": wall,
            "CPU s": cpu,
            "of all CPU": cpu / total["cpu"],
            "floor, CPU s": floors.get(phase),
        }
        for phase, (wall, cpu) in spent.items()
    ]
    return [*rows, {"phase": "all", "wall s": total["wall"], "CPU s": total["cpu"]}]


class Stopwatch:
    """Charges wall and CPU seconds to the innermost phase that is going on."""

    def __init__(self) -> None:
        self.spent = {phase: [0.0, 0.0] for phase in PHASES}
        self._going = ["other"]
        self._mark = time.perf_counter(), time.process_time()

    def charge(self) -> None:
        """Charge what was spent since the last call."""
        now = time.perf_counter(), time.process_time()
        for index in range(2):
            self.spent[self._going[-1]][index] += now[index] - self._mark[index]
        self._mark = now

    def wrap(self, owner: Any, name: str, phase: str) -> None:
        """Count a function, or a method of a class, as a phase."""
        work = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            # Looking at the clock costs more than an import of what is imported already.
            if phase == "imports" and arguments[0] in sys.modules:
                return work(*arguments, **named)
            # Inside a whole phase only imports are told apart; imports inside imports are one.
            if self._going[-1] == phase or (phase != "imports" and WHOLE.intersection(self._going)):
                return work(*arguments, **named)
            self.charge()
            self._going.append(phase)
            try:
                return work(*arguments, **named)
            finally:
                self.charge()
                self._going.pop()

        setattr(owner, name, counted)


def watch_run(model: str, arguments: list[str], warm: bool, spent: str) -> None:
    """One run in this process, or in a fork of it, under a stopwatch; the phases go to a file."""
    import builtins

    if warm and (child := _fork(model)):
        os.waitpid(child, 0)
        return
    watch = Stopwatch()
    # What the interpreter itself took until here is part of the start-up; a fork has taken nothing.
    watch.spent["imports"][1] += time.process_time()
    watch.wrap(builtins, "__import__", "imports")
    _watch_phases(watch, model)
    from workflow_scripts.runtime.step import step_command
    from workflow_scripts.steps.run_arm import run_arm

    step_command(run_arm).main(arguments, standalone_mode=False)
    watch.charge()
    Path(spent).write_text(json.dumps(watch.spent))
    if warm:
        os._exit(0)


def _fork(model: str) -> int:
    """Do what the warm server does before a run, then fork; 0 in the child."""
    import gc

    from workflow_scripts.settings import run_imports

    gc.disable()
    for module in ["workflow_scripts.steps.run_arm", *run_imports(model, "lora-r2")]:
        import_module(module)
    gc.freeze()
    child = os.fork()
    gc.enable()
    return child


def _watch_phases(watch: Stopwatch, model: str) -> None:
    from workflow_scripts.models.registry import family_class, variant

    family = variant(model).family
    kind = family_class(family)
    watch.wrap(kind, "loss", "forward")
    watch.wrap(kind, "quantiles", "sampling")
    for phase, places in (WATCHED | {"tokenising": TOKENISING[family]}).items():
        for place, names in places:
            module, _, owner = place.partition(":")
            watched = import_module(module)
            for name in names:
                watch.wrap(getattr(watched, owner) if owner else watched, name, phase)


def floors_of(place: Workplace, model: str, arm: str) -> dict[str, float]:
    """Seconds that the bare work of a phase needs on one thread of this machine."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    matrices, copies = _rates()
    training, windows = place.record()["training"], place.windows
    steps, evaluations = training["steps"], len(training["validation_loss"])
    trained = harness.random_model(model, arm)
    context, target = harness.noisy_days(32, 12).on(torch.device("cpu")).batch(slice(0, 32))
    with FlopCounterMode(display=False) as counter:
        loss = trained.loss(context, target)
        forward = counter.get_total_flops()
        loss.backward()
        backward = counter.get_total_flops() - forward
    trained.module.eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        trained.quantiles(context, torch.rand(32, 20, 12, dtype=torch.float64), [0.1, 0.5, 0.9])
    trainable = sum(weight.numel() for weight in trained.module.parameters() if weight.requires_grad)
    weights = sum(weight.numel() for weight in trained.module.parameters())
    return {
        "reading": 2 * (place.folder / "windows.parquet").stat().st_size / copies,
        "weights": 2 * 4 * weights / copies,
        "tokenising": (steps * 32 + evaluations * windows["validation"]) * 36 * 4 / copies,
        "forward": steps * forward / matrices,
        "backward": steps * backward / matrices,
        # Reads weight, gradient and both moments, writes weight and moments.
        "optimiser": steps * 7 * 4 * trainable / copies,
        "validation": evaluations * windows["validation"] / 32 * forward / matrices,
        "sampling": windows["test"] / 32 * counter.get_total_flops() / matrices,
        "scoring": windows["test"] * 10 * 12 * 8 / copies,
    }


def _rates() -> tuple[float, float]:
    """Operations a second of a matrix product, bytes a second of a copy, on one thread."""
    import torch

    matrix, block = torch.randn(512, 512), torch.randn(2**23)
    works = {"matrix": lambda: matrix @ matrix, "copy": block.clone}
    found = harness.in_turn({name: partial(harness.cpu_seconds, work) for name, work in works.items()}, 20)
    return 2 * 512**3 / min(found["matrix"]), block.numel() * 4 / min(found["copy"])


app = harness.command_line(run_phases)

if __name__ == "__main__":
    harness.run(app)
