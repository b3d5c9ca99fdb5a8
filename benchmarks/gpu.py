"""Training and forecasting on one device: an eager float32 loop as upstream's, the same in bfloat16, and ours.

Needs PyTorch, transformers (and pydantic, which it installs) and peft; what else is missing (uni2ts for MOIRAI, SciPy
for Lag-Llama) leaves out what it is needed for, and the output says so. Weights are random: costs do not depend on
their values. Each case warms up, then runs for some seconds; no case is begun after the time limit.

- eager float32, eager bfloat16: each batch is copied to the device, forward, backward, AdamW, the loss is read back.
- ours: this project's loop in bfloat16, windows resident on the device, fused AdamW.
- compiled: ours with torch.compile around the loss, on a GPU only; where that fails it says why, and eager stands.

MFU is the share of the matrix rate that was measured in the same process (bfloat16, 8192 x 8192; on a CPU float32,
512 x 512), of the operations that torch counts in forward and backward. Times are wall seconds.

    python -m benchmarks.gpu --output gpu.json
    python -m benchmarks.gpu --models chronos-t5-nano --seconds 0.2 --jobs 1   # on a CPU
"""

import contextlib
import importlib.util
import io
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
from typer import Option

from benchmarks import harness
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.interface import Series
from workflow_scripts.models.registry import variant
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters

CONTEXT, HORIZON, LEARNING_RATE = 64, 12, 1e-4
CHRONOS = tuple(f"chronos-t5-{size}" for size in ("tiny", "mini", "small", "base", "large"))
MODELS = (*CHRONOS, "lag-llama", *(f"moirai-1.1-R-{size}" for size in ("small", "base", "large")))
ARMS = ("zero-shot", "lora-r2", "lora-r8", "lora-r32", "full")
NEEDED = {"chronos": (), "moirai": ("uni2ts",), "lag-llama": ("scipy",)}
"""What a family needs beside torch, transformers and peft."""

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"


def gpu(
    models: harness.Models = MODELS,
    arms: harness.Arms = ARMS,
    batch: Annotated[int, Option(help="windows in one step")] = 256,
    seconds: Annotated[float, Option(help="length of each measurement")] = 1.5,
    limit: Annotated[float, Option(help="seconds after which no case is begun")] = 400,
    jobs: Annotated[int, Option(help="jobs at once on the device; 1: not measured")] = 4,
    output: harness.Output = None,
) -> None:
    """Measure every model and arm, and several jobs at once."""
    begun = time.perf_counter()
    matrices = matrix_rate()
    name = torch.cuda.get_device_name(DEVICE) if ON_GPU else "CPU"
    harness.print_about(
        f"{name}, {matrices / 1e12:.3g} TFLOP/s of matrices; batch {batch}, context {CONTEXT}, horizon {HORIZON}"
    )
    training: list[harness.Row] = []
    forecasts: list[harness.Row] = []
    left_out: list[harness.Row] = []
    for case in ({"model": name, "arm": kind} for name in models for kind in arms):
        missing = [name for name in NEEDED[variant(case["model"]).family] if not _is_installed(name)]
        why = f"{', '.join(missing)} is not installed" if missing else ""
        if not why and time.perf_counter() - begun > limit:
            why = f"the time limit of {limit:g} s was reached"
        try:
            if not why and case["arm"] == "zero-shot":
                rate = forecast_rate(
                    adapted(**case), harness.noisy_days(min(batch, 64), HORIZON, CONTEXT), seconds
                )
                forecasts.append({"model": case["model"], "windows/s": rate})
            elif not why:
                training += (case | row for row in training_rows(case, batch, seconds, matrices))
        except Exception as error:  # A case that fails must not end the others.
            why = _first_line(error)
        if why:
            left_out.append(case | {"why": why})
        torch.cuda.empty_cache()
    tables = {"Training": training, "Forecasts": forecasts, "Left out": left_out}
    if jobs > 1 and time.perf_counter() - begun < limit:
        tables["Jobs, imports included"] = [several_jobs(models[0], jobs, batch)]
    harness.report(tables, output)


def _first_line(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
    )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _wait() -> None:
    if ON_GPU:
        torch.cuda.synchronize(DEVICE)


def matrix_rate() -> float:
    """Operations a second of a large matrix product, in the precision that training uses there."""
    width = 8192 if ON_GPU else 512
    matrix = torch.randn(width, width, device=DEVICE, dtype=torch.bfloat16 if ON_GPU else torch.float32)
    return 2 * width**3 / seconds_of(lambda: matrix @ matrix, 0.5)


def seconds_of(work: Callable[[], object], seconds: float) -> float:
    """Mean seconds of one call, after two that are not counted."""
    for _ in range(2):
        work()
    _wait()
    calls, begun = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - begun < seconds:
        work()
        calls += 1
        if calls % 10 == 0:
            _wait()
    _wait()
    return (time.perf_counter() - begun) / calls


