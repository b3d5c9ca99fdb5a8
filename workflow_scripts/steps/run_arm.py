"""One run of the study: one arm of one model on one cohort and vital sign."""

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from typer import Option

from workflow_scripts.adaptation.adapters import load_adapter, save_adapter
from workflow_scripts.adaptation.adapting import adapt, count_parameters
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.recording import Outcome, Subject, run_record
from workflow_scripts.models.baselines import BASELINES, forecast_baseline
from workflow_scripts.models.registry import MODELS, family_class, family_of
from workflow_scripts.models.weights import load_variant
from workflow_scripts.privacy.credentials import mark_trained_on
from workflow_scripts.runtime.device import lease_device
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_folder, folder_mib, read_json, write_json
from workflow_scripts.runtime.hashing import file_hash, folder_hash
from workflow_scripts.runtime.machine import (
    begin_host_peak,
    git_commit,
    host_peak_since_mib,
    machine,
    versions,
)
from workflow_scripts.runtime.process import began, terminable, was_forked
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters, TuningParameters
from workflow_scripts.training.released import released_budget
from workflow_scripts.windows.reading import WindowMetadata, Windows, read_windows

if TYPE_CHECKING:
    from workflow_scripts.adaptation.hooks import TrainingHooks
    from workflow_scripts.models.interface import ForecastModel
    from workflow_scripts.training.tuning import Tuned

CHECKPOINTS = "checkpoints"
"""Folder beside the results while a job trains; what was interrupted goes on from it."""


@dataclass(frozen=True)
class RunOptions:
    """What identifies a run, and its files. weights: None for a baseline and a model that is trained from scratch."""

    dataset: str
    cohort: str
    vital: str
    model: str
    arm: str
    seed: int
    windows: Path
    settings: Path
    output: Path
    weights: Path | None


def run_arm(
    dataset: Annotated[str, Option(help="name of the data set, for the record")],
    cohort: Annotated[str, Option(help="name of the cohort, for the record")],
    vital: Annotated[str, Option(help="name of the vital sign, for the record")],
    model: Annotated[str, Option(help="a variant of models/registry.py, or a baseline")],
    arm: Annotated[str, Option(help="an arm of docs/methods.md, as lora-r2; `baseline` for a baseline")],
    seed: Annotated[int, Option(help="seed of adapter, data order and forecasts")],
    windows: Annotated[Path, Option(help="Parquet file of windows")],
    settings: Annotated[Path, Option(help="settings file of this step (JSON)")],
    output: Annotated[Path, Option(help="folder of the run's results; run.json is written last")],
    weights: Annotated[
        Path | None, Option(help="folder of the base weights, for a model that has some")
    ] = None,
) -> None:
    """Run one arm of one model on one cohort and vital sign: adapt, forecast the test windows, score, record.

    Example:
        python -m workflow_scripts.steps.run_arm --dataset simulated --cohort explicit --vital heart_rate \\
            --model chronos-t5-nano --arm lora-r2 --seed 0 --weights weights/prepared/chronos-t5-nano \\
            --windows data/simulated/windows/explicit/heart_rate.parquet \\
            --settings results/simulated/runs/settings/run_arm.chronos.json --output my-run
    """
    options = RunOptions(dataset, cohort, vital, model, arm, seed, windows, settings, output, weights)
    parameters = read_settings(settings)
    provenance = _provenance(options)
    with terminable():
        record = _run(options, parameters) | provenance
        record["hashes"] |= _written(output)
        record["seconds"]["total"] = round(time.perf_counter() - began(), 3)
        write_json(output / "run.json", record)
        shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)


