"""Where the time of a run and of the default study goes, with a floor beside it.

`study`: every rule's jobs, from the benchmark files that they write, and what Snakemake itself takes.

`phases`: a run as the workflow calls it (a process of its own; plain, or with --warm forked from one that has imported
what it needs), with a stopwatch around the functions that make a phase: its seconds without those of the phases
inside it. Floors are what the same machine would need for the bare work: importing torch and the class of the model;
operations of the matrix products over the matrix rate that was measured just before; bytes over the rate of a copy.
Embedded models are trained as by the default study, the published sizes (random weights) for a few steps.

`start-up`: the shortest job there is (LoRA of rank 2, one step, a few windows), plain and warm, over that floor. Its
CPU seconds are those of its benchmark file.

`sweep`: seven ranks and three seeds of one model with the steps and windows of the default study, one job after
another, plain and warm (workflow_scripts/runtime/warm).

    python -m benchmarks.run_time study
    python -m benchmarks.run_time phases --warm
    python -m benchmarks.run_time phases --models chronos-t5-small --models lag-llama --steps 5 --windows 160
    python -m benchmarks.run_time start-up
    python -m benchmarks.run_time sweep --model moirai-nano
"""

import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from benchmarks import harness

CLASSES = {
    "chronos": "from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration",
    "moirai": "from workflow_scripts.models.moirai import Moirai",
    "lag-llama": "from workflow_scripts.models.lag_llama.network import LagLlamaNetwork",
}
RANKS, SEEDS = (1, 2, 4, 8, 16, 32, 64), (0, 1, 2)
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


def study(
    cores: Annotated[str, Option(help="cores for Snakemake")] = "2",
    config: Annotated[list[str], Option(help="a setting as for snakemake --config, once for each")] = (),
    output: harness.Output = None,
) -> None:
    """Run the default study from nothing in a temporary folder; the environment exists already."""
    harness.print_about(f"the default study, {cores} cores, one thread a job")
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(harness.ROOT / "params.yaml", name)
        arguments = harness.snakemake(cores, "--directory", name, "--quiet", "all")[3:]
        arguments += ["--config", *config] if config else []
        own, cost = harness.isolated("benchmarks.run_time:run_snakemake", [str(part) for part in arguments])
        logs = Path(name) / "logs"
        shutil.move(logs / "simulate_mimic.benchmark.tsv", logs / "simulated")
        rules = rule_rows(rule_jobs(logs / "simulated"))
    whole = {"wall s": cost.wall, "CPU s of Snakemake itself": own}
    harness.report({"Jobs, summed by rule": rules, "The whole study": [whole]}, output)


def run_snakemake(arguments: list[str]) -> float:
    """Run Snakemake in this process; its own CPU seconds, without those of its jobs."""
    from snakemake.cli import main

    try:
        main(arguments)
    except SystemExit as ended:
        if ended.code:
            raise
    return time.process_time()


def rule_jobs(logs: Path) -> dict[str, list[dict[str, str]]]:
    """Rule -> the benchmark rows of its jobs, in the order in which rules ended first.

    logs: the log folder of one data set.
    """
    jobs: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in sorted(logs.rglob("*.benchmark.tsv"), key=lambda path: path.stat().st_mtime):
        with path.open(encoding="utf-8") as file:
            rule = path.relative_to(logs).parts[0].removesuffix(".benchmark.tsv")
            jobs[rule] += csv.DictReader(file, delimiter="\t")
    return jobs


def rule_rows(jobs: dict[str, list[dict[str, str]]]) -> list[harness.Row]:
    """One row for each rule."""
    return [
        {
            "rule": rule,
            "jobs": len(rows),
            "wall s": sum(_number(row["s"]) for row in rows),
            "CPU s": sum(_number(row["cpu_time"]) for row in rows),
            "largest MiB": max(_number(row["max_rss"]) for row in rows),
        }
        for rule, rows in jobs.items()
    ]


def _number(text: str) -> float:
    """Snakemake writes NA or - for what it had no time to measure."""
    return 0.0 if text in ("NA", "-") else float(text)


class Workplace:
    """A folder with settings, windows and weights, in which single runs can be made."""

    def __init__(self, folder: Path, steps: int, windows: dict[str, int]) -> None:
        from workflow_scripts.settings import Study

        self.folder, self.steps, self.windows = folder, steps, windows
        settings = Study(training={"steps": steps}).model_dump(mode="json")
        groups = ("adaptation", "training", "tuning", "forecast")
        parameters = {group: settings[group] for group in groups}
        (folder / "settings.json").write_text(json.dumps({"code": "", "parameters": parameters}))
        _write_windows(folder / "windows.parquet", windows)

    def arguments(self, model: str, arm: str, seed: int = 0) -> list[str]:
        """The options of run_arm. Weights are the embedded ones, or random ones of a published size."""
        from workflow_scripts.models.sources import EMBEDDED_FOLDER

        weights = EMBEDDED_FOLDER / model
        if not weights.exists():
            weights = self.folder / model
            if not weights.exists():
                harness.random_model(model).save(weights)
        options = {
            "dataset": "simulated",
            "cohort": "explicit",
            "vital": "heart_rate",
            "model": model,
            "arm": arm,
            "seed": seed,
            "weights": weights,
            "windows": self.folder / "windows.parquet",
            "settings": self.folder / "settings.json",
            "output": self.folder / "run",
        }
        return [str(part) for name, value in options.items() for part in (f"--{name}", value)]

    def job(self, model: str, rank: int, seed: int, owner: str) -> tuple[harness.Cost, float]:
        """A LoRA run's own cost, and its wall seconds to the first step. owner: what VITALORA_WARM holds."""
        from workflow_scripts.settings import run_imports

        arm, measured = f"lora-r{rank}", self.folder / "benchmark.tsv"
        preload = ",".join(run_imports(model, arm))
        command = [sys.executable, "-m", "workflow_scripts.runtime.warm", "--preload", preload]
        command += ["--benchmark", str(measured), "run_arm", *self.arguments(model, arm, seed)]
        harness.command_cost(command, self.folder, VITALORA_WARM=owner)
        (row,) = csv.DictReader(measured.read_text().splitlines(), delimiter="\t")
        return harness.Cost(float(row["s"]), float(row["cpu_time"]), float(row["max_rss"])), self.record()[
            "seconds"
        ]["start_up"]

    def record(self) -> dict[str, Any]:
        """The last run's run.json."""
        return json.loads((self.folder / "run" / "run.json").read_text())


