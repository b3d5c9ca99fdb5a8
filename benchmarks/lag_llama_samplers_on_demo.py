"""How far the forecasts and errors of Lag-Llama's two samplers differ on windows of a data set.

Every window is forecast by `exact`, by `frozen` with the same uniform numbers, and by `exact` with other
numbers, which is the measure: what the samplers differ by matters where it is more than chance. Nothing is
trained, so all windows serve, whatever their split. Only figures over many windows are printed.

    snakemake --cores 1 --config dataset=mimic-iii-demo --until make_windows
    python benchmarks/lag_llama_samplers_on_demo.py data/mimic-iii-demo/windows/*/*.parquet
"""

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.lag_llama import LagLlama
from workflow_scripts.models.registry import variant
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.reading import Windows, read_windows

METRICS = ("mse", "mape", "dtw", "mae", "wql", "coverage_80")
COLUMNS = {"exact": ("exact", 0), "frozen": ("frozen", 0), "exact, other numbers": ("exact", 1)}


def main() -> None:
    """Parse the arguments and print one table for each file of windows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("windows", nargs="+", type=Path, help="files of the window step")
    parser.add_argument(
        "--weights", type=Path, default=Path("weights/embedded/lag-llama-nano"), help="a model's folder"
    )
    parser.add_argument("--samples", type=int, default=20, help="sample paths for each window")
    options = parser.parse_args()
    model, parameters = LagLlama.load(options.weights), ForecastParameters(samples=options.samples)
    for path in options.windows:
        _compare(model, path, parameters)


def _compare(model: LagLlama, path: Path, parameters: ForecastParameters) -> None:
    windows = read_windows(path)
    quantiles, seconds = {}, {}
    for name, (sampler, seed) in COLUMNS.items():
        model.sampler = sampler
        begun = time.process_time()
        quantiles[name] = _forecast(model, windows, parameters, seed)
        seconds[name] = time.process_time() - begun
    about = windows.metadata
    print(f"\n{path.parent.name}, {about.vital}: {len(windows)} windows, {parameters.samples} samples")
    print(f"{'':<18}" + "".join(f"{name:>22}" for name in COLUMNS))
    scores = {
        name: score(windows.target, found, parameters.quantiles, about.scale_low, about.scale_high).metrics
        for name, found in quantiles.items()
    }
    for metric in METRICS:
        print(f"{metric:<18}" + "".join(f"{scores[name][metric]:>22.5g}" for name in COLUMNS))
    print(f"{'CPU seconds':<18}" + "".join(f"{seconds[name]:>22.1f}" for name in COLUMNS))
    middle = parameters.quantiles.index(0.5)
    medians = {name: found[:, middle].astype(np.float64) for name, found in quantiles.items()}
    print(f"medians less those of exact, {about.unit}")
    for kind, summary in (("mean", np.mean), ("mean absolute", _mean_absolute), ("95 % below", _high)):
        gaps = (f"{summary(medians[name] - medians['exact']):>22.3f}" for name in COLUMNS)
        print(f"{kind:<18}" + "".join(gaps))
    for step in (1, about.horizon):
        gaps = (medians[name] - medians["exact"] for name in COLUMNS)
        label = f"mean abs., step {step}"
        print(f"{label:<18}" + "".join(f"{_mean_absolute(gap[:, step - 1]):>22.3f}" for gap in gaps))


def _forecast(
    model: LagLlama, windows: Windows, parameters: ForecastParameters, seed: int
) -> NDArray[np.float32]:
    """Quantiles of every window in natural units, as a run of the study makes them."""
    import torch

    arrays = window_arrays(windows, variant("lag-llama"))
    return forecast(model, arrays, windows.window_id, parameters, seed, torch.device("cpu"))


def _mean_absolute(gap: NDArray[np.float64]) -> float:
    return float(np.abs(gap).mean())


def _high(gap: NDArray[np.float64]) -> float:
    return float(np.quantile(np.abs(gap), 0.95))


if __name__ == "__main__":
    main()