def training_rows(case: dict[str, str], batch: int, seconds: float, matrices: float) -> list[dict[str, Any]]:
    """A row for each loop."""
    windows = harness.noisy_days(4 * batch, HORIZON, CONTEXT)
    operations = count_operations(adapted(**case), windows, batch)
    loops: dict[str, Callable[[], float]] = {
        f"eager {precision}": partial(eager_seconds, case, windows, batch, precision, seconds)
        for precision in ("float32", "bfloat16")
    }
    loops["ours"] = lambda: our_seconds(adapted(**case), windows, batch, seconds)
    if ON_GPU:
        loops["compiled"] = lambda: our_seconds(_compiled(adapted(**case)), windows, batch, seconds)
    rows: list[dict[str, Any]] = []
    for loop, measure in loops.items():
        if ON_GPU:
            torch.cuda.reset_peak_memory_stats(DEVICE)
        try:
            taken = measure()
        except Exception as error:
            if loop != "compiled":
                raise
            rows.append({"loop": f"not compiled: {_first_line(error)}"})
            continue
        row = {
            "loop": loop,
            "ms/step": 1e3 * taken,
            "examples/s": batch / taken,
            "MFU": operations / taken / matrices,
        }
        row["peak MiB"] = torch.cuda.max_memory_allocated(DEVICE) / harness.MIB if ON_GPU else None
        rows.append(
            row | {"over eager float32": (rows[0]["ms/step"] if rows else row["ms/step"]) / row["ms/step"]}
        )
    return rows


def adapted(model: str, arm: str) -> Any:
    """A model with random weights on the device."""
    made = harness.random_model(model, arm)
    if made.samplers:
        made.sampler = "frozen"
    made.module.to(DEVICE)
    return made


def _compiled(model: Any) -> Any:
    model.loss = torch.compile(model.loss)
    return model


def count_operations(model: Any, windows: WindowArrays, batch: int) -> int:
    """Floating-point operations of the matrix products of a forward and backward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    context, target = windows.on(DEVICE).batch(slice(0, batch))
    model.module.train()
    with FlopCounterMode(display=False) as counter:
        model.loss(context, target).backward()
    return counter.get_total_flops()


def eager_seconds(
    case: dict[str, str], windows: WindowArrays, batch: int, precision: str, seconds: float
) -> float:
    """Seconds of a step as an upstream trainer does it."""
    return seconds_of(eager_step(adapted(**case), windows, batch, precision), seconds)


def eager_step(model: Any, windows: WindowArrays, batch: int, precision: str) -> Callable[[], None]:
    """A step as an upstream trainer does it."""
    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE)
    host = windows.on(torch.device("cpu"))
    model.module.train()

    def step() -> None:
        context, target = host.batch(torch.randint(len(windows), (batch,)))
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model.loss(context.to(DEVICE), target.to(DEVICE))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        loss.item()

    return step


class Timed(TrainingHooks):
    """Seconds between the ends of two steps."""

    def __init__(self, first: int, last: int) -> None:
        self._ends, self.seconds = (first, last), 0.0

    def after_step(self, step: int) -> None:
        """Note the moment."""
        if step in self._ends:
            _wait()
            self.seconds = time.perf_counter() - self.seconds


def our_seconds(model: Any, windows: WindowArrays, batch: int, seconds: float) -> float:
    """Seconds of a step of this project's loop."""
    warm, number, taken = (5 if ON_GPU else 2), 10, 0.0
    one = WindowArrays(windows.context[:1], windows.target[:1], windows.start[:1], windows.step)
    for _ in range(2):
        # At first a few; then as many steps as fill the time that was asked for.
        number = min(2000, max(number, int(seconds / taken))) if taken else number
        budget = TrainingParameters(
            steps=warm + number,
            batch_size=batch,
            learning_rate=LEARNING_RATE,
            evaluate_every=warm + number,
            precision="bfloat16",
        )
        timed = Timed(warm, warm + number)
        with contextlib.redirect_stderr(io.StringIO()):
            fit(model, windows, one, budget, harness.SEED, DEVICE, hooks=timed)
        taken = timed.seconds / number
    return taken


def forecast_rate(model: Any, windows: WindowArrays, seconds: float) -> float:
    """Windows a second, 20 samples of each."""
    tensors = windows.on(DEVICE)
    context = Series(tensors.context, tensors.start, harness.STEP)
    generator = torch.Generator().manual_seed(harness.SEED)
    uniforms = torch.rand(len(windows), 20, HORIZON, dtype=torch.float64, generator=generator).to(DEVICE)
    model.module.eval()
    return len(windows) / seconds_of(partial(model.sample, context, uniforms), seconds)


def several_jobs(model: str, jobs: int, batch: int) -> harness.Row:
    """Wall seconds of the same jobs one after another and at once, each a process of its own."""
    command = harness.isolated_command("benchmarks.gpu:one_job", model, batch)

    def seconds(at_once: int) -> float:
        begun = time.perf_counter()
        for _ in range(jobs // at_once):
            started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(at_once)]
            if any([job.wait() for job in started]):
                raise SystemExit("error: a job failed; see its messages above")
        return time.perf_counter() - begun

    return {"model": model, "jobs": jobs, "one after another, s": seconds(1), "at once, s": seconds(jobs)}


def one_job(model: str, batch: int) -> None:
    """A fixed number of steps of LoRA, as a job of a sweep has them."""
    step = eager_step(
        adapted(model, "lora-r8"), harness.noisy_days(4 * batch, HORIZON, CONTEXT), batch, "bfloat16"
    )
    for _ in range(200 if ON_GPU else 3):
        step()
    _wait()


app = harness.command_line(gpu)

if __name__ == "__main__":
    harness.run(app)
