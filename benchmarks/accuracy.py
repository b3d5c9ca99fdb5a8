"""Zero-shot errors of embedded models on every window of a data set. Only figures over many windows are printed.

Nothing is trained here, so training, validation and test windows all count. Errors are also given relative to carrying
the last value forward. Lag-Llama is forecast by each of its samplers: `frozen` is given the same uniform numbers as
`exact`, and `exact` with other numbers is the measure of chance.

    snakemake --cores 1 --config dataset=mimic-iii-demo --until make_windows
    python -m benchmarks.accuracy data/mimic-iii-demo/windows/*/*.parquet
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from typer import Argument, Option

from benchmarks import harness
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.baselines import forecast_baseline
from workflow_scripts.models.registry import variant
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.models.weights import load_variant
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.reading import Windows, read_windows

METRICS = ("mse", "mae", "wql", "mape", "dtw", "coverage_80")
RELATIVE = ("mse", "mae", "wql")
SAMPLERS = {"exact": ("exact", 0), "frozen": ("frozen", 0), "exact, other numbers": ("exact", 1)}
"""Sampler and seed of Lag-Llama's forecasts; the first is what the others are compared with."""


def accuracy(
    windows: Annotated[list[Path], Argument(help="files of the window step")],
    models: harness.Models = harness.NANO,
    weights: Annotated[Path, Option(help="folder with one folder for each model")] = EMBEDDED_FOLDER,
    samples: harness.Samples = 20,
    output: harness.Output = None,
) -> None:
    """Score models zero-shot, and say how far Lag-Llama's samplers differ."""
    # Plain independent paths: their noise is the measure of chance.
    parameters = ForecastParameters(protocol="paper", samples=samples)
    tables: dict[str, list[harness.Row]] = {}
    for path in windows:
        read = read_windows(path)
        about, patients = read.metadata, len(np.unique(read.subject_id))
        title = f"{path.parent.name}, {about.vital}, {about.unit}: {len(read)} windows of {patients} patients"
        found = dict(forecasts(read, models, weights, parameters))
        tables[title] = error_rows(read, found, parameters)
        tables[f"{title}; medians less those of exact"] = gap_rows(found, parameters)
    harness.report(tables, output)


def forecasts(
    windows: Windows, models: list[str], weights: Path, parameters: ForecastParameters
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Names and quantiles in natural units, persistence first; a model's as a run of the study makes them."""
    about = windows.metadata
    for name in ("persistence", "mean-of-context"):
        yield (
            name,
            forecast_baseline(
                name, windows.context, about.horizon, parameters.quantiles, about.interval_minutes
            ),
        )
    for name in models:
        model, arrays = load_variant(variant(name), weights / name), window_arrays(windows, variant(name))
        for label, (sampler, seed) in SAMPLERS.items() if model.samplers else [("", ("", 0))]:
            if model.samplers:
                model.sampler = sampler
            drawn = forecast(model, arrays, windows.window_id, parameters, seed, torch.device("cpu"))
            yield f"{name}, {label}" if label else name, drawn


def error_rows(
    windows: Windows, found: dict[str, NDArray[np.float32]], parameters: ForecastParameters
) -> list[harness.Row]:
    """Each forecaster's errors, and some of them over those of persistence."""
    scale = windows.metadata.scale_low, windows.metadata.scale_high
    rows: list[dict[str, Any]] = []
    for name, quantiles in found.items():
        errors = score(windows.target, quantiles, parameters.quantiles, *scale).metrics
        rows.append({"model": name} | {metric: errors[metric] for metric in METRICS})
        rows[-1] |= {f"{metric}, relative": errors[metric] / rows[0][metric] for metric in RELATIVE}
    return rows


def gap_rows(found: dict[str, NDArray[np.float32]], parameters: ForecastParameters) -> list[harness.Row]:
    """How far the medians of Lag-Llama's samplers lie from those of `exact`, in the vital sign's unit."""
    middle = parameters.quantiles.index(0.5)
    rows = []
    for name, quantiles in found.items():
        model, _, label = name.partition(", ")
        if label in SAMPLERS:
            gap = quantiles[:, middle].astype(np.float64) - found[f"{model}, exact"][:, middle]
            rows.append(
                {
                    "model": name,
                    "mean": float(gap.mean()),
                    "mean absolute": float(abs(gap).mean()),
                    "95 % are below": float(np.quantile(abs(gap), 0.95)),
                    "mean absolute, first step": float(abs(gap[:, 0]).mean()),
                    "mean absolute, last step": float(abs(gap[:, -1]).mean()),
                }
            )
    return rows


app = harness.command_line(accuracy)

if __name__ == "__main__":
    harness.run(app)
