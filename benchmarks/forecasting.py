"""A forecast: ours against each family's own, on the same weights, and whether both draw from one distribution.

- Chronos: `ChronosPipeline.predict` of the chronos package.
- MOIRAI: `MoiraiForecast.forward` of uni2ts, to which Lightning's predictor adds the transformation of each series,
  which is left out here, in favour of upstream.

The two are compared point by point over many samples of two windows, by the two-sample test of Kolmogorov and Smirnov:
the table has the smallest p-value, times the number of points (Bonferroni), which is small where they differ.
Lag-Llama's samplers have a benchmark of their own, lag_llama_sampling.py, which compares them path by path.

    python benchmarks/forecasting.py
    python benchmarks/forecasting.py --models chronos-t5-small moirai-1.1-R-small --windows 8 --rounds 2 --compared 0
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from side_by_side import (
    SEED,
    STEP,
    about,
    in_turn,
    noisy_days,
    one_thread,
    print_table,
    random_model,
    ratio,
)

from workflow_scripts.models.interface import Series
from workflow_scripts.models.registry import VARIANTS

Draw = Callable[[Any, Series, int, int], np.ndarray]
"""model, context, samples, horizon. Returns paths [windows, samples, horizon]."""


def main() -> None:
    """Parse the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", default=("chronos-t5-nano", "moirai-nano"), choices=VARIANTS, metavar="MODEL"
    )
    parser.add_argument("--windows", type=int, default=32, help="windows in the batch")
    parser.add_argument("--samples", type=int, default=20, help="sample paths of each window")
    parser.add_argument("--horizons", type=int, nargs="+", default=[12, 36])
    parser.add_argument("--rounds", type=int, default=5, help="how often all cases are measured in turn")
    parser.add_argument(
        "--compared", type=int, default=1000, help="samples of two windows to compare distributions by, or 0"
    )
    options = parser.parse_args()
    one_thread()
    what = f"{options.windows} windows, {options.samples} samples, context 24"
    print(about(f"{what}; medians of {options.rounds} rounds; CPU time"))
    rows = [measure(name, horizon, options) for name in options.models for horizon in options.horizons]
    print_table(
        ("model", "horizon", "ours, ms", "upstream, ms", "times faster", "same distribution: p"),
        rows,
    )


def measure(name: str, horizon: int, options: argparse.Namespace) -> tuple[Any, ...]:
    """A row of the table."""
    model = random_model(name)
    context = _context(options.windows, horizon)
    upstream = UPSTREAM[VARIANTS[name].family](model, context, horizon)
    cases = {
        "ours": partial(_seconds, ours, model, context, options.samples, horizon),
        "upstream": partial(_seconds, upstream, model, context, options.samples, horizon),
    }
    seconds = in_turn(cases, options.rounds)
    level = compared(model, upstream, horizon, options.compared) if options.compared else "not compared"
    our, other = seconds["ours"], seconds["upstream"]
    return name, horizon, 1e3 * min(our), 1e3 * min(other), ratio(other, our), level


def _context(windows: int, horizon: int) -> Series:
    made = noisy_days(windows, horizon)
    return Series(torch.from_numpy(made.context), torch.from_numpy(made.start), STEP)


def _seconds(draw: Draw, model: Any, context: Series, samples: int, horizon: int) -> float:
    begun = time.process_time()
    draw(model, context, samples, horizon)
    return time.process_time() - begun


def ours(model: Any, context: Series, samples: int, horizon: int) -> np.ndarray:
    """This project's sampling."""
    generator = torch.Generator().manual_seed(SEED)
    uniforms = torch.rand(len(context.values), samples, horizon, dtype=torch.float64, generator=generator)
    with torch.inference_mode():
        return model.sample(context, uniforms).numpy()


def compared(model: Any, upstream: Draw, horizon: int, samples: int) -> float:
    """The smallest p-value of the points' tests for equal distributions, times their number, at most 1."""
    from scipy.stats import ks_2samp

    context = _context(2, horizon)
    our, other = (draw(model, context, samples, horizon) for draw in (ours, upstream))
    levels = ks_2samp(our, other, axis=1, method="asymp").pvalue
    return min(1.0, float(levels.min() * levels.size))


def chronos(model: Any, context: Series, horizon: int) -> Draw:  # noqa: ARG001
    """The chronos package's own pipeline around the same module."""
    from chronos import ChronosConfig, ChronosPipeline
    from chronos.chronos import ChronosModel

    config = ChronosConfig(**model.module.config.chronos_config)
    pipeline = ChronosPipeline(config.create_tokenizer(), ChronosModel(config, model.module))

    def draw(_: Any, given: Series, samples: int, steps: int) -> np.ndarray:
        torch.manual_seed(SEED)
        return pipeline.predict(given.values, prediction_length=steps, num_samples=samples).numpy()

    return draw


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

    def draw(_: Any, given: Series, samples: int, __: int) -> np.ndarray:
        torch.manual_seed(SEED)
        values = given.values[..., None]
        observed, padded = (
            torch.ones_like(values, dtype=torch.bool),
            torch.zeros(values.shape[:2], dtype=torch.bool),
        )
        with torch.inference_mode():
            return forecaster(values, observed, padded, num_samples=samples).numpy()

    return draw


UPSTREAM: dict[str, Callable[[Any, Series, int], Draw]] = {
    "chronos": chronos,
    "moirai": moirai,
}

if __name__ == "__main__":
    main()
