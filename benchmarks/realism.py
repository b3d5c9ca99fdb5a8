"""How near the simulated patients are to real ones: statistics of vital signs hour by hour, side by side.

Every data set is read as the study reads it, from its table of vital signs and its cohort `all`, on the hourly grid.
Autocorrelations are those of the first three days of stays with at least two days of values, about each stay's own
mean, so that data sets whose records end early can be compared.

    for dataset in simulated mimic-iii-demo challenge-2019; do
        snakemake --cores all --config dataset=$dataset cohorts='[all]' -- data
    done
    python -m benchmarks.realism simulated mimic-iii-demo challenge-2019 --output realism.md
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from typer import Argument, Option

from benchmarks import harness
from workflow_scripts.sources.contract import Stays, read_measurements, read_stays
from workflow_scripts.sources.source import source_of
from workflow_scripts.windows.grid import make_grid

VITALS = (
    "heart_rate", "mean_blood_pressure", "systolic_blood_pressure", "diastolic_blood_pressure", "respiratory_rate",
    "spo2",
)  # fmt: skip
LEAST_VALUES, COMPARED_HOURS, LEAST_HOURS = 24, 72, 48
Hours = NDArray[np.float64]


def realism(
    datasets: Annotated[list[str], Argument(help="data sets whose tables are made, the simulated one first")],
    vitals: Annotated[list[str], Option(help="a vital sign, once for each")] = VITALS,
    output: harness.Output = None,
) -> None:
    """Describe the vital signs of several data sets, hour by hour."""
    rows = []
    stays = {name: read_stays(Path(source_of(name).cohort.format(cohort="all"))) for name in datasets}
    for vital in vitals:
        described = {
            name: describe(hourly(stays[name], Path(source_of(name).values), vital)) for name in datasets
        }
        rows += [
            {
                "vital sign": vital,
                "statistic": statistic,
                **{name: described[name][statistic] for name in datasets},
            }
            for statistic in described[datasets[0]]
        ]
    harness.report({"Vital signs, hour by hour": rows, "Stays": [outcomes(stays)]}, output)


def hourly(stays: Stays, values: Path, vital: str) -> Hours:
    """The hourly medians of a vital sign, float64 [stays, hours], NaN where nothing was charted."""
    grid = make_grid(stays, read_measurements(values, vital), interval_minutes=60)
    hours = grid.cut(grid.offsets[:-1], int(grid.charted_lengths.max())).astype(np.float64)
    hours[np.arange(hours.shape[1]) >= grid.lengths[:, None]] = np.nan
    return hours


def describe(hours: Hours) -> dict[str, float]:
    """Spread, hourly change and memory of a vital sign [stays, hours], in its unit."""
    charted = np.isfinite(hours)
    long = hours[charted.sum(axis=1) >= LEAST_VALUES]
    mean = np.nanmean(long, axis=1)
    change = np.abs(np.diff(hours, axis=1))
    change = change[np.isfinite(change)]
    low, high = np.nanquantile(hours, [0.01, 0.99])
    return {
        "mean": float(np.nanmean(hours)),
        "sd": float(np.nanstd(hours)),
        "sd between stays": float(mean.std()),
        "sd within a stay": float(np.sqrt(np.nanmean((long - mean[:, None]) ** 2))),
        "1 % of values below": float(low),
        "1 % of values above": float(high),
        **{f"hourly change, {share} %": float(np.quantile(change, share / 100)) for share in (50, 95, 99)},
        **{f"autocorrelation, {lag} h": autocorrelation(hours, lag) for lag in (1, 6, 12, 24)},
    }


def autocorrelation(hours: Hours, lag: int) -> float:
    """The correlation of values so many hours apart, about their stay's mean, over all stays long enough."""
    first = hours[:, :COMPARED_HOURS]
    first = first[np.isfinite(first).sum(axis=1) >= LEAST_HOURS]
    first = first - np.nanmean(first, axis=1, keepdims=True)
    before, after = first[:, :-lag], first[:, lag:]
    both = np.isfinite(before) & np.isfinite(after)
    before, after = before[both], after[both]
    return float((before * after).mean() / np.sqrt((before**2).mean() * (after**2).mean()))


def outcomes(stays: dict[str, Stays]) -> dict[str, str | float]:
    """The share of stays of patients who died in hospital; where no death is known, 0."""
    return {"statistic": "died in hospital"} | {
        name: float(of.died_in_hospital.mean()) for name, of in stays.items()
    }


app = harness.command_line(realism)

if __name__ == "__main__":
    harness.run(app)
