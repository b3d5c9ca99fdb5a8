"""One run: train an arm of a model on its windows, then forecast the test windows with what was stored."""

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from workflow_scripts.adaptation.adapters import TrainedOn, read_arm, save_adapter
from workflow_scripts.adaptation.adapting import adapt, count_parameters
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.model_card import model_card
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.baselines import forecast_baseline
from workflow_scripts.models.registry import Variant, family_class, variant
from workflow_scripts.privacy.credentials import mark_trained_on
from workflow_scripts.runtime.device import lease_device
from workflow_scripts.runtime.files import atomic_folder, folder_mib, write_text
from workflow_scripts.runtime.machine import begin_host_peak, host_peak_since_mib
from workflow_scripts.runtime.parameters import Parameters
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters, TuningParameters
from workflow_scripts.training.released import released_budget
from workflow_scripts.windows.reading import WindowMetadata, Windows, read_windows

if TYPE_CHECKING:
    import torch

    from workflow_scripts.adaptation.hooks import TrainingHooks
    from workflow_scripts.models.interface import ForecastModel
    from workflow_scripts.training.tuning import Tuned

ADAPTER, CHECKPOINTS = "adapter", "checkpoints"
"""Folders below a run's own: what was learned, and the state from which an interrupted training goes on."""


class RunParameters(Parameters):
    """The groups of settings that a run depends on."""

    adaptation: AdaptationParameters = Field(AdaptationParameters(), description="adaptation methods")
    training: TrainingParameters = Field(TrainingParameters(), description="the training budget")
    tuning: TuningParameters = Field(TuningParameters(), description="candidates of the budget")
    forecast: ForecastParameters = Field(ForecastParameters(), description="how forecasts are drawn")


@dataclass(frozen=True)
class RunJob:
    """What is trained and forecast. dataset: a name, with which the adapter is marked.

    weights: folder of the base weights; None for a baseline and for a model that is trained from scratch.
    weights_hash: SHA-256 of the weights file in it.
    """

    dataset: str
    model: str
    arm: Arm
    seed: int
    weights: Path | None
    parameters: RunParameters
    weights_hash: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run found and what it cost.

    test, validation: the windows of these splits. quantiles, validation_quantiles: their forecasts, float32 [windows,
    levels, horizon], natural units, all NaN where training failed. parameters: total and trainable. start_up,
    forecast_seconds (of the test windows): wall-clock time, s. again: some test windows, and their forecasts with
    other random numbers; None where nothing is drawn. tuned: None where nothing was trained. growth_host_mib:
    by how much the process grew beyond its libraries and the loaded model. paths, validation_paths: sample paths for
    events, float32 [windows, event_paths, horizon], natural units; None where none were asked for.
    """

    test: Windows
    train_windows: int
    quantiles: NDArray[np.float32]
    validation: Windows
    validation_quantiles: NDArray[np.float32]
    parameters: dict[str, int]
    start_up: float
    forecast_seconds: float
    again: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
    tuned: "Tuned | None" = None
    growth_host_mib: float | None = None
    peak_device_mib: float | None = None
    adapter_mib: float | None = None
    paths: NDArray[np.float32] | None = None
    validation_paths: NDArray[np.float32] | None = None

    @property
    def failure(self) -> str:
        """Why there is no forecast; empty where there is one."""
        return self.tuned.failure if self.tuned else ""

    @property
    def training_seconds(self) -> float:
        """Of all candidates."""
        return sum(trial.seconds for trial in self.tuned.trials) if self.tuned else 0.0


@dataclass
class _Start:
    """When a model could first be used, its counts, and the process's memory at that moment, MiB."""

    parameters: dict[str, int]
    ready: float
    host_mib: float


def run_baseline(job: RunJob, windows: Path, started: float) -> Outcome:
    """Forecast the test and the validation windows by a baseline: without a device and without torch.

    started: when the process began, on the clock of `time.perf_counter`.
    """
    development, test = _read_development(windows), read_windows(windows, ("test",))
    validation, levels = development.select("validation"), job.parameters.forecast.quantiles

    def forecast(windows: Windows) -> NDArray[np.float32]:
        metadata = windows.metadata
        return forecast_baseline(
            job.model, windows.context, metadata.horizon, levels, metadata.interval_minutes
        )

    begun = time.perf_counter()
    quantiles = forecast(test)
    forecast_seconds = time.perf_counter() - begun
    return Outcome(
        test=test,
        train_windows=_count(development, "train"),
        quantiles=quantiles,
        validation=validation,
        validation_quantiles=forecast(validation),
        parameters={"total": 0, "trainable": 0},
        start_up=begun - started,
        forecast_seconds=forecast_seconds,
    )


