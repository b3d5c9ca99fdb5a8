"""Where the time of the default study goes, and what a job costs before its arithmetic.

`study`: every rule's jobs, from the benchmark files that they write, and what Snakemake itself takes.

`start-up`: the shortest job there is (LoRA of rank 2, one step, a few windows), plain and warm
(workflow_scripts/runtime/warm), over its floor: importing torch and the one class of the model. CPU seconds of a job
are those of its benchmark file.

`sweep`: seven ranks and three seeds of one model with the steps and windows of the default study, one job after
another, plain and warm.

    python -m benchmarks.run_time study
    python -m benchmarks.run_time start-up
    python -m benchmarks.run_time sweep --model moirai-nano
"""

import csv
import json
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
def workplace(steps: int, train: int) -> Iterator[tuple[Workplace, str]]:
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
    harness.print_about(f"LoRA of rank 2, one step, 64 training windows; medians of {rounds} rounds")
    rows = []
    with workplace(steps=1, train=64) as (place, owner):
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
    with workplace(steps, windows) as (place, owner):
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


app = harness.command_line(study, start_up, sweep)

if __name__ == "__main__":
    harness.run(app)
