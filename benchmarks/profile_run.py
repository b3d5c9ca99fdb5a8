"""Where the time goes: every phase of a run, and every rule of the default study, with a floor beside it.

A run is `run_arm` as the workflow calls it (a process of its own, tracked in MLflow; plain, or with --warm forked
from one that has imported what it needs), with a stopwatch around the functions that make a phase: its wall and CPU
seconds without those of the phases inside it, and by how much it raised the process's peak memory. Floors are what
the same machine would need for the bare work: importing torch and the one class of the model; operations of the
matrix products over the matrix rate that was measured just before; bytes over the rate of a copy in memory.
Embedded models are trained as by the default study, the published sizes (random weights) for a few steps on fewer
windows.

    python benchmarks/profile_run.py
    python benchmarks/profile_run.py --warm
    python benchmarks/profile_run.py --models chronos-t5-small moirai-1.1-R-small lag-llama --steps 5 --windows 160
    python benchmarks/profile_run.py --study         # the default study, rule by rule, and Snakemake's own time
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PHASES = (
    "imports",
    "reading",
    "weights",
    "adapting",
    "tokenising",
    "forward",
    "backward",
    "optimiser",
    "validation",
    "sampling",
    "scoring",
    "writing",
    "other",
)
WHOLE = ("validation", "sampling", "scoring", "writing", "weights")
"""Phases to which everything inside them counts, but for imports."""

TOKENISING = {
    "chronos": (("workflow_scripts.models.chronos", "Quantiser", ("scale", "encode")),),
    "moirai": (("workflow_scripts.models.moirai", None, ("pack",)),),
    "lag-llama": (
        ("workflow_scripts.models.lag_llama.model", "LagLlama", ("read_past",)),
        ("workflow_scripts.models.lag_llama.model", None, ("lag", "lag_positions", "assemble_tokens")),
    ),
}


def main() -> None:
    """Parse the arguments, measure, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    nano = ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"]
    parser.add_argument("--models", nargs="+", default=nano)
    parser.add_argument("--arm", default="lora-r8")
    parser.add_argument("--steps", type=int, default=100, help="most steps of the training")
    parser.add_argument(
        "--windows", type=int, default=900, help="training windows; an eighth of it to validate, to test"
    )
    parser.add_argument("--warm", action="store_true", help="fork the run, as the workflow does")
    parser.add_argument("--study", action="store_true", help="profile the default study instead")
    parser.add_argument("--cores", default="2", help="cores of the study")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.run:
        _run_here(options.run)
    elif options.study:
        _print_study(options.cores)
    else:
        with tempfile.TemporaryDirectory() as name:
            for model in options.models:
                _print_run(model, profile(model, options, Path(name)), options)


class Stopwatch:
    """Charges wall and CPU seconds and the growth of peak memory to the innermost phase that is going on."""

    def __init__(self) -> None:
        self.spent = {phase: [0.0, 0.0, 0.0] for phase in PHASES}
        self._going = ["other"]
        self._mark = self._now()

    def _now(self) -> tuple[float, float, float]:
        # Not ru_maxrss, which begins with the memory of the process that started this one.
        with Path("/proc/self/status").open() as status:
            peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
        return time.perf_counter(), time.process_time(), peak

    def charge(self) -> None:
        """Charge what was spent since the last call."""
        now, before = self._now(), self._mark
        for place in range(3):
            self.spent[self._going[-1]][place] += now[place] - before[place]
        self._mark = now

    def wrap(self, owner: Any, name: str, phase: str) -> None:
        """Count a function, or a method of a class, as a phase."""
        work = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            # Looking at the clock costs more than an import of what is there already.
            if phase == "imports" and arguments[0] in sys.modules:
                return work(*arguments, **named)
            # Inside a whole phase only imports are told apart; imports inside imports are one.
            if self._going[-1] == phase or (phase != "imports" and set(self._going) & {*WHOLE, "imports"}):
                return work(*arguments, **named)
            self.charge()
            self._going.append(phase)
            try:
                return work(*arguments, **named)
            finally:
                self.charge()
                self._going.pop()

        setattr(owner, name, counted)


def _run_here(folder: Path) -> None:
    """The child: one run in this process, or in a fork of it; the phases go to a file."""
    job = json.loads((folder / "job.json").read_text())
    if job["warm"] and (child := _fork_warm(job["model"])):
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    watch = Stopwatch()
    # What the interpreter itself took until here is part of the start-up.
    watch.spent["imports"][1] += time.process_time()
    import builtins

    watch.wrap(builtins, "__import__", "imports")
    import importlib

    _watch_phases(watch, job["model"], importlib)
    from workflow_scripts.runtime.step import step_command
    from workflow_scripts.steps.run_arm import run_arm

    step_command(run_arm).main(job["arguments"], standalone_mode=False)
    watch.charge()
    (folder / "phases.json").write_text(json.dumps(watch.spent))


