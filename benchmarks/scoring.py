"""Scoring windows, and the end of a large study.

`windows`: dynamic time warping of many windows, and all metrics together; reach: 2 and 5 seconds for 100,000 windows.
The peer is dtaidistance's C code, called for one pair of series after another. It gives the accumulated distance
alone, not the length of its path, by which the metric is divided. Both are therefore compared where that length is
known: on rising series and themselves, shifted by less than any step, whose best path is the diagonal.

`study`: 1,000 finished runs to tables and report, and planning the paper's whole grid. The runs are fabricated as the
report's tests do it (tests/reporting/fabricated_study.py); the steps are the workflow's own commands. The peer of
aggregation is one plain reading of the same files with nothing computed. Planning is `snakemake -n` of
params/paper.yaml in an empty folder.

    python -m benchmarks.scoring windows
    python -m benchmarks.scoring study
"""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from typer import Option

from benchmarks import harness

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
ARMS = ("zero-shot", "full", *(f"lora-r{2**power}" for power in range(7)), "bitfit", "head-only", "ia3")
COHORTS = ("explicit", "sepsis3")
Array = NDArray[np.float64]


def windows(
    windows: Annotated[int, Option(help="windows that are scored")] = 100_000,
    points: Annotated[int, Option(help="points of a window")] = 36,
    rounds: harness.Rounds = 3,
    output: harness.Output = None,
) -> None:
    """Time the metrics, beside dtaidistance's DTW."""
    from workflow_scripts.evaluation.metrics import score
    from workflow_scripts.evaluation.warping import mean_warping_distance

    harness.print_about(f"{windows} windows of {points} points; {rounds} rounds; CPU time")
    truth, quantiles = forecasts(windows, points)
    median = quantiles[:, LEVELS.index(0.5)]
    cases = {
        "DTW": partial(mean_warping_distance, truth, median),
        "DTW, dtaidistance": partial(accumulated, truth, median),
        "all metrics": partial(score, truth, quantiles, LEVELS, 0.0, 300.0),
    }
    seconds = harness.in_turn(
        {name: partial(harness.cpu_seconds, work) for name, work in cases.items()}, rounds
    )
    rows = [
        {
            "what": name,
            "fastest, s": min(case),
            "slowest, s": max(case),
            "over DTW": harness.ratio(case, seconds["DTW"]),
        }
        for name, case in seconds.items()
    ]
    gap = {"largest difference of accumulated distances": largest_gap(truth)}
    harness.report({"Scoring": rows, "The same distance": [gap]}, output)


def forecasts(windows: int, points: int) -> tuple[Array, Array]:
    """Truths [windows, points] and forecast quantiles [windows, levels, points], beats per minute."""
    random = np.random.default_rng(harness.SEED)
    truth = 80 + random.normal(0, 2, (windows, points)).cumsum(axis=1)
    median = truth + random.normal(0, 5, truth.shape)
    return truth, median[:, None] + 10 * (np.array(LEVELS)[None, :, None] - 0.5)


def accumulated(truth: Array, forecast: Array) -> Array:
    """dtaidistance's accumulated |x - y| along the best path, for each pair."""
    from dtaidistance import dtw

    pairs = zip(truth, forecast, strict=True)
    return np.array([dtw.distance_fast(x, y, inner_dist="euclidean") for x, y in pairs])


def largest_gap(truth: Array) -> float:
    """Between both accumulated distances, where the best path is the diagonal."""
    from workflow_scripts.evaluation.warping import mean_warping_distance

    rising = np.sort(truth[:100], axis=1)
    shifted = rising - np.diff(rising, axis=1).min() / 2
    ours = mean_warping_distance(rising, shifted) * rising.shape[1]
    return float(np.abs(ours - accumulated(rising, shifted)).max())


def study(
    arms: harness.Arms = ARMS,
    seeds: Annotated[int, Option(help="seeds of each arm")] = 7,
    test_windows: Annotated[int, Option(help="test windows of each run")] = 300,
    plan: Annotated[bool, Option(help="plan the paper's grid with Snakemake too")] = True,
    output: harness.Output = None,
) -> None:
    """Aggregate and report fabricated runs, and plan the paper's grid; each once."""
    from tests.reporting.fabricated_study import fabricate_study

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = fabricate_study(
            folder,
            arms=tuple(arms),
            seeds=tuple(range(seeds)),
            cohorts=COHORTS,
            test_windows=test_windows,
            naive=False,
            statistics=False,
        )
        runs = sorted(str(path) for path in made.runs.rglob("run.json"))
        harness.print_about(f"{len(runs)} runs of {test_windows} test windows each; each step once")
        settings = json.loads(made.settings.read_text())
        settings["parameters"] |= {"runs": runs, "evaluation": {}}
        (folder / "aggregate.json").write_text(json.dumps(settings))
        shared = {"summary": folder, "windows": made.windows, "cohorts": folder / "cohorts"}
        commands = {
            "aggregate_metrics": harness.step(
                "aggregate_metrics", settings=folder / "aggregate.json", **shared
            ),
            "make_report": harness.step(
                "make_report",
                settings=made.settings,
                runs=made.runs,
                output=folder / "report.html",
                figures=folder / "figures",
                **shared,
            ),
        }
        if plan:
            paper = harness.ROOT / "params" / "paper.yaml"
            arguments = ("--dry-run", "--quiet", "all", "--configfile", paper)
            commands["snakemake -n, params/paper.yaml"] = harness.snakemake(2, *arguments)
        rows = [
            {
                "step": "plain reading of all files",
                **harness.isolated("benchmarks.scoring:read_runs", runs)[1].row(),
            }
        ]
        rows += [
            {"step": name, **harness.command_cost(command, folder).row()}
            for name, command in commands.items()
        ]
    harness.report({"The end of a study": rows}, output)


def read_runs(runs: list[str]) -> None:
    """Read every record and its forecasts."""
    import pyarrow.parquet as parquet

    for path in map(Path, runs):
        json.loads(path.read_text())
        parquet.read_table(path.with_name("forecasts.parquet"))


app = harness.command_line(windows, study)

if __name__ == "__main__":
    harness.run(app)
