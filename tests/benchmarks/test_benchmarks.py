"""The benchmarks run at a tiny size, and what they print hangs together. Nothing is timed here."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import realism, scoring, training_step
from benchmarks.harness import noisy_days, random_model
from benchmarks.upstream_lag_llama import UpstreamNetwork
from benchmarks.upstream_training import TRAINERS, lag_llama_batches
from tests.helpers.open_data import open_data
from tests.helpers.some_windows import some_windows
from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.windows.making import write_windows

ROOT = Path(__file__).parents[2]
Run = Callable[..., list[list[dict[str, Any]]]]
MISSING = (
    "uni2ts", "gluonts", "snakemake", "mlflow", "dvc", "pyarrow", "pandas", "polars", "duckdb", "scipy",
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
    monkeypatch.setattr(training_step, "TRAINERS", {})
    arguments = ("--batch", "4", "--steps", "1", "--rounds", "1", "--models", "lag-llama-nano")
    loops, upstream, arms, memory = run_benchmark("training_step", *arguments)
    assert [row["arm"] for row in loops] == [row["arm"] for row in memory] == ["full", "lora-r2", "lora-r8"]
    assert [row["model"] for row in arms] == ["lag-llama-nano"]
    assert not upstream
    for row in memory:
        assert row["paper MiB"] == pytest.approx(row["trainable"] * 16 / 2**20, rel=0.01)
        assert 0.999 < row["measured / paper"] < 1.1


@pytest.mark.parametrize("name", NANO)
def test_each_upstream_trainer_takes_the_steps_that_it_is_asked_for_and_learns(name: str) -> None:
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
    model = LagLlama.create({"n_layer": 2, "n_head": 2, "n_embd_per_head": 8, "context_length": 16}, seed=0)
    network = UpstreamNetwork(dict(model.module.named_parameters()), model.configuration)
    windows = noisy_days(6, 12)
    (batch,) = lag_llama_batches(windows, network, 6, 1)
    expected = model.loss(*windows.on(torch.device("cpu")).batch(slice(0, 6)))
    torch.testing.assert_close(network.loss(batch), expected, rtol=1e-4, atol=1e-4)


def test_a_forecast_is_drawn_from_upstreams_distribution(run_benchmark: Run) -> None:
    """Seeds are fixed, so the p-value is always the same; a wrong scale or shift gives one near 0."""
    sizes = ("--windows", "2", "--samples", "3", "--horizons", "5", "--rounds", "1", "--compared", "300")
    (rows,) = run_benchmark("forecasting", "families", *sizes)
    assert [row["model"] for row in rows] == ["chronos-t5-nano", "moirai-nano"]
    for row in rows:
        assert row["same distribution: p"] > 0.01
        assert row["ours, ms"] > 0


def test_scoring_is_measured_beside_dtaidistance_which_accumulates_the_same(
    run_benchmark: Run,
) -> None:
    sizes = ("--windows", "50", "--points", "12", "--rounds", "1")
    rows, (same,) = run_benchmark("scoring", "windows", *sizes)
    assert [row["what"] for row in rows] == ["DTW", "DTW, dtaidistance", "all metrics"]
    assert same["largest difference of accumulated distances"] < 1e-9
    assert scoring.largest_gap(scoring.forecasts(100, 12)[0]) < 1e-9


def test_copies_of_a_meds_data_set_have_as_many_stays_and_values_each(run_benchmark: Run) -> None:
    raw = str(open_data("meds-demo", "MEDS_DEMO_DIR"))
    (rows,) = run_benchmark("meds", "--raw", raw, "--copies", "1", "--copies", "2")
    assert [row["stays"] for row in rows] == [140, 280]
    assert rows[1]["values"] == 2 * rows[0]["values"]
    assert rows[1]["events"] == 2 * rows[0]["events"] == 2 * 916_166


@pytest.mark.workflow
@pytest.mark.acceptance
def test_fabricated_runs_are_aggregated_and_reported_by_the_workflows_commands(run_benchmark: Run) -> None:
    arms = [option for arm in ("zero-shot", "full", "lora-r2") for option in ("--arms", arm)]
    (rows,) = run_benchmark("scoring", "study", *arms, "--seeds", "1", "--test-windows", "6", "--no-plan")
    assert [row["step"] for row in rows] == ["plain reading of all files", "aggregate_metrics", "make_report"]


@pytest.mark.workflow
@pytest.mark.acceptance
def test_the_phases_of_a_run_add_up_to_the_run(run_benchmark: Run) -> None:
    """The process's whole CPU time is charged to some phase, and each phase of a training got some."""
    (rows,) = run_benchmark("run_phases", "--models", "lag-llama-nano", "--steps", "2", "--windows", "16")
    whole = rows.pop()
    assert whole["phase"] == "all"
    assert sum(row["CPU s"] for row in rows) == pytest.approx(whole["CPU s"], abs=0.1)
    spent = {row["phase"]: row["wall s"] for row in rows}
    for phase in ("imports", "forward", "backward", "optimiser", "validation", "sampling"):
        assert spent[phase] > 0, phase


