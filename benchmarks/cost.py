"""What adapting costs: zero-shot, LoRA by rank and full fine-tuning, for each family and size, in one run.

Weights are random (costs do not depend on their values); windows are noisy daily rhythms. Every case runs in a
process of its own, so that its memory is its own; the cases of one model follow one another directly, in turn over
the repeats, and ratios are taken within a repeat. Times are CPU times of one thread, which other work on the machine
changes little. Memory of training is counted in two ways: on paper (AdamW keeps a
gradient and two moments of 4 bytes each for every trainable number, and nothing for a frozen one) and as measured
(the bytes that the gradients and the optimiser really hold, and the process's growth while it trains).

    python benchmarks/cost.py                                             # nano models and small published sizes
    python benchmarks/cost.py --models chronos-t5-nano --arms zero-shot lora-r2 full --steps 3 --repeats 1
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MODELS = (
    "chronos-t5-nano",
    "moirai-nano",
    "lag-llama-nano",
    "chronos-t5-tiny",
    "moirai-1.1-R-small",
    "lag-llama",
)
ARMS = ("zero-shot", "lora-r2", "lora-r8", "lora-r32", "full")
CONTEXT, HORIZON, STEP, SEED = 24, 12, 3600, 0
BYTES_OF_ADAMW = 12
"""Gradient and two moments of one trainable number, float32."""


def main() -> None:
    """Parse the arguments, measure every case in turn, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, help="variants of models/variants.yaml")
    parser.add_argument(
        "--arms", nargs="+", default=ARMS, help="arms; ranks above a model's width are left out"
    )
    parser.add_argument("--batch", type=int, default=32, help="windows in one step")
    parser.add_argument(
        "--steps", type=int, default=5, help="timed steps of each case, after two that are not"
    )
    parser.add_argument("--samples", type=int, default=20, help="sample paths of a forecast")
    parser.add_argument("--repeats", type=int, default=2, help="how often all cases are measured in turn")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "ARM"), help=argparse.SUPPRESS)
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/costs.md has it")
    options = parser.parse_args()
    _check_names(parser, options)
    if options.measure:
        print(json.dumps(measure(*options.measure, options)))
        return
    rounds = [_measure_all(options) for _ in range(options.repeats)]
    _print(rounds, options)
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=2) + "\n", encoding="utf-8")


