"""Training and forecasting on one device: an eager float32 loop as upstream's, the same in bfloat16, and ours.

Needs PyTorch, transformers and peft; what else is missing (uni2ts for MOIRAI, pydantic for Lag-Llama, SciPy for its
draws) leaves out what it is needed for, and the output says so. Weights are random, windows are noise: costs do not
depend on their values. Each case warms up, then runs for some seconds; no case is begun after the time limit.

- eager fp32, eager bf16: each batch is copied to the device, forward, backward, AdamW, the loss is read back.
- ours: this project's loop in bfloat16, windows resident on the device, fused AdamW.
- compiled: ours with torch.compile around the loss, on a GPU only; where that fails it says why, and eager stands.

MFU is the share of the matrix rate that was measured in the same process (bfloat16, 8192 x 8192; on a CPU float32,
512 x 512), of the operations that torch counts in forward and backward.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --models chronos-t5-nano --seconds 0.2 --jobs 1   # on a CPU
"""

import argparse
import contextlib
import importlib.util
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from workflow_scripts.adaptation.hooks import TrainingHooks  # noqa: E402
from workflow_scripts.models.interface import Series  # noqa: E402
from workflow_scripts.models.registry import VARIANTS, family_class  # noqa: E402
from workflow_scripts.training.data import WindowArrays  # noqa: E402
from workflow_scripts.training.loop import fit  # noqa: E402

CONTEXT, HORIZON, STEP, SEED, LEARNING_RATE = 64, 12, 3600, 0, 1e-4
CHRONOS = tuple(f"chronos-t5-{size}" for size in ("tiny", "mini", "small", "base", "large"))
MOIRAI = tuple(f"moirai-1.1-R-{size}" for size in ("small", "base", "large"))
MODELS = (*CHRONOS, "lag-llama", *MOIRAI)
ARMS = ("zero-shot", "lora-r2", "lora-r8", "lora-r32", "full")
NEEDED = {"chronos": (), "moirai": ("uni2ts",), "lag-llama": ("pydantic", "scipy")}
"""What a family needs beside torch, transformers and peft."""

Step = Callable[[], None]


def main() -> None:
    """Parse the arguments, measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, choices=VARIANTS, metavar="MODEL")
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--batch", type=int, default=256, help="windows in one step")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each measurement")
    parser.add_argument("--limit", type=float, default=400, help="seconds after which no case is begun")
    parser.add_argument("--jobs", type=int, default=4, help="jobs at once on the device; 1: not measured")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        _one_job(options)
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    begun = time.perf_counter()
    known = {"device": _name(device), "torch": torch.__version__, "matrix_tflops": matrix_rate(device) / 1e12}
    print(
        f"{known['device']}, torch {known['torch']}: {known['matrix_tflops']:.3g} TFLOP/s of matrices measured"
    )
    print(f"batch {options.batch}, context {CONTEXT}, horizon {HORIZON}\n")
    cases, skipped = [], []
    for model, arm in ((model, arm) for model in options.models for arm in options.arms):
        missing = [name for name in NEEDED[VARIANTS[model].family] if not _is_installed(name)]
        if missing:
            skipped.append(f"{model}, {arm}: {', '.join(missing)} is not installed")
        elif time.perf_counter() - begun > options.limit:
            skipped.append(f"{model}, {arm}: the time limit of {options.limit:g} s was reached")
        else:
            cases.append(_guarded(model, arm, device, options, known["matrix_tflops"] * 1e12))
    _print(cases)
    jobs = None
    if options.jobs > 1 and time.perf_counter() - begun < options.limit:
        jobs = several_jobs(options)
        print(
            f"{jobs['jobs']} jobs of {jobs['model']}: {jobs['one_after_another']:.1f} s one after another, ",
            end="",
        )
        print(f"{jobs['at_once']:.1f} s at once, imports included\n")
    for line in skipped:
        print(f"skipped: {line}")
    if options.json:
        found = {**known, "batch": options.batch, "cases": cases, "several_jobs": jobs, "skipped": skipped}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a large matrix product, in the precision that training uses there."""
    on_gpu = device.type == "cuda"
    width = 8192 if on_gpu else 512
    matrix = torch.randn(width, width, device=device, dtype=torch.bfloat16 if on_gpu else torch.float32)
    return 2 * width**3 / _seconds_of(lambda: matrix @ matrix, device, 0.5)


