"""Run one arm of one model on one cohort and vital sign: adapt, forecast the test windows, score, record.

Example:
    python -m workflow_scripts.run_arm --dataset simulated --cohort explicit --vital heart_rate \\
        --model chronos-t5-nano --arm lora-r2 --seed 0 --weights weights/prepared/chronos-t5-nano \\
        --windows data/simulated/windows/explicit/heart_rate.parquet \\
        --settings results/simulated/runs/settings/run_arm.chronos.json --output my-run
"""

import argparse
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.adaptation.adapters import save_adapter
from workflow_scripts.adaptation.adapting import adapt, count_parameters
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.references import forecast_reference
from workflow_scripts.models.registry import REFERENCES, VARIANTS
from workflow_scripts.models.weights import load_variant
from workflow_scripts.reporting.run_figures import draw_run_figures
from workflow_scripts.runtime.device import lease_device
from workflow_scripts.runtime.files import atomic_folder, read_json, write_json
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.machine import git_commit, machine, peak_host_mib, versions
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.runtime.tracking import TrackedRun, track_run
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters
from workflow_scripts.windows.reading import Windows, read_windows

STARTED = time.perf_counter()


@dataclass
class Outcome:
    """What a run found. quantiles: float32 [test windows, levels, horizon], natural units."""

    quantiles: NDArray[np.float32]
    parameters: dict[str, int]
    training: dict[str, Any] | None
    start_up_seconds: float
    training_seconds: float
    forecast_seconds: float
    peak_device_mib: float | None


def main() -> None:
    """Parse the arguments, run, and write run.json last."""
    options = _parse_arguments()
    settings = read_settings(options.settings)
    windows = read_windows(options.windows)
    provenance = _provenance(options)
    tags = {"rank": _rank(options), "git_commit": provenance["git_commit"], **provenance["hashes"]}
    with track_run(options.tracking, _key(options), tags, settings) as tracked:
        outcome = _run(options, settings, windows)
        record = _record(options, settings, windows, outcome) | provenance
        write_json(options.output / "run.json", record)
        _track(tracked, record, windows, outcome, options.output)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="name of the data set, for the record")
    parser.add_argument("--cohort", required=True, help="name of the cohort, for the record")
    parser.add_argument("--vital", required=True, help="name of the vital sign, for the record")
    parser.add_argument(
        "--model", required=True, help="a variant of models/registry.py, or a reference"
    )
    parser.add_argument(
        "--arm", required=True, help="an arm of docs/methods.md, as lora-r2; `fit` for a reference"
    )
    parser.add_argument("--seed", required=True, type=int, help="seed of adapter, data order and forecasts")
    parser.add_argument("--windows", required=True, type=Path, help="Parquet file of windows")
    parser.add_argument("--weights", default="", help="folder of the base weights; empty for a reference")
    parser.add_argument("--settings", required=True, type=Path, help="settings file of this step (JSON)")
    parser.add_argument("--tracking", default="", help="MLflow tracking URI; empty: do not track")
    parser.add_argument("--output", required=True, type=Path, help="folder of the run's results")
    return parser.parse_args()


def _run(options: argparse.Namespace, settings: dict[str, Any], windows: Windows) -> Outcome:
    """A naive reference needs no device, so it never waits for one."""
    if options.model in REFERENCES:
        return _forecast_naive(options, settings, windows)
    with lease_device() as leased:
        return _run_model(options, settings, windows, leased.torch_name)


def _forecast_naive(options: argparse.Namespace, settings: dict[str, Any], windows: Windows) -> Outcome:
    """The forecast of a naive reference, without torch."""
    test = windows.select("test")
    begun = time.perf_counter()
    levels = ForecastParameters(**settings["forecast"]).quantiles
    quantiles = forecast_reference(
        options.model, test.context, test.metadata.horizon, levels, test.metadata.interval_minutes
    )
    return Outcome(
        quantiles=quantiles,
        parameters={"total": 0, "trainable": 0},
        training=None,
        start_up_seconds=begun - STARTED,
        training_seconds=0.0,
        forecast_seconds=time.perf_counter() - begun,
        peak_device_mib=None,
    )