WITHOUT = """
import runpy
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {missing!r} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
sys.argv = ["gpu", *{arguments!r}]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


@pytest.mark.workflow
@pytest.mark.acceptance
def test_the_gpu_benchmark_runs_on_a_cpu_with_torch_transformers_and_peft_alone(tmp_path: Path) -> None:
    """Whatever this project needs elsewhere is missing, and the output says what was left out for that."""
    output = tmp_path / "gpu.json"
    arms = ("zero-shot", "lora-r2", "full")
    arguments = [
        *(option for model in NANO for option in ("--models", model)),
        *(option for arm in arms for option in ("--arms", arm)),
        *("--seconds", "0.01", "--batch", "2", "--jobs", "1", "--output", str(output)),
    ]
    program = WITHOUT.format(missing=MISSING, arguments=arguments)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert {row["arm"] for row in found["Training"]} == {"lora-r2", "full"}
    (forecast,) = found["Forecasts"]
    assert forecast["model"] == "chronos-t5-nano"
    assert forecast["windows/s"] > 0
    full = {row["loop"]: row for row in found["Training"] if row["arm"] == "full"}
    assert set(full) == {"eager float32", "eager bfloat16", "ours"}
    for row in full.values():
        assert row["examples/s"] == pytest.approx(2 / row["ms/step"] * 1e3)
        assert math.isfinite(row["MFU"])
    left_out = {(row["model"], row["arm"]): row["why"] for row in found["Left out"]}
    missing = {"moirai-nano": "uni2ts is not installed", "lag-llama-nano": "scipy is not installed"}
    assert left_out == {(model, arm): why for model, why in missing.items() for arm in arms}


def test_errors_are_relative_to_persistence_and_gaps_to_the_exact_sampler(
    run_benchmark: Run, tmp_path: Path
) -> None:
    write_windows(tmp_path / "windows.parquet", some_windows(12))
    sizes = ("--models", "lag-llama-nano", "--samples", "10")
    errors, gaps = run_benchmark("accuracy", str(tmp_path / "windows.parquet"), *sizes)
    assert [row["model"] for row in errors[:2]] == ["persistence", "mean-of-context"]
    assert errors[0]["mae"] == pytest.approx(10)  # These windows' targets are their last value plus 10.
    for row in errors:
        assert row["mae, relative"] == pytest.approx(row["mae"] / errors[0]["mae"])
    exact, frozen, chance = gaps
    assert exact["mean absolute"] == 0
    assert frozen["mean absolute, first step"] < 1e-4 < frozen["mean absolute, last step"]
    assert chance["mean absolute, first step"] > 1e-4


def test_noise_falls_with_the_samples_and_exact_quantiles_have_none(
    run_benchmark: Run, tmp_path: Path
) -> None:
    write_windows(tmp_path / "windows.parquet", some_windows(36))
    models = [option for model in NANO[:2] for option in ("--models", model)]
    sizes = (
        "--arms",
        "zero-shot",
        "--samples",
        "10",
        "--samples",
        "40",
        "--repeats",
        "3",
        "--reference",
        "40",
    )
    (rows,) = run_benchmark("monte_carlo", str(tmp_path / "windows.parquet"), *models, *sizes)
    chronos = [row for row in rows if row["model"] == "chronos-t5-nano"]
    assert [(row["protocol"], row["samples"]) for row in chronos] == [
        ("paper", "20"),
        ("standard", "10"),
        ("standard", "40"),
    ]
    paper, few, many = (row["noise, % of MSE"] for row in chronos)
    assert paper > few > many > 0
    plain, exact = (row for row in rows if row["model"] == "moirai-nano")
    assert exact["samples"] == "exact"
    assert exact["noise, % of MSE"] == exact["WQL above the finest, %"] == 0 < plain["noise, % of MSE"]


def test_white_noise_has_the_spread_the_changes_and_the_memory_of_the_closed_form() -> None:
    """Of Gaussian noise with sd 4 about stay means with sd 3: E.g. a median change of 0.6745 * sqrt(2) * 4; about the
    mean of n = 72 hours, an autocorrelation of -1 / (n - 1) at every lag."""
    random = np.random.default_rng(0)
    described = realism.describe(random.normal(0, 3, (4000, 1)) + random.normal(0, 4, (4000, 72)))
    assert described["sd"] == pytest.approx(5, rel=0.02)
    assert described["sd within a stay"] == pytest.approx(4 * math.sqrt(71 / 72), rel=0.01)
    assert described["sd between stays"] == pytest.approx(math.sqrt(9 + 16 / 72), rel=0.03)
    assert described["hourly change, 50 %"] == pytest.approx(0.6745 * math.sqrt(2) * 4, rel=0.01)
    for lag in (1, 6, 24):
        assert described[f"autocorrelation, {lag} h"] == pytest.approx(-1 / 71, abs=0.005)


def test_every_step_from_the_challenge_s_archive_to_windows_is_measured(run_benchmark: Run) -> None:
    (rows,) = run_benchmark("challenge_2019", "--raw", str(open_data("challenge-2019", "CHALLENGE_2019_DIR")))
    *steps, total = rows
    assert [row["step"] for row in steps] == ["read_source", "label_source_cohort", "make_windows"]
    assert total["CPU s"] == pytest.approx(sum(row["CPU s"] for row in steps))
    # A process that imports Arrow needs more than that.
    assert all(row["CPU s"] > 0.1 for row in steps)
    assert total["peak MiB"] == max(row["peak MiB"] for row in steps)