def _fork_warm(model: str) -> int:
    """Do what the warm server does before a run, then fork; 0 in the child."""
    import gc
    from importlib import import_module

    from workflow_scripts.settings import run_imports

    gc.disable()
    for module in ["workflow_scripts.steps.run_arm", *run_imports(model, "lora-r2")]:
        import_module(module)
    gc.freeze()
    child = os.fork()
    gc.enable()
    return child


def _watch_phases(watch: Stopwatch, model: str, importlib: Any) -> None:
    import torch

    from workflow_scripts.models.registry import VARIANTS, family_class
    from workflow_scripts.steps import run_arm
    from workflow_scripts.training import inference, loop, run

    family = VARIANTS[model].family
    kind = family_class(family)
    for module, owner, names in TOKENISING[family]:
        place = importlib.import_module(module)
        for name in names:
            watch.wrap(getattr(place, owner) if owner else place, name, "tokenising")
    watched = {
        "reading": ((run, "read_windows"), (run, "window_arrays")),
        "weights": ((inference, "load_variant"),),
        "adapting": ((run, "adapt"), (inference, "load_adapter")),
        "forward": ((kind, "loss"),),
        "backward": ((torch.Tensor, "backward"),),
        "optimiser": (
            (torch.optim.AdamW, "step"),
            (torch.optim.lr_scheduler.LambdaLR, "step"),
            (torch.nn.utils, "clip_grad_norm_"),
        ),
        "validation": ((loop, "validation_loss"),),
        "sampling": ((kind, "quantiles"),),
        "scoring": ((run_arm, "record_run"),),
        "writing": (
            (run, "save_adapter"),
            (run_arm, "write_forecasts"),
            (run_arm, "file_hash"),
            (run_arm, "folder_hash"),
            (run_arm, "collect_provenance"),
        ),
    }
    for phase, places in watched.items():
        for owner, name in places:
            watch.wrap(owner, name, phase)