def _run(options: RunOptions, settings: dict[str, Any]) -> dict[str, Any]:
    """Adapt, then open the test split, forecast it, and return the record.

    A baseline needs no device, so it never waits for one.
    """
    development = read_windows(options.windows, ("train", "validation"))
    if options.model in BASELINES:
        test = read_windows(options.windows, ("test",))
        outcome = _forecast_baseline(options.model, settings, test)
    else:
        asked = time.perf_counter()
        with lease_device() as leased:
            waited = time.perf_counter() - asked
            adapted = _adapt(options, settings, development, leased.torch_name)
            adapted.ready -= waited  # Waiting for a device is no start-up.
            test = read_windows(options.windows, ("test",))
            outcome = _forecast(options, settings, adapted, test, leased.torch_name)
    write_forecasts(
        options.output / "forecasts.parquet",
        test.window_id,
        outcome.quantiles,
        settings["forecast"]["quantiles"],
    )
    subject = Subject(
        key=_key(options),
        family=family_of(options.model),
        rank=_rank(options),
        test=test,
        development_windows={
            split: int((development.split == split).sum()) for split in ("train", "validation")
        },
    )
    return run_record(subject, outcome, settings)


def _forecast_baseline(model: str, settings: dict[str, Any], test: Windows) -> Outcome:
    """The forecast of a baseline, without torch."""
    begun = time.perf_counter()
    levels, metadata = settings["forecast"]["quantiles"], test.metadata
    quantiles = forecast_baseline(model, test.context, metadata.horizon, levels, metadata.interval_minutes)
    seconds = {"start_up": begun - began(), "training": 0.0, "forecast": time.perf_counter() - begun}
    return Outcome(quantiles, {"total": 0, "trainable": 0}, seconds)


@dataclass
class _Adapted:
    """What is known before the test split is opened. ready: when the model could first be used.

    host_mib: the process's memory at that moment. model: the base model of an arm that trains nothing; what another
    arm learned lies in the folder `adapter`.
    """

    parameters: dict[str, int]
    ready: float
    host_mib: float = 0.0
    model: "ForecastModel | None" = None
    tuned: "Tuned | None" = None


def _adapt(options: RunOptions, settings: dict[str, Any], development: Windows, device_name: str) -> _Adapted:
    """Train every candidate on the development windows; the best on validation becomes the folder `adapter`."""
    arm = Arm.parse(options.arm)
    adapted = _Adapted({}, began())

    def prepare(candidate: TrainingParameters) -> "tuple[ForecastModel, TrainingHooks]":
        model = _base_model(options, settings, development.metadata)
        parameters = AdaptationParameters(**settings["adaptation"])
        hooks = adapt(model, arm, parameters, options.seed, candidate.steps)
        if not adapted.parameters:
            adapted.parameters, adapted.ready = count_parameters(model), time.perf_counter()
            adapted.host_mib = begin_host_peak()
        return model, hooks

    if not arm.trains:
        adapted.model, _ = prepare(TrainingParameters(**settings["training"]))
        return adapted
    import torch

    from workflow_scripts.training.tuning import train_best

    def keep(model: "ForecastModel") -> None:
        with atomic_folder(options.output / "adapter") as folder:
            save_adapter(model, arm, folder, options.model)
            mark_trained_on(folder, options.dataset)

    adapted.tuned = train_best(
        prepare,
        keep,
        _candidates(options.model, settings, development),
        window_arrays(development.select("train"), MODELS[options.model]),
        window_arrays(development.select("validation"), MODELS[options.model]),
        options.seed,
        torch.device(device_name),
        options.output / CHECKPOINTS,
    )
    return adapted


def _candidates(model: str, settings: dict[str, Any], development: Windows) -> list[TrainingParameters]:
    """The budgets that an arm tries: the study's, or a model's own from scratch where that is asked for."""
    shared = TrainingParameters(**settings["training"])
    if MODELS[model].from_scratch and shared.from_scratch == "released":
        windows = int((development.split == "train").sum())
        return [released_budget(MODELS[model].training, windows)]
    return TuningParameters(**settings["tuning"]).candidates(shared)


