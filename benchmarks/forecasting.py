"""A forecast: ours against each family's own, on the same weights, and whether both draw from one distribution.

- Chronos: `ChronosPipeline.predict` of the chronos package.
- MOIRAI: `MoiraiForecast.forward` of uni2ts, to which Lightning's predictor adds the transformation of each series,
  which is left out here, in favour of upstream.

The two are compared point by point over many samples of two windows, by the two-sample test of Kolmogorov and Smirnov:
the table has the smallest p-value, times the number of points (Bonferroni), which is small where they differ.

Lag-Llama's two samplers are compared with upstream's loop path by path: all are given the same uniform numbers, so
`exact` must draw upstream's paths, to rounding. Each has a process of its own, so that its peak memory is its own.

    python -m benchmarks.forecasting families
    python -m benchmarks.forecasting families --models chronos-t5-small --windows 8 --rounds 2 --compared 0
    python -m benchmarks.forecasting lag-llama
"""

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from typer import Option

from benchmarks import harness
from workflow_scripts.models.interface import Series
from workflow_scripts.models.registry import VARIANTS

LOOPS = ("upstream", "exact", "frozen")
LAG_LLAMA_CONTEXT, LONGEST_LAG = 32, 1092

Draw = Callable[[Series, int, int], np.ndarray]
"""context, samples, horizon. Returns paths [windows, samples, horizon]."""


def families(
    models: harness.Models = ("chronos-t5-nano", "moirai-nano"),
    windows: Annotated[int, Option(help="windows in the batch")] = 32,
    samples: harness.Samples = 20,
    horizons: Annotated[list[int], Option(help="points to forecast, once for each horizon")] = (12, 36),
    rounds: harness.Rounds = 5,
    compared: Annotated[int, Option(help="samples of two windows to compare distributions by, or 0")] = 1000,
    output: harness.Output = None,
) -> None:
    """Compare forecasts of Chronos and MOIRAI with those of their own packages."""
    harness.one_thread()
    harness.print_about(f"{windows} windows, {samples} samples, context 24; {rounds} rounds; CPU time")
    rows = [measure(name, steps, windows, samples, rounds, compared) for name in models for steps in horizons]
    harness.report({"Forecasts": rows}, output)


def measure(name: str, horizon: int, windows: int, samples: int, rounds: int, compared: int) -> harness.Row:
    """One model and horizon."""
    context = _context(windows, horizon)
    model = harness.random_model(name)
    ours = partial(draw, model)
    upstream = UPSTREAM[VARIANTS[name].family](model, context, horizon)
    cases = {
        name: partial(harness.cpu_seconds, partial(way, context, samples, horizon))
        for name, way in (("ours", ours), ("upstream", upstream))
    }
    seconds = harness.in_turn(cases, rounds)
    return {
        "model": name,
        "horizon": horizon,
        "ours, ms": 1e3 * min(seconds["ours"]),
        "upstream, ms": 1e3 * min(seconds["upstream"]),
        "times faster": harness.ratio(seconds["upstream"], seconds["ours"]),
        "same distribution: p": _p_value(ours, upstream, horizon, compared) if compared else None,
    }


def _context(windows: int, horizon: int) -> Series:
    made = harness.noisy_days(windows, horizon)
    return Series(torch.from_numpy(made.context), torch.from_numpy(made.start), harness.STEP)


def draw(model: Any, context: Series, samples: int, horizon: int) -> np.ndarray:
    """This project's sampling."""
    with torch.inference_mode():
        return model.sample(context, _uniforms(len(context.values), samples, horizon)).numpy()


def _uniforms(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(harness.SEED))


def _p_value(ours: Draw, upstream: Draw, horizon: int, samples: int) -> float:
    """The smallest p-value of the points' tests for equal distributions, times their number, at most 1."""
    from scipy.stats import ks_2samp

    context = _context(2, horizon)
    our, other = (way(context, samples, horizon) for way in (ours, upstream))
    levels = ks_2samp(our, other, axis=1, method="asymp").pvalue
    return min(1.0, float(levels.min() * levels.size))


def chronos(model: Any, context: Series, horizon: int) -> Draw:  # noqa: ARG001
    """The chronos package's own pipeline around the same module."""
    from chronos import ChronosConfig, ChronosPipeline
    from chronos.chronos import ChronosModel

    config = ChronosConfig(**model.module.config.chronos_config)
    pipeline = ChronosPipeline(config.create_tokenizer(), ChronosModel(config, model.module))

    def predict(given: Series, samples: int, steps: int) -> np.ndarray:
        torch.manual_seed(harness.SEED)
        return pipeline.predict(given.values, prediction_length=steps, num_samples=samples).numpy()

    return predict


