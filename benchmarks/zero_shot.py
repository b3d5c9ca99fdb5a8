"""Zero-shot forecasts of embedded models on every window of a file, beside carrying the last value forward.

No model is adapted here, so no window was trained on: training, validation and test windows all count.

    python benchmarks/zero_shot.py --weights weights/embedded \\
        --windows data/mimic-iii-demo/windows/explicit/heart_rate.parquet
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.baselines import forecast_baseline
from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import load_variant
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.reading import Windows, read_windows

SHOWN = ("mse", "mae", "wql", "coverage_80")


def main() -> None:
    """Print one line for each model: its errors, and how large they are beside those of persistence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, type=Path, help="folder with one folder for each model")
    parser.add_argument("--windows", required=True, type=Path, nargs="+", help="Parquet files of windows")
    parser.add_argument("--samples", type=int, default=20, help="sample paths for each window")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for path in arguments.windows:
        windows = read_windows(path)
        print(f"\n{path}: {len(windows)} windows of {len(np.unique(windows.subject_id))} patients")
        print(
            f"{'model':18}" + "".join(f"{name:>14}{'relative':>10}" for name in SHOWN[:3]) + f"{SHOWN[3]:>14}"
        )
        baseline: dict[str, float | None] = {}
        for name, quantiles in _forecasts(windows, arguments.weights, arguments.samples):
            levels, scale = ForecastParameters().quantiles, windows.metadata
            metrics = score(windows.target, quantiles, levels, scale.scale_low, scale.scale_high).metrics
            baseline = baseline or metrics
            print(
                f"{name:18}"
                + "".join(f"{metrics[key]:14.5f}{metrics[key] / baseline[key]:10.3f}" for key in SHOWN[:3])
                + f"{metrics[SHOWN[3]]:14.3f}"
            )


def _forecasts(windows: Windows, weights: Path, samples: int) -> Iterator[tuple[str, np.ndarray]]:
    """Quantiles in natural units, persistence first."""
    drawing = ForecastParameters(samples=samples)
    for name in ("persistence", "mean-of-context"):
        horizon, interval = windows.metadata.horizon, windows.metadata.interval_minutes
        yield name, forecast_baseline(name, windows.context, horizon, drawing.quantiles, interval)
    for folder in sorted(path for path in weights.iterdir() if path.is_dir()):
        model = load_variant(variant(folder.name), folder)
        arrays = window_arrays(windows, variant(folder.name))
        yield folder.name, forecast(model, arrays, windows.window_id, drawing, 0, torch.device("cpu"))


if __name__ == "__main__":
    main()
