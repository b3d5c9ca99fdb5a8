"""What adapting costs: zero-shot, LoRA by rank and full fine-tuning, for each family and size, in one run.

Weights are random (costs do not depend on their values); windows are noisy daily rhythms. Every case runs in a
process of its own, so that its memory is its own. Memory of training is counted in two ways: on paper (AdamW keeps a
gradient and two moments of 4 bytes each for every trainable number, and nothing for a frozen one) and as measured
(the bytes that the gradients and the optimiser really hold, and the process's growth while it trains).

    python -m benchmarks.cost                                           # nano models and small published sizes
    python -m benchmarks.cost --models chronos-t5-nano --arms lora-r2 --arms full --steps 3 --rounds 1
"""

import statistics
from functools import partial
from typing import Annotated, Any

from typer import Option

from benchmarks import harness

MODELS = (*harness.NANO, "chronos-t5-tiny", "moirai-1.1-R-small", "lag-llama")
ARMS = ("zero-shot", "lora-r2", "lora-r8", "lora-r32", "full")
HORIZON = 12
BYTES_OF_ADAMW = 12
"""Gradient and two moments of one trainable number, float32."""


def cost(
    models: harness.Models = MODELS,
    arms: harness.Arms = ARMS,
    batch: harness.Batch = 32,
    steps: Annotated[int, Option(help="timed steps of each case, after two that are not")] = 5,
    samples: harness.Samples = 20,
    rounds: harness.Rounds = 2,
    output: harness.Output = None,
) -> None:
    """Measure every model under every arm; arms whose rank is above a model's width are left out."""
    check_names(models, arms)
    harness.print_about(f"batch {batch}, context 24, horizon {HORIZON}; medians of {rounds} rounds; CPU time")
    rows = []
    for name in models:
        cases = {kind: partial(_isolated, name, kind, batch, steps, samples) for kind in arms}
        found = {kind: cases for kind, cases in harness.in_turn(cases, rounds).items() if cases[0]}
        rows += [_row(name, kind, found, batch) for kind in found]
    harness.report({"Costs": rows}, output)


def check_names(models: list[str], arms: list[str]) -> None:
    """Refuse what cannot be measured before the first case runs. Raises UserError."""
    from workflow_scripts.adaptation.arms import Arm
    from workflow_scripts.models.registry import VARIANTS
    from workflow_scripts.runtime.errors import UserError

    for name in models:
        if name not in VARIANTS:
            raise UserError("--models", repr(name), ", ".join(VARIANTS), "name one of these")
    for name in arms:
        try:
            Arm.parse(name)
        except ValueError as error:
            raise UserError("--arms", repr(name), str(error), "name an arm of docs/methods.md") from None


def _isolated(*case: Any) -> dict[str, float]:
    return harness.isolated("benchmarks.cost:measure", *case)[0]


def measure(model_name: str, arm: str, batch: int, steps: int, samples: int) -> dict[str, float]:
    """One case; empty where the arm's rank is larger than the model's layers."""
    import torch

    from workflow_scripts.adaptation.adapting import count_parameters
    from workflow_scripts.runtime.errors import UserError
    from workflow_scripts.runtime.machine import peak_host_mib

    try:
        model = harness.random_model(model_name, arm)
    except UserError:
        return {}
    context, target = harness.noisy_days(batch, HORIZON).on(torch.device("cpu")).batch(slice(0, batch))
    trainable = count_parameters(model)["trainable"]
    case = {"trainable": trainable, "paper MiB": BYTES_OF_ADAMW * trainable / harness.MIB}
    if trainable and arm != "zero-shot":
        case |= _train(model, context, target, steps)
    uniforms = torch.rand(
        batch, samples, HORIZON, dtype=torch.float64, generator=torch.Generator().manual_seed(harness.SEED)
    )
    model.module.eval()
    with torch.inference_mode():
        draw = partial(model.quantiles, context, uniforms, [0.1, 0.5, 0.9])
        case["window"] = min(harness.cpu_seconds(draw) for _ in range(3)) / batch
    return case | {"peak MiB": peak_host_mib()}


def _train(model: Any, context: Any, target: Any, steps: int) -> dict[str, float]:
    """Median CPU seconds of a step, what AdamW and the gradients hold, and by how much the process grew, MiB."""
    import torch

    from workflow_scripts.runtime.machine import peak_host_mib

    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-4)
    model.module.train()

    def step() -> None:
        loss = model.loss(context, target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    before = peak_host_mib()
    seconds = [harness.cpu_seconds(step) for _ in range(steps + 2)]
    moments = [part for state in optimiser.state.values() for part in state.values() if part.dim()]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    held = sum(tensor.numel() * tensor.element_size() for tensor in [*moments, *gradients])
    return {
        "step": statistics.median(seconds[2:]),
        "held MiB": held / harness.MIB,
        "grown MiB": peak_host_mib() - before,
    }


def _row(model: str, arm: str, found: dict[str, list[dict[str, float]]], batch: int) -> harness.Row:
    """Medians over the rounds; the ratio of steps is taken within each round."""
    cases = found[arm]
    case = {name: statistics.median(case[name] for case in cases) for name in cases[0]}
    row: dict[str, Any] = {"model": model, "arm": arm, "trainable": int(case["trainable"])}
    step = case.get("step")
    full = [case["step"] for case in found.get("full", [])]
    return row | {
        "step ms": step and 1e3 * step,
        "examples/s": step and batch / step,
        "step / full": harness.ratio([case["step"] for case in cases], full) if step and full else None,
        "paper MiB": case["paper MiB"],
        "held MiB": case.get("held MiB"),
        "grown MiB": case.get("grown MiB"),
        "peak MiB": case["peak MiB"],
        "forecast ms": 1e3 * case["window"],
    }


app = harness.command_line(cost)

if __name__ == "__main__":
    harness.run(app)