def moirai(model: Any, context: Series, horizon: int) -> Draw:
    """uni2ts' forecast module around the same module."""
    from uni2ts.model.moirai.forecast import MoiraiForecast

    length = context.values.shape[1]
    forecaster = MoiraiForecast(
        prediction_length=horizon,
        target_dim=1,
        feat_dynamic_real_dim=0,
        past_feat_dynamic_real_dim=0,
        context_length=length,
        module=model.module,
        patch_size=model.patch_size(length),
    ).eval()

    def predict(given: Series, samples: int, _: int) -> np.ndarray:
        torch.manual_seed(harness.SEED)
        values = given.values[..., None]
        observed = torch.ones_like(values, dtype=torch.bool)
        padded = torch.zeros(values.shape[:2], dtype=torch.bool)
        with torch.inference_mode():
            return forecaster(values, observed, padded, num_samples=samples).numpy()

    return predict


UPSTREAM: dict[str, Callable[[Any, Series, int], Draw]] = {"chronos": chronos, "moirai": moirai}


def lag_llama(
    series: Annotated[int, Option(help="series in the batch")] = 32,
    samples: harness.Samples = 20,
    horizon: Annotated[int, Option(help="points to forecast")] = 12,
    rounds: harness.Rounds = 3,
    output: harness.Output = None,
) -> None:
    """Compare Lag-Llama's samplers at the released size, random weights, with upstream's loop."""
    harness.print_about(
        f"{series} series, {samples} samples, context {LAG_LLAMA_CONTEXT}, horizon {horizon}; {rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as folder:

        def measured(loop: str) -> harness.Cost:
            result, cost = harness.isolated(
                "benchmarks.forecasting:sample", loop, series, samples, horizon, folder
            )
            return harness.Cost(*result, cost.peak_mib)

        costs = harness.in_turn({loop: partial(measured, loop) for loop in LOOPS}, rounds)
        gaps = {loop: largest_gap(Path(folder), loop) for loop in LOOPS}
    slowest = costs["upstream"]
    rows = [
        {
            "loop": loop,
            **harness.median_cost(found).row(),
            "faster, wall": harness.ratio([cost.wall for cost in slowest], [cost.wall for cost in found]),
            "faster, CPU": harness.ratio([cost.cpu for cost in slowest], [cost.cpu for cost in found]),
            "largest gap to upstream's paths": gaps[loop],
        }
        for loop, found in costs.items()
    ]
    harness.report({"Lag-Llama's samplers (gaps as parts of a row's scale)": rows}, output)


def sample(loop: str, series: int, samples: int, horizon: int, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of one loop, without start-up; its paths go to a file of the folder."""
    from benchmarks.upstream_lag_llama import UpstreamNetwork, calendar_features
    from workflow_scripts.models.lag_llama import LagLlama

    harness.one_thread()
    model = LagLlama.create(VARIANTS["lag-llama"].sizes, seed=harness.SEED)
    values, uniforms, start = (
        lag_llama_values(series),
        _uniforms(series, samples, horizon),
        torch.arange(series) * harness.STEP,
    )
    if loop == "upstream":
        upstream = UpstreamNetwork(model.module.state_dict(), model.configuration)
        calendar = calendar_features(start, LONGEST_LAG, LAG_LLAMA_CONTEXT + horizon)
        work = partial(upstream.sample, values, calendar, uniforms)
    else:
        model.sampler = loop
        work = partial(model.sample, Series(values, start, harness.STEP), uniforms)
    begun = time.perf_counter(), time.process_time()
    drawn = work()
    seconds = time.perf_counter() - begun[0], time.process_time() - begun[1]
    np.save(Path(folder) / f"{loop}.npy", drawn.numpy())
    return seconds


def largest_gap(folder: Path, loop: str) -> float:
    """The largest difference between a loop's paths and those of upstream's loop, in the row's scale."""
    upstream, other = (np.load(folder / f"{name}.npy") for name in ("upstream", loop))
    low, high = np.quantile(lag_llama_values(len(other)).numpy(), [0.25, 0.75], axis=1)
    return float((abs(other - upstream) / (high - low)[:, None, None]).max())


def lag_llama_values(series: int) -> torch.Tensor:
    """Noisy daily rhythms at levels of their own, all observed; float32 [series, past]."""
    generator = torch.Generator().manual_seed(harness.SEED)
    length = LAG_LLAMA_CONTEXT + LONGEST_LAG
    phase = 2 * math.pi * (torch.arange(length) / 24 + torch.rand(series, 1, generator=generator))
    noise = torch.randn(series, length, generator=generator)
    return 60 + 40 * torch.rand(series, 1, generator=generator) + 5 * phase.sin() + noise


app = harness.command_line(families, lag_llama)

if __name__ == "__main__":
    harness.run(app)