def _forecast(
    options: RunOptions,
    settings: dict[str, Any],
    adapted: _Adapted,
    test: Windows,
    device_name: str,
) -> Outcome:
    """Forecast the test windows with what the folder `adapter` holds: what a user will load is what is scored."""
    import torch

    from workflow_scripts.training.inference import forecast

    begun = time.perf_counter()
    forecasting = ForecastParameters(**settings["forecast"])
    tuned, device = adapted.tuned, torch.device(device_name)
    quantiles = np.full((len(test), len(forecasting.quantiles), test.metadata.horizon), np.nan, np.float32)
    if tuned is None or not tuned.failure:
        model = adapted.model or _base_model(options, settings, test.metadata)
        if tuned is not None:
            load_adapter(model, options.output / "adapter")
        model.module.to(device)
        begun = time.perf_counter()
        arrays = window_arrays(test, MODELS[options.model])
        scaled = forecast(model, arrays, test.window_id, forecasting, options.seed, device)
        quantiles = test.metadata.to_natural_units(scaled)
    training = sum(trial.seconds for trial in tuned.trials) if tuned else 0.0
    return Outcome(
        quantiles=quantiles,
        parameters=adapted.parameters,
        seconds={
            "start_up": adapted.ready - began(),
            "training": training,
            "forecast": time.perf_counter() - begun,
        },
        training=_training_record(tuned) if tuned else None,
        growth_host_mib=max(0.0, host_peak_since_mib() - adapted.host_mib),
        peak_device_mib=torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None,
        adapter_mib=folder_mib(options.output / "adapter") if tuned else None,
        failure=tuned.failure if tuned else "",
    )


def _base_model(options: RunOptions, settings: dict[str, Any], windows: WindowMetadata) -> "ForecastModel":
    """The model as every candidate and the forecast start from it: base weights, or a seeded random start."""
    variant = MODELS[options.model]
    if variant.from_scratch:
        geometry = {"context": windows.context, "horizon": windows.horizon}
        return family_class(variant.family).create(variant.sizes | geometry, options.seed)
    if options.weights is None:
        raise UserError("--weights", "not given", f"the folder of {variant.name}'s base weights", "name it")
    model = load_variant(variant, options.weights)
    if model.samplers:
        model.sampler = settings["forecast"]["lag_llama_sampler"]
    return model


def _training_record(tuned: "Tuned") -> dict[str, Any]:
    """The chosen candidate's history, and all candidates. A run that failed has no best loss."""
    history = asdict(tuned.history)
    del history["seconds"], history["examples"]
    if tuned.failure:
        history["best_validation_loss"] = None
    return history | {
        "learning_rate": tuned.chosen.learning_rate,
        "batch_size": tuned.chosen.batch_size,
        "total_steps": sum(trial.steps for trial in tuned.trials),
        "total_examples": sum(trial.examples for trial in tuned.trials),
        "trials": [asdict(trial) for trial in tuned.trials],
    }


def _provenance(options: RunOptions) -> dict[str, Any]:
    """What the run was made of and with."""
    return {
        "hashes": {
            "code": read_json(options.settings)["code"],
            "windows": file_hash(options.windows),
            "weights": file_hash(options.weights / "model.safetensors") if options.weights else None,
        },
        "versions": versions(),
        "machine": machine() | {"forked": was_forked()},
        "git_commit": git_commit(Path(__file__).parent),
    }


def _written(output: Path) -> dict[str, str | None]:
    """Hashes of what the run wrote, so that a later change of a file is seen (verify_results)."""
    adapter = output / "adapter"
    return {
        "forecasts": file_hash(output / "forecasts.parquet"),
        "adapter": folder_hash(adapter) if adapter.is_dir() else None,
    }


def _rank(options: RunOptions) -> int | None:
    return Arm.parse(options.arm).rank if options.model in MODELS else None


def _key(options: RunOptions) -> dict[str, Any]:
    # In the order in which MLflow names the run: what differs most stands first.
    return {name: getattr(options, name) for name in ("dataset", "model", "arm", "vital", "cohort", "seed")}


if __name__ == "__main__":
    run_step(run_arm)