def run_model(job: RunJob, windows: Path, output: Path, started: float) -> Outcome:
    """Train on the development windows, then open the test split and forecast it, and the validation split.

    What was learned is stored in the folder `adapter` of output and read back for the forecast: what a user will load
    is what is scored. started: when the process began, on the clock of `time.perf_counter`.
    """
    import torch

    from workflow_scripts.training import forecasting, inference

    development = _read_development(windows)
    asked = time.perf_counter()
    with lease_device() as leased:
        waited = time.perf_counter() - asked
        device = torch.device(leased.torch_name)
        entry, parameters = variant(job.model), job.parameters.forecast
        saved = inference.SavedModel(entry, job.weights, output / ADAPTER if job.arm.trains else None)
        tuned, model = None, None
        if job.arm.trains:
            tuned, start = _train(job, development, output, device)
        else:
            model = inference.load_saved_model(saved, parameters, device)
            adapt(model, job.arm, job.parameters.adaptation, job.seed)
            start = _note_start(model)
        test = read_windows(windows, ("test",))
        validation = development.select("validation")
        if not (tuned and tuned.failure):
            model = model or inference.load_saved_model(saved, parameters, device)

        def forecast(windows: Windows) -> NDArray[np.float32]:
            arrays = window_arrays(windows, entry)
            if model is None:
                return forecasting.no_forecast(arrays, parameters)
            return forecasting.forecast(model, arrays, windows.window_id, parameters, job.seed, device)

        begun = time.perf_counter()
        quantiles = forecast(test)
        forecast_seconds = time.perf_counter() - begun
        again = None
        if model is not None:
            again = forecasting.forecast_again(
                model, window_arrays(test, entry), test.window_id, parameters, job.seed, device
            )
        validation_quantiles = forecast(validation)

        def draw_paths(windows: Windows) -> NDArray[np.float32] | None:
            if model is None or not parameters.event_paths or not model.joint_paths:
                return None
            more = parameters.model_copy(update={"samples": parameters.event_paths})
            arrays = window_arrays(windows, entry)
            return forecasting.forecast_paths(model, arrays, windows.window_id, more, job.seed, device)

        paths, validation_paths = draw_paths(test), draw_paths(validation)
    return Outcome(
        test=test,
        train_windows=_count(development, "train"),
        quantiles=quantiles,
        validation=validation,
        validation_quantiles=validation_quantiles,
        parameters=start.parameters,
        start_up=start.ready - waited - started,  # Waiting for a device is no start-up.
        forecast_seconds=forecast_seconds,
        again=again,
        tuned=tuned,
        growth_host_mib=max(0.0, host_peak_since_mib() - start.host_mib),
        peak_device_mib=torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None,
        adapter_mib=folder_mib(output / ADAPTER) if tuned else None,
        paths=paths,
        validation_paths=validation_paths,
    )


def _train(job: RunJob, development: Windows, output: Path, device: "torch.device") -> "tuple[Tuned, _Start]":
    """Train every candidate on the development windows; the best on validation becomes the folder `adapter`."""
    from workflow_scripts.training.tuning import train_best

    entry = variant(job.model)
    starts: list[_Start] = []

    def prepare(candidate: TrainingParameters) -> "tuple[ForecastModel, TrainingHooks]":
        model = _untrained(job, entry, development)
        hooks = adapt(model, job.arm, job.parameters.adaptation, job.seed, candidate.steps)
        if not starts:
            starts.append(_note_start(model))
        return model, hooks

    def keep(model: "ForecastModel") -> None:
        with atomic_folder(output / ADAPTER) as folder:
            save_adapter(
                model, job.arm, folder, job.model, _trained_on(development.metadata), job.weights_hash
            )
            card = model_card(read_arm(folder), job.dataset, entry.licence, entry.hub_id)
            write_text(folder / "README.md", card)
            mark_trained_on(folder, job.dataset)

    tuned = train_best(
        prepare,
        keep,
        candidates(entry, job.parameters, _count(development, "train")),
        window_arrays(development.select("train"), entry),
        window_arrays(development.select("validation"), entry),
        job.seed,
        device,
        output / CHECKPOINTS,
    )
    return tuned, starts[0]


def candidates(entry: Variant, parameters: RunParameters, train_windows: int) -> list[TrainingParameters]:
    """The budgets that an arm tries: the study's, or a model's own from scratch where that is asked for."""
    if entry.from_scratch and parameters.training.from_scratch == "released":
        return [released_budget(entry.training, train_windows)]
    return parameters.tuning.candidates(parameters.training)


def _untrained(job: RunJob, entry: Variant, windows: Windows) -> "ForecastModel":
    """The model as every candidate starts from it: base weights, or a seeded random start."""
    from workflow_scripts.training import inference

    if entry.from_scratch:
        geometry = {"context": windows.metadata.context, "horizon": windows.metadata.horizon}
        return family_class(entry.family).create(entry.sizes | geometry, job.seed)
    return inference.load_base_model(entry, job.weights)


def _trained_on(windows: WindowMetadata) -> TrainedOn:
    return TrainedOn(**{field.name: getattr(windows, field.name) for field in fields(TrainedOn)})


def _note_start(model: "ForecastModel") -> _Start:
    return _Start(count_parameters(model), time.perf_counter(), begin_host_peak())


def _read_development(windows: Path) -> Windows:
    return read_windows(windows, ("train", "validation"))


def _count(windows: Windows, split: str) -> int:
    return int((windows.split == split).sum())