def profile(model: str, options: argparse.Namespace, folder: Path) -> dict[str, tuple[float, ...]]:
    """Each phase's wall and CPU seconds, MiB, and its floor in CPU seconds (NaN: none is known)."""
    from start_up import FLOORS, Bench

    windows = {"train": options.windows, "validation": options.windows // 8, "test": options.windows // 8}
    place = folder / model
    place.mkdir()
    bench = Bench(place, options.steps, windows)
    # Weights, and a disk that knows the libraries.
    _prepare(model, place / "weights")
    arguments = {
        "dataset": "simulated", "cohort": "explicit", "vital": "heart_rate", "model": model, "arm": options.arm,
        "seed": 0, "windows": place / "windows.parquet", "weights": place / "weights",
        "settings": place / "settings.json", "output": place / "run",
    }  # fmt: skip
    given = [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
    (place / "job.json").write_text(json.dumps({"model": model, "arguments": given, "warm": options.warm}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VITALORA_WARM": "0"}
    subprocess.run(
        [sys.executable, __file__, "--run", str(place)],
        env=environment,
        cwd=place,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    spent = json.loads((place / "phases.json").read_text())
    family = model.split("-")[0]
    floor_of = next(name for name in FLOORS if name.startswith(family))
    floors = _floors(model, options.arm, place, windows) | {"imports": bench.floor(floor_of).cpu}
    return {phase: (*spent[phase], floors.get(phase, float("nan"))) for phase in PHASES}


def _prepare(model: str, folder: Path) -> None:
    """Embedded weights, or random ones of a published size."""
    from workflow_scripts.models.registry import VARIANTS, family_class
    from workflow_scripts.models.sources import EMBEDDED_FOLDER

    folder.parent.mkdir(exist_ok=True)
    if (EMBEDDED_FOLDER / model).exists():
        folder.symlink_to(EMBEDDED_FOLDER / model)
    else:
        family_class(VARIANTS[model].family).create(VARIANTS[model].sizes, seed=0).save(folder)


def _floors(model: str, arm: str, place: Path, windows: dict[str, int]) -> dict[str, float]:
    """Seconds that the bare work of a phase needs on one thread of this machine."""
    import torch
    from side_by_side import CPU, noisy_days, one_thread, random_model
    from torch.utils.flop_counter import FlopCounterMode

    one_thread()
    matrices, copies = _rates()
    record = json.loads((place / "run" / "run.json").read_text())
    steps, evaluations = record["training"]["steps"], len(record["training"]["validation_loss"])
    trained = random_model(model, arm)
    context, target = noisy_days(32, 12).on(CPU).batch(slice(0, 32))
    operations = {}
    with FlopCounterMode(display=False) as counter:
        loss = trained.loss(context, target)
        operations["forward"] = counter.get_total_flops()
        loss.backward()
        operations["backward"] = counter.get_total_flops() - operations["forward"]
    trained.module.eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        trained.quantiles(context, torch.rand(32, 20, 12, dtype=torch.float64), [0.1, 0.5, 0.9])
    trainable = sum(weight.numel() for weight in trained.module.parameters() if weight.requires_grad)
    seen = steps * 32 + evaluations * windows["validation"]
    return {
        "reading": 2 * (place / "windows.parquet").stat().st_size / copies,
        "tokenising": seen * 36 * 4 / copies,
        "forward": steps * operations["forward"] / matrices,
        "backward": steps * operations["backward"] / matrices,
        # Reads weight, gradient and both moments, writes weight and moments.
        "optimiser": steps * 7 * 4 * trainable / copies,
        "validation": evaluations * windows["validation"] / 32 * operations["forward"] / matrices,
        "sampling": windows["test"] / 32 * counter.get_total_flops() / matrices,
        "scoring": windows["test"] * 10 * 12 * 8 / copies,
        "weights": 2 * (place / "weights" / "model.safetensors").stat().st_size / copies,
    }


def _rates() -> tuple[float, float]:
    """Operations a second of a matrix product, bytes a second of a copy, on one thread."""
    import torch

    matrix, block = torch.randn(512, 512), torch.randn(2**23)
    best = [float("inf"), float("inf")]
    for _ in range(20):
        for place, work in enumerate((lambda: matrix @ matrix, block.clone)):
            begun = time.process_time()
            work()
            best[place] = min(best[place], time.process_time() - begun)
    return 2 * 512**3 / best[0], block.numel() * 4 / best[1]


def _print_run(model: str, phases: dict[str, tuple[float, ...]], options: argparse.Namespace) -> None:
    from side_by_side import about

    kind = "warm" if options.warm else "plain"
    print(
        about(
            f"{model}, {options.arm}, {options.steps} steps at most, {options.windows} training windows, {kind}"
        )
    )
    total = [sum(spent[place] for spent in phases.values()) for place in range(3)]
    print("| phase | wall s | CPU s | share of CPU | floor, CPU s | peak + MiB |\n|---|---|---|---|---|---|")
    for phase, (wall, cpu, memory, floor) in phases.items():
        known = "" if floor != floor else f"{floor:.3f}"
        print(f"| {phase} | {wall:.3f} | {cpu:.3f} | {cpu / total[1]:.1%} | {known} | {memory:.0f} |")
    print(f"| all | {total[0]:.3f} | {total[1]:.3f} | | | {total[2]:.0f} |\n", flush=True)


def _print_study(cores: str) -> None:
    """The default study from nothing: every rule's jobs, and what Snakemake itself took."""
    import shutil

    import psutil
    from side_by_side import about
    from time_run import _phases

    print(about(f"the default study, {cores} cores, one thread a job"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "params.yaml", folder)
        command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", name, "--cores", cores]
        command += ["--workflow-profile", str(ROOT / "profiles/default"), "--quiet", "all"]
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        process = psutil.Popen(command)
        own = 0.0
        while process.poll() is None:
            try:
                times = process.cpu_times()
                own = max(own, times.user + times.system)
            except psutil.Error:
                pass
            time.sleep(0.2)
        if process.returncode:
            raise SystemExit("error: the run failed; see its messages above")
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        phases = _phases(folder / "logs")
    print("| rule | jobs | wall s, summed |\n|---|---|---|")
    for phase in phases:
        print(f"| {phase.rule} | {phase.jobs} | {phase.wall_seconds:.1f} |")
    jobs = sum(phase.wall_seconds for phase in phases)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"| all jobs | {sum(phase.jobs for phase in phases)} | {jobs:.1f} |\n")
    print(f"whole study: {wall:.1f} s wall; its processes but for the warm servers: {cpu:.1f} CPU s,")
    print(f"of which Snakemake itself: {own:.1f} CPU s")


if __name__ == "__main__":
    main()