def _write_windows(path: Path, counts: dict[str, int]) -> None:
    """Random walks around 80 beats a minute; counts: split -> windows."""
    import numpy as np

    from tests.helpers.some_windows import some_windows
    from workflow_scripts.windows.making import write_windows

    count = sum(counts.values())
    random = np.random.default_rng(harness.SEED)
    series = (80 + random.normal(0, 1, (count, 36)).cumsum(axis=1)).astype(np.float32)
    split = np.repeat(list(counts), list(counts.values()))
    write_windows(
        path, replace(some_windows(count), context=series[:, :24], target=series[:, 24:], split=split)
    )


@contextmanager
def _workplace(steps: int, train: int) -> Iterator[tuple[Workplace, str]]:
    """A workplace, and the process that its warm servers end with."""
    harness.one_thread()
    windows = {"train": train, "validation": max(1, train // 8), "test": max(1, train // 8)}
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        yield Workplace(Path(name), steps, windows), str(owner.pid)


def floor(model: str) -> harness.Cost:
    """Import torch and the one class of the model."""
    from workflow_scripts.models.registry import variant

    return harness.command_cost(
        [sys.executable, "-c", f"import torch\n{CLASSES[variant(model).family]}"], harness.ROOT
    )


def start_up(
    models: harness.Models = harness.NANO, rounds: harness.Rounds = 3, output: harness.Output = None
) -> None:
    """What the shortest job costs, plain and warm, over its floor."""
    harness.print_about(f"LoRA of rank 2, one step, 32 windows; medians of {rounds} rounds")
    rows = []
    with _workplace(steps=1, train=64) as (place, owner):
        for name in models:
            place.job(name, 2, 0, owner)  # The server imports what this family needs.
            kinds = {
                "plain": partial(place.job, name, 2, 0, "0"),
                "warm": partial(place.job, name, 2, 0, owner),
            }
            found = harness.in_turn({"floor": lambda name=name: (floor(name), 0.0), **kinds}, rounds)
            cpu = {kind: [cost.cpu for cost, _ in jobs] for kind, jobs in found.items()}
            first = {kind: [until or cost.wall for cost, until in jobs] for kind, jobs in found.items()}
            rows.append(
                {"model": name}
                | {f"{kind}, CPU s": statistics.median(costs) for kind, costs in cpu.items()}
                | {"warm / floor": harness.ratio(cpu["warm"], cpu["floor"])}
                | {f"{kind}, wall s to the first step": statistics.median(all) for kind, all in first.items()}
            )
    harness.report({"Start-up": rows}, output)


def sweep(
    model: Annotated[str, Option(help="a model with embedded weights")] = "moirai-nano",
    steps: Annotated[int, Option(help="most steps of a training")] = 100,
    windows: Annotated[int, Option(help="training windows")] = 900,
    output: harness.Output = None,
) -> None:
    """Seven ranks and three seeds, one job after another, plain and warm."""
    from workflow_scripts.settings import run_imports

    harness.print_about(
        f"{model}, {len(RANKS) * len(SEEDS)} jobs, {steps} steps at most, {windows} training windows"
    )
    with _workplace(steps, windows) as (place, owner):
        place.job(model, 1, 0, "0")  # Readies the disk.
        owners = {"plain": "0", "warm": owner}
        cases = product(RANKS, SEEDS)
        costs = {kind: [] for kind in owners}
        for (rank, seed), (kind, pid) in product(cases, owners.items()):
            costs[kind].append(place.job(model, rank, seed, pid)[0])
        imports = "import " + ", ".join(["workflow_scripts.steps.run_arm", *run_imports(model, "lora-r2")])
        # The first job's wall time has the server's imports; its CPU time, as every job's, is its own.
        server = harness.command_cost([sys.executable, "-c", imports], harness.ROOT)
    rows = [
        {
            "jobs": kind,
            "CPU s": sum(cost.cpu for cost in found) + (server.cpu if kind == "warm" else 0),
            "wall s": sum(cost.wall for cost in found),
        }
        for kind, found in costs.items()
    ]
    harness.report({"All jobs, the warm server's imports included": rows}, output)


def phases(
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
    with _workplace(steps, windows) as (place, _):
        tables = {f"{name}, {arm}": phase_rows(place, name, arm, warm) for name in models}
    harness.report(tables, output)


def phase_rows(place: Workplace, model: str, arm: str, warm: bool) -> list[harness.Row]:
    """Each phase's wall and CPU seconds, and its floor in CPU seconds where one is known."""
    spent_file = place.folder / "phases.json"
    harness.isolated(
        "benchmarks.run_time:watch_run", model, place.arguments(model, arm), warm, str(spent_file)
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


app = harness.command_line(study, phases, start_up, sweep)

if __name__ == "__main__":
    harness.run(app)
