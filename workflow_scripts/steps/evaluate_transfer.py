"""An adapter of one cohort, evaluated on the test windows of another."""

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from typer import Option

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

KEY = ("dataset", "trained_on", "evaluated_on", "vital", "model", "arm", "seed")


@dataclass(frozen=True)
class TransferOptions:
    """What identifies a transfer, and its files."""

    dataset: str
    trained_on: str
    evaluated_on: str
    vital: str
    model: str
    arm: str
    seed: int
    adapter: Path
    weights: Path
    windows: Path
    own_windows: Path
    settings: Path
    output: Path


def evaluate_transfer(
    dataset: Annotated[str, Option(help="name of the data set, for the record")],
    trained_on: Annotated[str, Option(help="name of the adapter's cohort, for the record")],
    evaluated_on: Annotated[str, Option(help="name of the other cohort, for the record")],
    vital: Annotated[str, Option(help="name of the vital sign, for the record")],
    model: Annotated[str, Option(help="base model of the adapter, as list_models names it")],
    arm: Annotated[str, Option(help="the adapter's arm, as lora-r2")],
    seed: Annotated[int, Option(help="seed of the adapter's run, and of the forecasts")],
    adapter: Annotated[Path, Option(help="folder `adapter` of the run")],
    weights: Annotated[Path, Option(help="folder of the base weights")],
    windows: Annotated[Path, Option(help="windows of the cohort to evaluate on (Parquet)")],
    own_windows: Annotated[
        Path,
        Option(
            help="windows of the adapter's cohort (Parquet): patients of its train and validation are left out"
        ),
    ],
    settings: Annotated[Path, Option(help="settings file of this step (JSON)")],
    output: Annotated[Path, Option(help="folder of the results; record.json is written last")],
) -> None:
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
    options = TransferOptions(
        dataset,
        trained_on,
        evaluated_on,
        vital,
        model,
        arm,
        seed,
        adapter,
        weights,
        windows,
        own_windows,
        settings,
        output,
    )
    parameters = ForecastParameters(**read_settings(settings)["forecast"])
    unseen = read_unseen(windows, own_windows)
    failure = _training_failure(adapter)
    if not failure:
        _require_arm(options)
    test = unseen.windows
    begun = time.perf_counter()
    quantiles = np.full((len(test), len(parameters.quantiles), test.metadata.horizon), np.nan, np.float32)
    if len(test) and not failure:
        quantiles = _forecast(options, parameters, test)
    forecast_seconds = time.perf_counter() - begun
    write_forecasts(output / "forecasts.parquet", test.window_id, quantiles, parameters.quantiles)
    record = _record(options, parameters, unseen, quantiles, failure)
    record["seconds"] = {
        "forecast": round(forecast_seconds, 3),
        "total": round(time.perf_counter() - began(), 3),
    }
    write_json(output / "record.json", record)


def _training_failure(adapter: Path) -> str:
    """Why the run beside the adapter could not train it; empty where it could, or where there is no record."""
    record = adapter.parent / "run.json"
    return str(read_json(record).get("failure", "")) if record.is_file() else ""


def _require_arm(options: TransferOptions) -> None:
    """Raise UserError where the folder holds another arm, or that of another model."""
    saved = read_arm(options.adapter)
    if (saved.base, saved.arm.name) != (options.model, options.arm):
        raise UserError(
            str(options.adapter),
            f"{saved.arm.name} of {saved.base}",
            f"{options.arm} of {options.model}",
            "name the folder, the model and the arm of one run",
        )


def _forecast(options: TransferOptions, parameters: ForecastParameters, test: Windows) -> NDArray[np.float32]:
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
    options: TransferOptions,
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
    run_step(evaluate_transfer)