def _check_names(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what this benchmark cannot measure before the first case runs."""
    from workflow_scripts.adaptation.arms import Arm
    from workflow_scripts.models.registry import VARIANTS

    for model in options.models:
        if model not in VARIANTS:
            parser.error(f"{model!r} is no model with pre-trained weights: {', '.join(VARIANTS)}")
    for arm in options.arms:
        try:
            Arm.parse(arm)
        except ValueError as error:
            parser.error(str(error))


def _measure_all(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Each case's measurement, by model and arm."""
    environment = os.environ | {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    numbers = ("batch", "steps", "samples")
    shared = [part for name in numbers for part in (f"--{name}", str(getattr(options, name)))]
    measured: dict[str, dict[str, Any]] = {}
    for model in options.models:
        for arm in options.arms:
            command = [sys.executable, __file__, *shared, "--measure", model, arm]
            result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            case = json.loads(result.stdout)
            if case:
                measured[f"{model} {arm}"] = case
    return measured


def measure(model_name: str, arm_name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """One case; None where the arm's rank is larger than the model's layers."""
    import torch

    from workflow_scripts.adaptation.adapting import adapt, count_parameters
    from workflow_scripts.adaptation.arms import Arm
    from workflow_scripts.adaptation.parameters import AdaptationParameters
    from workflow_scripts.models.registry import VARIANTS, family_class
    from workflow_scripts.runtime.errors import UserError

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    variant, arm = VARIANTS[model_name], Arm.parse(arm_name)
    model = family_class(variant.family).create(variant.sizes, seed=SEED)
    try:
        adapt(model, arm, AdaptationParameters(), SEED)
    except UserError:
        return None
    case: dict[str, Any] = count_parameters(model)
    case["paper_mib"] = BYTES_OF_ADAMW * case["trainable"] / 2**20
    if arm.trains:
        case |= _train(model, options)
    return case | _forecast(model, options)


def _train(model: Any, options: argparse.Namespace) -> dict[str, float]:
    """Median CPU seconds of a step, what AdamW and the gradients hold, and by how much the process grew, MiB."""
    import torch

    from workflow_scripts.runtime.machine import peak_host_mib

    context, target = _windows(options.batch)
    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-4)
    before, seconds = peak_host_mib(), []
    for _ in range(options.steps + 2):
        begun = time.process_time()
        model.module.train()
        loss = model.loss(context, target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        seconds.append(time.process_time() - begun)
    moments = [
        part
        for state in optimiser.state.values()
        for part in state.values()
        if torch.is_tensor(part) and part.dim()
    ]
    gradients = [weight.grad for weight in model.module.parameters() if weight.grad is not None]
    held = sum(tensor.numel() * tensor.element_size() for tensor in [*moments, *gradients])
    return {
        "step_seconds": statistics.median(seconds[2:]),
        "held_mib": held / 2**20,
        "grown_mib": peak_host_mib() - before,
    }


def _forecast(model: Any, options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of the forecast of one window, in a batch, and the process's peak memory, MiB."""
    import torch

    from workflow_scripts.runtime.machine import peak_host_mib

    context, _ = _windows(options.batch)
    generator = torch.Generator().manual_seed(SEED)
    shape = options.batch, options.samples, HORIZON
    uniforms = torch.rand(*shape, dtype=torch.float64, generator=generator)
    model.module.eval()
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            begun = time.process_time()
            model.quantiles(context, uniforms, [0.1, 0.5, 0.9])
            seconds.append(time.process_time() - begun)
    return {"window_seconds": min(seconds) / options.batch, "peak_mib": peak_host_mib()}


def _windows(batch: int) -> Any:
    """Context and target of noisy daily rhythms between 0 and 1, as the scaled vital signs are."""
    import torch

    from workflow_scripts.models.interface import Series

    generator = torch.Generator().manual_seed(SEED)
    hours = torch.arange(CONTEXT + HORIZON)
    level = 0.2 + 0.2 * torch.rand(batch, 1, generator=generator)
    noise = 0.02 * torch.randn(batch, CONTEXT + HORIZON, generator=generator)
    values = level + 0.05 * torch.sin(hours / 24 * 6.2832) + noise
    return Series(values[:, :CONTEXT], torch.arange(batch) * STEP, STEP), values[:, CONTEXT:]


COLUMNS = (
    ("trainable", "trainable", "{:,.0f}"),
    ("step_ms", "step ms", "{:.1f}"),
    ("examples", "examples/s", "{:.1f}"),
    ("ratio", "step / full", "{:.2f}"),
    ("paper_mib", "paper MiB", "{:.2f}"),
    ("held_mib", "held MiB", "{:.2f}"),
    ("grown_mib", "grown MiB", "{:.0f}"),
    ("peak_mib", "peak MiB", "{:.0f}"),
    ("window_ms", "forecast ms", "{:.2f}"),
)


def _print(rounds: list[dict[str, dict[str, Any]]], options: argparse.Namespace) -> None:
    """Medians over the repeats; the ratio of steps is taken within each repeat."""
    from workflow_scripts.runtime.machine import machine, versions

    about = machine()
    print(
        f"{about['processor']}, {about['cores']} cores, one thread; torch {versions()['torch']}; "
        f"batch {options.batch}, context {CONTEXT}, horizon {HORIZON}, {len(rounds)} repeats\n"
    )
    table = [["model", "arm", *(name for _, name, _ in COLUMNS)]]
    for case in rounds[0]:
        row = _row(case, rounds, options.batch)
        cells = (form.format(row[name]) if name in row else "" for name, _, form in COLUMNS)
        table.append([*case.split(), *cells])
    for line in _markdown(table) if options.markdown else _aligned(table):
        print(line)


def _row(case: str, rounds: list[dict[str, dict[str, Any]]], batch: int) -> dict[str, float]:
    """What one case's line says."""
    row = {name: statistics.median(measured[case][name] for measured in rounds) for name in rounds[0][case]}
    full = case.split()[0] + " full"
    if "step_seconds" in row:
        row["examples"] = batch / row["step_seconds"]
        if full in rounds[0]:
            ratios = [measured[case]["step_seconds"] / measured[full]["step_seconds"] for measured in rounds]
            row["ratio"] = statistics.median(ratios)
        row["step_ms"] = 1e3 * row["step_seconds"]
    row["window_ms"] = 1e3 * row["window_seconds"]
    return row


def _aligned(table: list[list[str]]) -> list[str]:
    """The table in columns of one width each, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]


def _markdown(table: list[list[str]]) -> list[str]:
    """The table as a page of the documentation has it."""
    lines = ["| " + " | ".join(line) + " |" for line in table]
    rule = "|" + "|".join("---" if at < 2 else "---:" for at in range(len(table[0]))) + "|"
    return [lines[0], rule, *lines[1:]]


if __name__ == "__main__":
    main()
