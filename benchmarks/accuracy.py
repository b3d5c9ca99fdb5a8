"""Errors of embedded models on every window of a data set. Only figures over many windows are printed.

Nothing is trained here, so training, validation and test windows all count. `models`: zero-shot, beside carrying the
last value forward. `samplers`: how far Lag-Llama's two samplers differ; `exact` with other uniform numbers is the
measure of chance.

    snakemake --cores 1 --config dataset=mimic-iii-demo --until make_windows
    python -m benchmarks.accuracy models data/mimic-iii-demo/windows/*/*.parquet
    python -m benchmarks.accuracy samplers data/mimic-iii-demo/windows/*/*.parquet
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from typer import Argument, Option

from benchmarks import harness
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.baselines import forecast_baseline
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.registry import variant
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.models.weights import load_variant
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.reading import Windows, read_windows

RELATIVE = ("mse", "mae", "wql")
METRICS = ("mse", "mape", "dtw", "mae", "wql", "coverage_80")
SAMPLERS = {"exact": ("exact", 0), "frozen": ("frozen", 0), "exact, other numbers": ("exact", 1)}

Files = Annotated[list[Path], Argument(help="files of the window step")]
Quantiles = NDArray[np.float32]


def models(
    windows: Files,
    weights: Annotated[Path, Option(help="folder with one folder for each model")] = EMBEDDED_FOLDER,
    samples: harness.Samples = 20,
    output: harness.Output = None,
) -> None:
    """Score every embedded model zero-shot, and relative to persistence."""
    harness.one_thread()
    parameters = ForecastParameters(samples=samples)
    harness.report(
        {_title(read): _model_rows(read, weights, parameters) for read in map(read_windows, windows)}, output
    )


def _model_rows(windows: Windows, weights: Path, parameters: ForecastParameters) -> list[harness.Row]:
    found = {
        name: forecast_baseline(
            name,
            windows.context,
            windows.metadata.horizon,
            parameters.quantiles,
            windows.metadata.interval_minutes,
        )
        for name in ("persistence", "mean-of-context")
    }
    for folder in sorted(path for path in weights.iterdir() if (path / "model.safetensors").exists()):
        model = load_variant(variant(folder.name), folder)
        found[folder.name] = _forecast(model, folder.name, windows, parameters)
    errors = {name: _errors(windows, quantiles, parameters) for name, quantiles in found.items()}
    return [_relative(name, own, errors["persistence"]) for name, own in errors.items()]


def _relative(name: str, errors: dict[str, Any], persistence: dict[str, Any]) -> harness.Row:
    pairs = {
        column: value
        for key in RELATIVE
        for column, value in ((key, errors[key]), (f"{key} / persistence", errors[key] / persistence[key]))
    }
    return {"model": name, **pairs, "coverage_80": errors["coverage_80"]}


def samplers(
    windows: Files,
    weights: Annotated[Path, Option(help="a model's folder")] = EMBEDDED_FOLDER / "lag-llama-nano",
    samples: harness.Samples = 20,
    output: harness.Output = None,
) -> None:
    """Compare the forecasts and errors of Lag-Llama's samplers."""
    harness.one_thread()
    parameters = ForecastParameters(samples=samples)
    harness.report(
        {_title(read): _sampler_rows(read, weights, parameters) for read in map(read_windows, windows)},
        output,
    )


def _sampler_rows(windows: Windows, weights: Path, parameters: ForecastParameters) -> list[harness.Row]:
    """One row for each figure, one column for each sampler."""
    model = load_variant(variant("lag-llama-nano"), weights)
    found: dict[str, Quantiles] = {}
    rows: dict[str, dict[str, Any]] = {"CPU seconds": {}}
    for name, (model.sampler, seed) in SAMPLERS.items():

        def draw(name: str = name, seed: int = seed) -> None:
            found[name] = _forecast(model, "lag-llama-nano", windows, parameters, seed)

        rows["CPU seconds"][name] = harness.cpu_seconds(draw)
    middle = parameters.quantiles.index(0.5)
    exact = found["exact"][:, middle].astype(np.float64)
    for name, quantiles in found.items():
        errors = _errors(windows, quantiles, parameters)
        gap = quantiles[:, middle] - exact
        figures = {metric: errors[metric] for metric in METRICS} | {
            "median less exact's: mean": gap.mean(),
            "mean absolute": abs(gap).mean(),
            "95 % are below": np.quantile(abs(gap), 0.95),
            "mean absolute, first step": abs(gap[:, 0]).mean(),
            "mean absolute, last step": abs(gap[:, -1]).mean(),
        }
        for figure, value in figures.items():
            rows.setdefault(figure, {})[name] = float(value)
    return [{"figure": figure, **values} for figure, values in rows.items()]


def _title(windows: Windows) -> str:
    about = windows.metadata
    patients = len(np.unique(windows.subject_id))
    return f"{about.vital}, {about.unit}: {len(windows)} windows of {patients} patients"


def _forecast(
    model: ForecastModel, name: str, windows: Windows, parameters: ForecastParameters, seed: int = 0
) -> Quantiles:
    """Quantiles of every window in natural units, as a run of the study makes them."""
    arrays = window_arrays(windows, variant(name))
    return forecast(model, arrays, windows.window_id, parameters, seed, torch.device("cpu"))


def _errors(windows: Windows, quantiles: Quantiles, parameters: ForecastParameters) -> dict[str, Any]:
    about = windows.metadata
    return score(windows.target, quantiles, parameters.quantiles, about.scale_low, about.scale_high).metrics


app = harness.command_line(models, samplers)

if __name__ == "__main__":
    harness.run(app)
