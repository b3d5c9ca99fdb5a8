"""Print the study's results as a compact table, and where everything lies.

Example:
    python -m workflow_scripts.show_summary --dataset mimic-iii-demo
"""

import argparse
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import yaml

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.summary import IntervalRow, RunRow, read_metrics, read_rows
from workflow_scripts.runtime.step import run_step
from workflow_scripts.settings import Study, load_study

HEADER = ("model", "arm", "MSE e-4", "MAPE %", "DTW e-3", "trainable", "seconds")


def main() -> None:
    """Print the table of each cohort and vital sign, then the places."""
    study = _study(_parse_arguments())
    results = Path("results") / study.dataset
    rows = read_metrics(results / "summary" / "metrics.csv")
    intervals = _intervals(results / "summary" / "intervals.csv")
    for (cohort, vital), group in groupby(rows, key=lambda row: (row.cohort, row.vital)):
        runs = list(group)
        print(f"\n{_title(cohort, vital, runs)}")
        print("\n".join(_table(summarise_arms(runs), intervals)))
    print(_places(study, results, rows))


def _intervals(path: Path) -> dict[tuple[str, str, str, str], IntervalRow]:
    """The intervals of MSE by cohort, vital sign, model and arm; none where the summary has none."""
    rows = read_rows(path, IntervalRow) if path.exists() else []
    return {(row.cohort, row.vital, row.model, row.arm): row for row in rows if row.metric == "mse"}


def _title(cohort: str, vital: str, rows: list[RunRow]) -> str:
    seeds = len({row.seed for row in rows})
    data = f"{rows[0].test_windows} test windows of {rows[0].test_patients} patients"
    over_seeds = f", mean of {seeds} seeds" if seeds > 1 else ""
    return f"{vital} - cohort {cohort}, {rows[0].dataset}, {data}{over_seeds}"


def _table(arms: list[ArmSummary], intervals: Mapping[tuple[str, str, str, str], IntervalRow]) -> list[str]:
    """Aligned lines; the smallest MSE is marked, and what is not distinguishable from it.

    A failed arm has its reason below instead of errors.
    """
    whole = [error for arm in arms if (error := arm.mean("mse")) is not None]
    best = min(whole, default=None)
    lines = [_line([*HEADER])]
    previous = ""
    for arm in arms:
        run = arm.first
        name = run.model if run.model != previous else ""
        previous = run.model
        interval = intervals.get(_name(arm))
        near = interval is not None and interval.above_best_low is not None and interval.above_best_low <= 0
        is_best = best is not None and arm.mean("mse") == best
        errors = [
            _number(arm.mean("mse"), 1e4) + ("*" if is_best else "~" if near else " "),
            _number(arm.mean("mape"), 1),
            _number(arm.mean("dtw"), 1e3),
        ]
        cost = [f"{run.trainable_parameters:,}", _number(arm.mean("total_seconds"), 1, 1)]
        lines.append(_line([name, run.arm, *errors, *cost]))
        if arm.reason:
            lines.append(f"    {'failed: ' if arm.failed else ''}{arm.reason}"[:100])
    reasons = {row.reason for arm in arms if (row := intervals.get(_name(arm))) and not arm.failed}
    if reasons and "" not in reasons:
        lines.append(f"  no intervals, so no difference is claimed: {', '.join(sorted(reasons))}"[:100])
    return lines


def _name(arm: ArmSummary) -> tuple[str, str, str, str]:
    return arm.first.cohort, arm.first.vital, arm.first.model, arm.first.arm


def _number(value: float | None, factor: float, digits: int = 2) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _line(cells: list[str]) -> str:
    model, arm, *numbers = cells
    widths = (10, 8, 9, 14, 9)
    aligned = "".join(f"{cell:>{width}}" for cell, width in zip(numbers, widths, strict=True))
    return f"  {model:<28}{arm:<14}{aligned}".rstrip()


def _places(study: Study, results: Path, rows: list[RunRow]) -> str:
    failed = sum(row.status != "ok" for row in rows)
    lines = [
        "",
        f"{len(rows)} runs, {failed} failed. MSE, MAPE and DTW are of the scaled series. * smallest MSE",
        "~ not distinguishable from it: the interval of the paired difference holds zero",
        f"results: {results}/summary/metrics.csv",
        f"report:  {results}/report.html",
        f"runs:    mlflow ui --host 127.0.0.1 --backend-store-uri {study.tracking.uri}",
    ]
    return "\n".join(lines)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings of the study")
    parser.add_argument("--dataset", help="data set whose results are shown; by default that of the settings")
    return parser.parse_args()


def _study(options: argparse.Namespace) -> Study:
    values = yaml.safe_load(options.params.read_text(encoding="utf-8")) or {}
    if options.dataset:
        values["dataset"] = options.dataset
    return load_study(values, where=str(options.params))


if __name__ == "__main__":
    run_step(main)
