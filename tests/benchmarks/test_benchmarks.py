"""The benchmarks run at a tiny size, and what they print hangs together. Nothing is timed here."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
Run = Callable[..., list[list[dict[str, str]]]]
MISSING = (
    "pydantic", "uni2ts", "gluonts", "snakemake", "mlflow", "dvc", "pyarrow", "pandas", "polars", "duckdb", "scipy",
    "chronos", "lightning", "matplotlib",
)  # fmt: skip
NANO = ("chronos-t5-nano", "moirai-nano", "lag-llama-nano")


@pytest.fixture(scope="module", autouse=True)
def _keep_threads() -> None:
    """The benchmarks set one thread; so do the tests."""
    assert torch.get_num_threads() == 1


def test_a_training_step_is_compared_with_a_bare_loop_and_holds_the_memory_of_the_calculation(
    run_benchmark: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected memory: four numbers of 4 bytes for each that trains; frozen ones have none (within 10 %)."""
    import training_step

    monkeypatch.setattr(training_step, "TRAINERS", {})
    arguments = ("--batch", "4", "--steps", "1", "--rounds", "1", "--models", "lag-llama-nano")
    loops, upstream, arms, memory = run_benchmark("training_step", *arguments)
    assert [row["arm"] for row in loops] == [row["arm"] for row in memory] == ["full", "lora-r2", "lora-r8"]
    assert [row["model"] for row in arms] == ["lag-llama-nano"]
    assert not upstream
    for row in memory:
        assert float(row["paper MiB"]) == pytest.approx(int(row["trainable"]) * 16 / 2**20, rel=0.01)
        assert 0.999 < float(row["measured / paper"]) < 1.1


@pytest.mark.parametrize("name", NANO)
def test_each_upstream_trainer_takes_the_steps_that_it_is_asked_for_and_learns(name: str) -> None:
    from side_by_side import noisy_days, random_model
    from upstream_training import TRAINERS

    model, windows, ticks = random_model(name, "full"), noisy_days(16, 12), []
    before = {key: weight.detach().clone() for key, weight in model.module.named_parameters()}
    context, target = windows.on(torch.device("cpu")).batch(slice(0, 16))
    untrained = float(model.loss(context, target).detach())
    TRAINERS[name.removesuffix("-nano").removesuffix("-t5")](model, windows, 8, 4, lambda: ticks.append(1))
    assert len(ticks) == 4
    # Some of MOIRAI's parameters, as the bias between variates, get no gradient from a single series.
    changed = [not torch.equal(weight, before[key]) for key, weight in model.module.named_parameters()]
    assert sum(changed) > 0.8 * len(changed)
    model.module.eval()
    assert float(model.loss(context, target).detach()) < untrained


def test_the_re_enacted_loss_of_lag_llama_is_the_one_that_is_held_to_upstreams() -> None:
    """LagLlama.loss equals upstream's own numbers (tests/models/test_lag_llama_equality.py)."""
    from side_by_side import noisy_days
    from upstream_training import UpstreamNetwork, _gluonts_batches

    from workflow_scripts.models.lag_llama import LagLlama

    model = LagLlama.create({"n_layer": 2, "n_head": 2, "n_embd_per_head": 8, "context_length": 16}, seed=0)
    network, windows = UpstreamNetwork(model.module, model.configuration), noisy_days(6, 12)
    (batch,) = _gluonts_batches(windows, 16, max(model.configuration.lags), 6, 1)
    expected = model.loss(*windows.on(torch.device("cpu")).batch(slice(0, 6)))
    torch.testing.assert_close(network.loss(batch), expected, rtol=1e-4, atol=1e-4)


def test_a_forecast_is_drawn_from_upstreams_distribution(run_benchmark: Run) -> None:
    """Seeds are fixed, so the p-value is always the same; a wrong scale or shift gives one near 0."""
    (rows,) = run_benchmark(
        "forecasting",
        "--windows",
        "2",
        "--samples",
        "3",
        "--horizons",
        "5",
        "--rounds",
        "1",
        "--compared",
        "300",
    )
    assert [row["model"] for row in rows] == ["chronos-t5-nano", "moirai-nano"]
    for row in rows:
        assert float(row["same distribution: p"]) > 0.01
        assert float(row["ours, ms"]) > 0


def test_scoring_is_measured_beside_dtaidistance_which_accumulates_the_same(
    run_benchmark: Run,
) -> None:
    import scoring

    (rows,) = run_benchmark("scoring", "--windows", "50", "--points", "12", "--rounds", "1")
    assert [row["what"] for row in rows] == ["DTW", "DTW, dtaidistance", "all metrics"]
    assert scoring.largest_gap(scoring.forecasts(100, 12)[0]) < 1e-9


@pytest.mark.workflow
@pytest.mark.acceptance
def test_fabricated_runs_are_aggregated_and_reported_by_the_workflows_commands(run_benchmark: Run) -> None:
    (rows,) = run_benchmark(
        "aggregation",
        "--arms",
        "zero-shot",
        "full",
        "lora-r2",
        "--seeds",
        "1",
        "--test-windows",
        "6",
        "--no-plan",
    )
    assert [row["step"] for row in rows] == ["plain reading of all files", "aggregate_metrics", "make_report"]


@pytest.mark.workflow
@pytest.mark.acceptance
def test_the_phases_of_a_run_add_up_to_the_run(run_benchmark: Run) -> None:
    """The process's whole CPU time is charged to some phase, and each phase of a training got some."""
    (rows,) = run_benchmark("profile_run", "--models", "lag-llama-nano", "--steps", "2", "--windows", "16")
    whole = rows.pop()
    assert whole["phase"] == "all"
    assert sum(float(row["CPU s"]) for row in rows) == pytest.approx(float(whole["CPU s"]), abs=0.1)
    spent = {row["phase"]: float(row["wall s"]) for row in rows}
    for phase in ("imports", "forward", "backward", "optimiser", "validation", "sampling"):
        assert spent[phase] > 0, phase


BLOCKED = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {blocked!r} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
sys.argv = ["gpu.py", *{arguments!r}]
import runpy
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.workflow
@pytest.mark.acceptance
def test_the_gpu_benchmark_runs_on_a_cpu_with_torch_transformers_and_peft_alone(tmp_path: Path) -> None:
    """Whatever this project needs elsewhere is missing, and the output says what was left out for that."""
    arguments = [
        "--models",
        *NANO,
        "--arms",
        "zero-shot",
        "lora-r2",
        "full",
        "--seconds",
        "0.01",
        "--batch",
        "2",
    ]
    arguments += ["--jobs", "1", "--json", str(tmp_path / "gpu.json")]
    program = BLOCKED.format(blocked=MISSING, arguments=arguments, script=str(ROOT / "benchmarks" / "gpu.py"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    cases = {case["arm"]: case for case in found["cases"]}
    assert set(cases) == {"zero-shot", "lora-r2", "full"}
    assert not any("failed" in case for case in found["cases"])
    assert cases["zero-shot"]["windows_per_second"] > 0
    for loop in ("eager_float32", "eager_bfloat16", "ours"):
        costs = cases["full"][loop]
        assert costs["examples_per_second"] == pytest.approx(2 / costs["seconds"])
        assert math.isfinite(costs["mfu"])
    assert any("moirai-nano" in line and "uni2ts is not installed" in line for line in found["skipped"])
    assert any("lag-llama-nano" in line and "pydantic" in line for line in found["skipped"])
