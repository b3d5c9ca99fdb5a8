"""Evaluate the adapter that one cohort gave on the test windows of another cohort.

Splits are made for each cohort, so a patient may be trained on in one and tested on in the other: every window of a
patient who is in train or validation of the adapter's own cohort is left out, and counted.

Example:
    python -m workflow_scripts.steps.evaluate_transfer --dataset simulated --trained-on sepsis3 \\
        --evaluated-on explicit --vital heart_rate --model chronos-t5-nano --arm lora-r2 --seed 0 \\
        --adapter results/simulated/runs/sepsis3/heart_rate/chronos-t5-nano/lora-r2/seed0/adapter \\
        --weights weights/prepared/chronos-t5-nano \\
        --windows data/simulated/windows/explicit/heart_rate.parquet \\
        --own-windows data/simulated/windows/sepsis3/heart_rate.parquet \\
        --settings results/simulated/transfer/settings/evaluate_transfer.chronos.json --output my-transfer
"""

import argparse
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.adaptation.adapters import load_adapter, read_arm
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.metrics import METRIC_NAMES, score
from workflow_scripts.evaluation.unseen import Unseen, read_unseen
from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.device import lease_device
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, write_json
from workflow_scripts.runtime.hashing import file_hash, folder_hash
from workflow_scripts.runtime.machine import git_commit, machine, peak_host_mib, versions
from workflow_scripts.runtime.process import began
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.reading import Windows

STARTED = began()
KEY = ("dataset", "trained_on", "evaluated_on", "vital", "model", "arm", "seed")


def main() -> None:
    """Parse the arguments, forecast, score, and write record.json last."""
    options = _parse_arguments()
    parameters = ForecastParameters(**read_settings(options.settings)["forecast"])
    unseen = read_unseen(options.windows, options.own_windows)
    failure = _training_failure(options.adapter)
    if not failure:
        _require_arm(options)
    test = unseen.windows
    begun = time.perf_counter()
    quantiles = np.full((len(test), len(parameters.quantiles), test.metadata.horizon), np.nan, np.float32)
    if len(test) and not failure:
        quantiles = _forecast(options, parameters, test)
    forecast_seconds = time.perf_counter() - begun
    write_forecasts(options.output / "forecasts.parquet", test.window_id, quantiles, parameters.quantiles)
    record = _record(options, parameters, unseen, quantiles, failure)
    record["seconds"] = {
        "forecast": round(forecast_seconds, 3),
        "total": round(time.perf_counter() - STARTED, 3),
    }
    write_json(options.output / "record.json", record)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="name of the data set, for the record")
    parser.add_argument("--trained-on", required=True, help="name of the adapter's cohort, for the record")
    parser.add_argument("--evaluated-on", required=True, help="name of the other cohort, for the record")
    parser.add_argument("--vital", required=True, help="name of the vital sign, for the record")
    parser.add_argument("--model", required=True, help="base model of the adapter, as list_models names it")
    parser.add_argument("--arm", required=True, help="the adapter's arm, as lora-r2")
    parser.add_argument(
        "--seed", required=True, type=int, help="seed of the adapter's run, and of the forecasts"
    )
    parser.add_argument("--adapter", required=True, type=Path, help="folder `adapter` of the run")
    parser.add_argument("--weights", required=True, type=Path, help="folder of the base weights")
    parser.add_argument(
        "--windows", required=True, type=Path, help="windows of the cohort to evaluate on (Parquet)"
    )
    parser.add_argument(
        "--own-windows",
        required=True,
        type=Path,
        help="windows of the adapter's cohort (Parquet): patients of its train and validation are left out",
    )
    parser.add_argument("--settings", required=True, type=Path, help="settings file of this step (JSON)")
    parser.add_argument("--output", required=True, type=Path, help="folder of the results")
    return parser.parse_args()


def _training_failure(adapter: Path) -> str:
    """Why the run beside the adapter could not train it; empty where it could, or where there is no record."""
    record = adapter.parent / "run.json"
    return str(read_json(record).get("failure", "")) if record.is_file() else ""


def _require_arm(options: argparse.Namespace) -> None:
    """Raise UserError where the folder holds another arm, or that of another model."""
    saved = read_arm(options.adapter)
    if (saved.base, saved.arm.name) != (options.model, options.arm):
        raise UserError(
            str(options.adapter),
            f"{saved.arm.name} of {saved.base}",
            f"{options.arm} of {options.model}",
            "name the folder, the model and the arm of one run",
        )


def _forecast(
    options: argparse.Namespace, parameters: ForecastParameters, test: Windows
) -> NDArray[np.float32]:
    """Quantiles in natural units; each window draws the same random numbers as in a run of its own cohort."""
    import torch

    from workflow_scripts.training.inference import forecast

    with lease_device() as leased:
        device = torch.device(leased.torch_name)
        model = load_variant(variant(options.model), options.weights)
        load_adapter(model, options.adapter)
        if model.samplers:
            model.sampler = parameters.lag_llama_sampler
        model.module.to(device)
        arrays = window_arrays(test, variant(options.model))
        quantiles = forecast(model, arrays, test.window_id, parameters, options.seed, device)
    return test.metadata.to_natural_units(quantiles)


def _record(
    options: argparse.Namespace,
    parameters: ForecastParameters,
    unseen: Unseen,
    quantiles: NDArray[np.float32],
    failure: str,
) -> dict[str, Any]:
    """What was evaluated on what, and how good it is (docs/tables.md)."""
    test, metadata = unseen.windows, unseen.windows.metadata
    metrics: dict[str, float | None] = dict.fromkeys(METRIC_NAMES)
    non_finite = 0
    if len(test):
        scores = score(test.target, quantiles, parameters.quantiles, metadata.scale_low, metadata.scale_high)
        metrics, non_finite = scores.metrics, scores.non_finite_windows
    return {
        "key": {name: getattr(options, name) for name in KEY},
        "failure": failure,
        "counts": {
            "test_windows": len(test),
            "test_patients": len(np.unique(test.subject_id)),
            "excluded_windows": unseen.excluded_windows,
            "excluded_patients": unseen.excluded_patients,
            "non_finite_windows": non_finite,
        },
        "windows": {name: value for name, value in asdict(metadata).items() if name != "vital"},
        "metrics": metrics,
        "memory": {"peak_host_mib": round(peak_host_mib(), 1)},
        "settings": {"forecast": parameters.model_dump(mode="json")},
        "hashes": {
            "code": read_json(options.settings)["code"],
            "windows": file_hash(options.windows),
            "own_windows": file_hash(options.own_windows),
            "weights": file_hash(options.weights / "model.safetensors"),
            "adapter": None if failure else folder_hash(options.adapter),
            "forecasts": file_hash(options.output / "forecasts.parquet"),
        },
        "versions": versions(),
        "machine": machine(),
        "git_commit": git_commit(Path(__file__).parent),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    run_step(main)
