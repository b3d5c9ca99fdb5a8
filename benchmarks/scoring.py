"""Scoring: dynamic time warping of many windows, and all metrics together; reach: 2 and 5 seconds for 100,000 windows.

The peer is dtaidistance's C code, called for one pair of series after another. It gives the accumulated distance alone,
not the length of its path, by which the metric is divided. Both are therefore compared where that length is known: on
rising series and themselves, shifted by less than any step, whose best path is the diagonal.

    python benchmarks/scoring.py
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from dtaidistance import dtw
from numpy.typing import NDArray
from side_by_side import SEED, about, in_turn, print_table, ratio

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.warping import mean_warping_distance

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
Array = NDArray[np.float64]


def main() -> None:
    """Parse the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=36, help="points of a window")
    parser.add_argument("--rounds", type=int, default=3, help="how often all cases are measured in turn")
    options = parser.parse_args()
    print(about(f"{options.windows} windows of {options.points} points; {options.rounds} rounds; CPU time"))
    truth, quantiles = forecasts(options.windows, options.points)
    median = quantiles[:, LEVELS.index(0.5)]
    seconds = in_turn(
        {
            "DTW": _timed(lambda: mean_warping_distance(truth, median)),
            "DTW, dtaidistance": _timed(lambda: accumulated(truth, median)),
            "all metrics": _timed(lambda: score(truth, quantiles, LEVELS, 0.0, 300.0)),
        },
        options.rounds,
    )
    rows = [(name, min(case), max(case), ratio(case, seconds["DTW"])) for name, case in seconds.items()]
    print_table(("what", "fastest, s", "slowest, s", "over DTW"), rows)
    print(f"largest difference of accumulated distances: {largest_gap(truth):.1e}")


def forecasts(windows: int, points: int) -> tuple[Array, Array]:
    """Truths [windows, points] and forecast quantiles [windows, levels, points], beats per minute."""
    random = np.random.default_rng(SEED)
    truth = 80 + random.normal(0, 2, (windows, points)).cumsum(axis=1)
    median = truth + random.normal(0, 5, truth.shape)
    return truth, median[:, None] + 10 * (np.array(LEVELS)[None, :, None] - 0.5)


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return seconds


def accumulated(truth: Array, forecast: Array) -> Array:
    """dtaidistance's accumulated |x - y| along the best path, for each pair."""
    pairs = zip(truth, forecast, strict=True)
    return np.array([dtw.distance_fast(x, y, inner_dist="euclidean") for x, y in pairs])


def largest_gap(truth: Array) -> float:
    """Between both accumulated distances, where the best path is the diagonal."""
    rising = np.sort(truth[:100], axis=1)
    shifted = rising - np.diff(rising, axis=1).min() / 2
    ours = mean_warping_distance(rising, shifted) * rising.shape[1]
    return float(np.abs(ours - accumulated(rising, shifted)).max())


if __name__ == "__main__":
    main()
