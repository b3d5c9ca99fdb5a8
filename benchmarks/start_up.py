"""What a short job costs before its arithmetic: plain, warm (workflow_scripts/runtime/warm), and the floor of both.

Start-up: for one model of each family, the CPU seconds of importing torch and the one class of the model (the
floor), and of the shortest whole job there is (LoRA of rank 2, one step, a few windows), plain
and warm, one after another in each round; and the wall seconds from process start to the first training step.
Sweep: seven ranks and three seeds of one model with the steps and windows of the default study, one job after
another: CPU and wall seconds of all jobs together, plain and warm, the server and its imports included.

    python benchmarks/start_up.py --rounds 3
    python benchmarks/start_up.py --sweep moirai-nano
"""

import argparse
import contextlib
import ctypes
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from workflow_scripts.settings import Study, run_imports
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import WindowMetadata, Windows

ROOT = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36
FLOORS = {
    "chronos-t5-nano": "from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration",
    "moirai-nano": "from workflow_scripts.models.moirai import Moirai",
    "lag-llama-nano": "from workflow_scripts.models.lag_llama.network import LagLlamaNetwork",
}
RANKS, SEEDS = (1, 2, 4, 8, 16, 32, 64), (0, 1, 2)


@dataclass
class Cost:
    """Seconds; start_up: wall seconds to the first training step, 0 where there is none."""

    cpu: float
    wall: float
    start_up: float = 0.0


class Bench:
    """A folder with windows, weights and settings; runs jobs in it and counts their costs."""

    def __init__(self, folder: Path, steps: int, windows: dict[str, int]) -> None:
        self._folder = folder
        study = Study(training={"steps": steps}).model_dump(mode="json")
        groups = ("adaptation", "training", "tuning", "forecast")
        settings = {"code": "", "parameters": {group: study[group] for group in groups}}
        (folder / "settings.json").write_text(json.dumps(settings))
        write_windows(folder / "windows.parquet", _windows(windows))

    def floor(self, model: str) -> Cost:
        """Import torch and the one class of the model."""
        return self._cost([sys.executable, "-c", f"import torch\n{FLOORS[model]}"], "0")

    def job(self, model: str, rank: int, seed: int, owner: str) -> Cost:
        """One run of run_arm; owner: what VITALORA_WARM holds."""
        weights = self._folder / model
        if not weights.exists():
            self._run(
                "workflow_scripts.steps.prepare_weights",
                "--model",
                model,
                "--source",
                "embedded",
                "--output",
                weights,
            )
        output = self._folder / "run"
        arguments = {
            "dataset": "simulated",
            "cohort": "explicit",
            "vital": "heart_rate",
            "model": model,
            "arm": f"lora-r{rank}",
            "seed": seed,
            "windows": self._folder / "windows.parquet",
            "weights": weights,
            "settings": self._folder / "settings.json",
            "output": output,
        }
        preload = ",".join(run_imports(model, f"lora-r{rank}"))
        command = [sys.executable, "-m", "workflow_scripts.runtime.warm", "--preload", preload, "run_arm"]
        command += [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
        cost = self._cost(command, owner)
        cost.start_up = json.loads((output / "run.json").read_text())["seconds"]["start_up"]
        return cost

    def _run(self, module: str, *arguments: object) -> None:
        self._cost([sys.executable, "-m", module, *map(str, arguments)], "0")

    def _cost(self, command: list[str], owner: str) -> Cost:
        """What a command cost; a job of a server costs what the server, its parent, has used more by then."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "VITALORA_WARM": owner}
        begun, used = time.perf_counter(), _cpu_seconds()
        ended = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise SystemExit(f"error: {' '.join(command)}\n{ended.stderr}")
        return Cost(_cpu_seconds() - used, time.perf_counter() - begun)


def _cpu_seconds() -> float:
    """CPU seconds of all descendants: those that ended and were waited for, and servers with their children."""
    ended = psutil.Process().cpu_times()
    total = ended.children_user + ended.children_system
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # Its own, and those of children that it waited for.
    return total


def _windows(counts: dict[str, int]) -> Windows:
    """Random walks around 80 beats a minute."""
    generator = np.random.default_rng(0)
    count = sum(counts.values())
    series = (80 + generator.normal(0, 1, (count, 36)).cumsum(axis=1)).astype(np.float32)
    numbers = np.arange(count)
    return Windows(
        context=series[:, :24],
        target=series[:, 24:],
        start=numbers * 3600,
        split=np.repeat(list(counts), list(counts.values())),
        hours_from_onset=np.full(count, np.nan, np.float32),
        covariates=np.zeros((count, 0, 24), np.float32),
        window_id=numbers,
        subject_id=numbers,
        icustay_id=numbers,
        metadata=WindowMetadata("heart_rate", "bpm", 0.0, 300.0, 60, 24, 12, "by_patient"),
    )


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the start-up's measurement")
    parser.add_argument("--sweep", choices=FLOORS, help="measure the sweep of this model instead")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Servers outlive the client that starts them: let them become children of this process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} as this began")
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        if options.sweep:
            _print_sweep(options.sweep, Path(name), str(owner.pid))
        else:
            _print_start_up(options.rounds, Path(name), str(owner.pid))


def _print_start_up(rounds: int, folder: Path, owner: str) -> None:
    bench = Bench(folder, steps=1, windows={"train": 32, "validation": 8, "test": 8})
    for model in FLOORS:
        bench.job(model, 2, 0, owner)  # The server imports what this family needs.
    print(f"{'':<17}{'CPU seconds':^36}{'wall s to the first step':^26}")
    print(f"{'':<17}{'floor':>9}{'plain':>9}{'warm':>9}{'warm/floor':>12}{'floor':>9}{'plain':>9}{'warm':>9}")
    for model in FLOORS:
        floors, plain, warm = zip(
            *(
                (bench.floor(model), bench.job(model, 2, 0, "0"), bench.job(model, 2, 0, owner))
                for _ in range(rounds)
            ),
            strict=True,
        )
        cpu = [statistics.median(cost.cpu for cost in costs) for costs in (floors, plain, warm)]
        ratio = statistics.median(w.cpu / f.cpu for w, f in zip(warm, floors, strict=True))
        wall = [statistics.median(c.start_up or c.wall for c in costs) for costs in (floors, plain, warm)]
        figures = f"{cpu[0]:>9.2f}{cpu[1]:>9.2f}{cpu[2]:>9.2f}{ratio:>12.2f}"
        print(f"{model:<17}{figures}{wall[0]:>9.2f}{wall[1]:>9.2f}{wall[2]:>9.2f}")


def _print_sweep(model: str, folder: Path, owner: str) -> None:
    bench = Bench(folder, steps=100, windows={"train": 900, "validation": 110, "test": 110})
    bench.job(model, 1, 0, "0")  # Readies weights and disk.
    plain, warm = [], []
    for rank, seed in itertools.product(RANKS, SEEDS):
        plain.append(bench.job(model, rank, seed, "0"))
        warm.append(bench.job(model, rank, seed, owner))
    print(f"{model}: {len(plain)} jobs")
    for name, unit in (("cpu", "CPU seconds"), ("wall", "wall seconds")):
        sums = [sum(getattr(cost, name) for cost in costs) for costs in (plain, warm)]
        print(f"{unit:<13} plain {sums[0]:8.1f}  warm {sums[1]:8.1f}  ratio {sums[1] / sums[0]:.2f}")


if __name__ == "__main__":
    main()
