"""What sampling alone does to the metrics, for each family, arm and number of samples.

Test windows are forecast several times with other random numbers. The table has the variance of the median over these
forecasts as a share of the MSE (the Monte-Carlo part), the
coverage of the 80 % interval, the quantile loss relative to that of many samples, and CPU seconds for 100 windows.

    snakemake --cores all --until make_windows
    python -m benchmarks.monte_carlo data/simulated/windows/sepsis3/heart_rate.parquet
"""

import time
from contextlib import redirect_stderr
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from typer import Argument, Option

from benchmarks import harness
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.registry import variant
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.training.data import WindowArrays, window_arrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.inference import SavedModel, load_saved_model
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters
from workflow_scripts.windows.reading import Windows, read_windows

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A trained arm and the windows that it forecasts."""

    model: ForecastModel
    windows: Windows
    arrays: WindowArrays

    def forecasts(self, parameters: ForecastParameters, repeats: int) -> tuple[list[NDArray], float]:
        """Quantiles with as many seeds, and CPU seconds of one forecast."""
        begun = time.process_time()
        ids = self.windows.window_id
        with redirect_stderr(StringIO()):  # Hundreds of progress lines would be no news.
            found = [forecast(self.model, self.arrays, ids, parameters, seed, CPU) for seed in range(repeats)]
        return found, (time.process_time() - begun) / repeats


def monte_carlo(
    windows: Annotated[Path, Argument(help="a file of the window step")],
    models: harness.Models = harness.NANO,
    weights: Annotated[Path, Option(help="folder with one folder for each model")] = EMBEDDED_FOLDER,
    arms: harness.Arms = ("zero-shot", "lora-r2"),
    samples: Annotated[list[int], Option(help="sample paths, once for each number")] = (10, 20, 50),
    reference: Annotated[int, Option(help="sample paths of what the quantile loss is compared with")] = 200,
    repeats: Annotated[int, Option(help="forecasts with other random numbers")] = 4,
    most: Annotated[int, Option(help="test windows at most")] = 128,
    output: harness.Output = None,
) -> None:
    """Measure the Monte-Carlo part of the errors."""
    harness.one_thread()
    harness.print_about(f"{windows}: up to {most} test windows, {repeats} forecasts each")
    rows = []
    for name in models:
        for arm in arms:
            case = prepare(windows, name, weights, Arm.parse(arm), most)
            rows += [{"model": name, "arm": arm} | row for row in measure(case, samples, reference, repeats)]
    harness.report({"Monte-Carlo part of the errors": rows}, output)


def prepare(path: Path, name: str, weights: Path, arm: Arm, most: int) -> Case:
    """Train an arm as a run does, with the study's defaults."""
    entry, seed = variant(name), 0
    model = load_saved_model(SavedModel(entry, weights / name), ForecastParameters(), CPU)
    hooks = adapt(model, arm, AdaptationParameters(), seed, TrainingParameters().steps)
    if arm.trains:
        splits = (window_arrays(read_windows(path, (split,)), entry) for split in ("train", "validation"))
        with redirect_stderr(StringIO()):
            fit(model, *splits, TrainingParameters(), seed, CPU, hooks=hooks)
    test = spread(read_windows(path, ("test",)), most)
    return Case(model, test, window_arrays(test, entry))


def spread(windows: Windows, most: int) -> Windows:
    """So many of the windows, evenly spread."""
    rows = np.unique(np.linspace(0, len(windows) - 1, min(most, len(windows))).astype(np.int64))
    names = [field.name for field in fields(windows) if field.name != "metadata"]
    return replace(windows, **{name: getattr(windows, name)[rows] for name in names})


def measure(case: Case, samples: list[int], reference: int, repeats: int) -> list[harness.Row]:
    """One row for each protocol and number of samples; what is exact has one row."""
    exact = ForecastParameters()
    if case.model.exact_quantiles:
        settings = [ForecastParameters(protocol="paper"), exact]
        best = exact
    else:
        settings = [ForecastParameters(protocol="paper"), *(ForecastParameters(samples=s) for s in samples)]
        best = ForecastParameters(samples=reference)
    (finest,), _ = case.forecasts(best, 1)
    least = scored(case, finest)["wql"]
    rows = []
    for parameters in settings:
        found, seconds = case.forecasts(parameters, repeats)
        metrics = [scored(case, quantiles) for quantiles in found]
        means = {
            name: float(np.mean([each[name] for each in metrics])) for name in ("mse", "wql", "coverage_80")
        }
        is_exact = case.model.exact_quantiles and parameters is exact
        rows.append(
            {
                "protocol": parameters.protocol,
                "samples": "exact" if is_exact else str(parameters.samples),
                "noise, % of MSE": 100 * noise(case, found) / means["mse"],
                "coverage, %": 100 * means["coverage_80"],
                "WQL above the finest, %": 100 * (means["wql"] / least - 1),
                "CPU s for 100 windows": seconds * 100 / len(case.windows),
            }
        )
    return rows


def noise(case: Case, found: list[NDArray]) -> float:
    """Variance of the median over forecasts, on the scale and with the weights of the MSE."""
    metadata, middle = case.windows.metadata, ForecastParameters().quantiles.index(0.5)
    medians = np.stack([quantiles[:, middle] for quantiles in found]).astype(np.float64)
    variance = medians.var(axis=0, ddof=1) / (metadata.scale_high - metadata.scale_low) ** 2
    return float(np.nanmean(np.where(np.isnan(case.windows.target), np.nan, variance), axis=1).mean())


def scored(case: Case, quantiles: NDArray) -> dict[str, float]:
    """The metrics of one forecast."""
    metadata, levels = case.windows.metadata, ForecastParameters().quantiles
    scores = score(case.windows.target, quantiles, levels, metadata.scale_low, metadata.scale_high)
    return {name: float("nan") if value is None else value for name, value in scores.metrics.items()}


app = harness.command_line(monte_carlo)

if __name__ == "__main__":
    harness.run(app)