def _seconds_of(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Mean seconds of one call, after two that are not counted."""
    for _ in range(2):
        work()
    _wait(device)
    calls, begun = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - begun < seconds:
        work()
        calls += 1
        if calls % 10 == 0:
            _wait(device)
    _wait(device)
    return (time.perf_counter() - begun) / calls


def _guarded(
    model: str, arm: str, device: torch.device, options: argparse.Namespace, rate: float
) -> dict[str, Any]:
    """One case; where the device's memory does not suffice, or a library fails, what was said."""
    try:
        return {"model": model, "arm": arm} | measure(model, arm, device, options, rate)
    except Exception as error:  # A case that fails must not end the others.
        return {
            "model": model,
            "arm": arm,
            "failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
        }
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def measure(
    name: str, arm: str, device: torch.device, options: argparse.Namespace, rate: float
) -> dict[str, Any]:
    """Everything of one model and arm."""
    windows = _windows(4 * options.batch)
    if arm == "zero-shot":
        return {"windows_per_second": _forecast_rate(adapted(name, arm, device), windows, device, options)}
    case: dict[str, Any] = {
        "operations": count_operations(adapted(name, arm, device), windows, options.batch, device)
    }
    for precision in ("float32", "bfloat16"):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        step = eager_step(adapted(name, arm, device), windows, options.batch, device, precision)
        case[f"eager_{precision}"] = _costs(_seconds_of(step, device, options.seconds), device)
    for label, compiled in (("ours", False), ("compiled", True)):
        if compiled and device.type != "cuda":
            continue
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            seconds = our_step(adapted(name, arm, device), windows, options, device, compiled)
            case[label] = _costs(seconds, device)
        except Exception as error:
            if not compiled:
                raise
            case["not_compiled"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    for label in ("eager_float32", "eager_bfloat16", "ours", "compiled"):
        if label in case:
            case[label]["examples_per_second"] = options.batch / case[label]["seconds"]
            case[label]["mfu"] = case["operations"] / case[label]["seconds"] / rate
    return case


def _costs(seconds: float, device: torch.device) -> dict[str, float]:
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    return {"seconds": seconds, "peak_mib": peak}


def adapted(name: str, arm: str, device: torch.device) -> Any:
    """A model with random weights on the device, with peft's LoRA on its attention where the arm says so."""
    variant = VARIANTS[name]
    model = family_class(variant.family).create(variant.sizes, seed=SEED)
    if arm.startswith("lora"):
        from peft import LoraConfig, get_peft_model

        rank = int(arm.rpartition("-r")[2])
        config = LoraConfig(target_modules=model.attention_targets, r=rank, lora_alpha=16)
        model.module = get_peft_model(model.module, config)
    else:
        model.module.requires_grad_(arm == "full")
    if model.samplers:
        model.sampler = "frozen"
    model.module.to(device)
    return model


def _windows(count: int) -> WindowArrays:
    generator = torch.Generator().manual_seed(SEED)
    values = 0.3 + 0.02 * torch.randn(count, CONTEXT + HORIZON, generator=generator)
    start = torch.arange(count) * STEP
    return WindowArrays(values[:, :CONTEXT].numpy(), values[:, CONTEXT:].numpy(), start.numpy(), STEP)


def eager_step(model: Any, windows: WindowArrays, batch: int, device: torch.device, precision: str) -> Step:
    """A step as an upstream trainer does it."""
    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE)
    host = windows.on(torch.device("cpu"))
    model.module.train()

    def step() -> None:
        context, target = host.batch(torch.randint(len(windows), (batch,)))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model.loss(context.to(device), target.to(device))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        loss.item()

    return step


class _Timed(TrainingHooks):
    """Seconds of the steps between two of them."""

    def __init__(self, device: torch.device, first: int, last: int) -> None:
        self._device, self._ends, self.seconds = device, (first, last), 0.0

    def after_step(self, step: int) -> None:
        if step in self._ends:
            _wait(self._device)
            self.seconds = time.perf_counter() - self.seconds


def our_step(
    model: Any, windows: WindowArrays, options: argparse.Namespace, device: torch.device, compiled: bool
) -> float:
    """Seconds of a step of this project's loop."""
    if compiled:
        model.loss = torch.compile(model.loss)
    warm, steps, seconds = (5 if device.type == "cuda" else 2), 10, 0.0
    one = WindowArrays(windows.context[:1], windows.target[:1], windows.start[:1], windows.step)
    for number in (steps, 0):
        if not number:
            # As many steps as fill the time that was asked for.
            number = min(2000, max(steps, int(options.seconds / seconds)))
        budget = SimpleNamespace(
            steps=warm + number, batch_size=options.batch, learning_rate=LEARNING_RATE, weight_decay=0.0,
            warmup_fraction=0.1, gradient_clip=1.0, evaluate_every=warm + number, patience=1, precision="bfloat16",
        )  # fmt: skip
        timed = _Timed(device, warm, warm + number)
        with contextlib.redirect_stderr(io.StringIO()):
            fit(model, windows, one, budget, SEED, device, hooks=timed)  # type: ignore[arg-type]
        seconds = timed.seconds / number
    return seconds


def count_operations(model: Any, windows: WindowArrays, batch: int, device: torch.device) -> int:
    """Floating-point operations of the matrix products of a forward and backward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    context, target = windows.on(device).batch(slice(0, batch))
    model.module.train()
    with FlopCounterMode(display=False) as counter:
        model.loss(context, target).backward()
    return counter.get_total_flops()


def _forecast_rate(
    model: Any, windows: WindowArrays, device: torch.device, options: argparse.Namespace
) -> float:
    """Windows a second, 20 samples of each."""
    size = min(options.batch, 64)
    tensors = windows.on(device)
    context = Series(tensors.context[:size], tensors.start[:size], STEP)
    generator = torch.Generator().manual_seed(SEED)
    uniforms = torch.rand(size, 20, HORIZON, dtype=torch.float64, generator=generator).to(device)
    model.module.eval()
    return size / _seconds_of(partial(model.sample, context, uniforms), device, options.seconds)


def several_jobs(options: argparse.Namespace) -> dict[str, Any]:
    """Wall seconds of the same jobs one after another and at once, each a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--job",
        "--models",
        options.models[0],
        "--batch",
        str(options.batch),
    ]
    command += ["--seconds", str(options.seconds)]

    def seconds(at_once: int) -> float:
        begun = time.perf_counter()
        for _ in range(options.jobs // at_once):
            jobs = [subprocess.Popen(command) for _ in range(at_once)]
            if any([job.wait() for job in jobs]):
                raise SystemExit("error: a job failed; see its messages above")
        return time.perf_counter() - begun

    found = {"one_after_another": seconds(1), "at_once": seconds(options.jobs)}
    return {"jobs": options.jobs, "model": options.models[0]} | found


def _one_job(options: argparse.Namespace) -> None:
    """A fixed number of steps of LoRA, as a job of a sweep has them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = adapted(options.models[0], "lora-r8", device)
    step = eager_step(model, _windows(4 * options.batch), options.batch, device, "bfloat16")
    for _ in range(200 if device.type == "cuda" else 3):
        step()
    _wait(device)


def _print(cases: list[dict[str, Any]]) -> None:
    """Two tables, and what failed."""
    columns = ("model", "arm", "loop", "ms/step", "examples/s", "MFU", "peak MiB", "over eager fp32")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for case, label, costs in _loops(cases):
        times = case["eager_float32"]["seconds"] / costs["seconds"]
        print(
            f"| {case['model']} | {case['arm']} | {label} | {1e3 * costs['seconds']:.2f} | "
            f"{costs['examples_per_second']:.0f} | {costs['mfu']:.1%} | {costs['peak_mib']:.0f} | {times:.2f} |"
        )
    print("\n| model | forecast, windows/s |\n|---|---|")
    for case in cases:
        if "windows_per_second" in case:
            print(f"| {case['model']} | {case['windows_per_second']:.1f} |")
    print()
    for case in cases:
        for kind in ("failed", "not_compiled"):
            if kind in case:
                print(f"{kind.replace('_', ' ')}: {case['model']}, {case['arm']}: {case[kind]}")


def _loops(cases: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, dict[str, float]]]:
    labels = {
        "eager_float32": "eager fp32",
        "eager_bfloat16": "eager bf16",
        "ours": "ours",
        "compiled": "compiled",
    }
    for case in cases:
        for key, label in labels.items():
            if key in case:
                yield case, label, case[key]


if __name__ == "__main__":
    main()