def _run_model(
    options: argparse.Namespace, settings: dict[str, Any], windows: Windows, device_name: str
) -> Outcome:
    """Load, adapt, train and forecast on the scaled series; the adapter is written to the output folder."""
    import torch

    from workflow_scripts.training.forecasting import forecast
    from workflow_scripts.training.loop import fit

    arm = Arm.parse(options.arm)
    device = torch.device(device_name)
    model = load_variant(VARIANTS[options.model], Path(options.weights))
    budget = TrainingParameters(**settings["training"])
    forecasting = ForecastParameters(**settings["forecast"])
    if model.samplers:
        model.sampler = forecasting.lag_llama_sampler
    hooks = adapt(model, arm, AdaptationParameters(**settings["adaptation"]), options.seed, budget.steps)
    model.module.to(device)
    parameters = count_parameters(model)
    scaled = {split: _arrays(windows.scaled().select(split)) for split in ("train", "validation", "test")}

    ready = time.perf_counter()
    history = None
    if arm.trains:
        history = fit(model, scaled["train"], scaled["validation"], budget, options.seed, device, hooks=hooks)
        with atomic_folder(options.output / "adapter") as folder:
            save_adapter(model, arm, folder, options.model)
    trained = time.perf_counter()
    quantiles = forecast(
        model,
        scaled["test"],
        windows.select("test").window_id,
        forecasting,
        options.seed,
        device,
    )
    return Outcome(
        quantiles=windows.metadata.to_natural_units(quantiles),
        parameters=parameters,
        training=None if history is None else asdict(history),
        start_up_seconds=ready - STARTED,
        training_seconds=trained - ready if arm.trains else 0.0,
        forecast_seconds=time.perf_counter() - trained,
        peak_device_mib=torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None,
    )


def _arrays(windows: Windows) -> WindowArrays:
    step = windows.metadata.interval_minutes * 60
    return WindowArrays(windows.context, windows.target, windows.start, step)


def _record(
    options: argparse.Namespace, settings: dict[str, Any], windows: Windows, outcome: Outcome
) -> dict[str, Any]:
    """Score and write the forecasts; return the run's record (docs/architecture.md)."""
    test = windows.select("test")
    forecasting = ForecastParameters(**settings["forecast"])
    scores = score(
        test.target,
        outcome.quantiles,
        forecasting.quantiles,
        windows.metadata.scale_low,
        windows.metadata.scale_high,
    )
    write_forecasts(
        options.output / "forecasts.parquet", test.window_id, outcome.quantiles, forecasting.quantiles
    )
    return {
        "key": _key(options),
        "family": VARIANTS[options.model].family if options.model in VARIANTS else "naive",
        "rank": _rank(options),
        "parameters": outcome.parameters,
        "counts": {
            "train_windows": int((windows.split == "train").sum()),
            "validation_windows": int((windows.split == "validation").sum()),
            "test_windows": len(test),
            "test_patients": len(np.unique(test.subject_id)),
            "non_finite_windows": scores.non_finite_windows,
        },
        "windows": {name: value for name, value in asdict(windows.metadata).items() if name != "vital"},
        "training": outcome.training,
        "metrics": scores.metrics,
        "seconds": {
            "start_up": round(outcome.start_up_seconds, 3),
            "training": round(outcome.training_seconds, 3),
            "forecast": round(outcome.forecast_seconds, 3),
            "total": round(time.perf_counter() - STARTED, 3),
        },
        "memory": {
            "peak_host_mib": round(peak_host_mib(), 1),
            "peak_device_mib": outcome.peak_device_mib,
        },
        "settings": settings,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _provenance(options: argparse.Namespace) -> dict[str, Any]:
    """What the run was made of and with."""
    return {
        "hashes": {
            "code": read_json(options.settings)["code"],
            "windows": file_hash(options.windows),
            "weights": file_hash(Path(options.weights) / "model.safetensors") if options.weights else None,
        },
        "versions": versions(),
        "machine": machine(),
        "git_commit": git_commit(Path(__file__).parent),
    }


def _track(
    tracked: TrackedRun, record: dict[str, Any], windows: Windows, outcome: Outcome, output: Path
) -> None:
    """Mirror the finished record in MLflow."""
    training = record["training"] or {}
    test = windows.select("test")
    median = outcome.quantiles[:, record["settings"]["forecast"]["quantiles"].index(0.5)]
    with TemporaryDirectory() as figures:
        draw_run_figures(Path(figures), record["training"], test.target, median, windows.metadata.unit)
        tracked.finish(
            metrics=_flat_metrics(record),
            curves={name: training.get(name, []) for name in ("train_loss", "validation_loss")},
            artifacts={
                "record": output / "run.json",
                "adapter": output / "adapter",
                "figures": Path(figures),
            },
        )


def _flat_metrics(record: dict[str, Any]) -> dict[str, float | None]:
    """The record's numbers under stable names: mse, trainable_parameters, training_seconds, …"""
    flat = dict(record["metrics"])
    for group, pattern in (
        ("counts", "{}"),
        ("parameters", "{}_parameters"),
        ("seconds", "{}_seconds"),
        ("memory", "{}"),
    ):
        flat |= {pattern.format(name): value for name, value in record[group].items()}
    if record["training"]:
        flat |= {name: record["training"][name] for name in ("steps", "best_step", "best_validation_loss")}
    return flat


def _rank(options: argparse.Namespace) -> int | None:
    return Arm.parse(options.arm).rank if options.model in VARIANTS else None


def _key(options: argparse.Namespace) -> dict[str, Any]:
    # In the order in which MLflow names the run: what differs most stands first.
    return {name: getattr(options, name) for name in ("dataset", "model", "arm", "vital", "cohort", "seed")}


if __name__ == "__main__":
    run_step(main)
