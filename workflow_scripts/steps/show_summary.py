"""The study's results in the terminal."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated

import yaml
from typer import Option

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.summary import MISSING, IntervalRow, RunRow, read_metrics, read_rows
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.runtime.step import run_step
from workflow_scripts.settings import Study, load_study

HEADER = ("model", "arm", "MSE e-4", "MAPE %", "DTW e-3", "trainable", "seconds")
WIDTH = 100
NAME_WIDTHS = (28, 16)
NUMBER_WIDTHS = (10, 8, 9, 15, 10)

MANY = 40
"""Arms of one cohort and vital sign that are all shown; of more, only the best, the baselines and what failed."""

BEST = 12
FAILED = 5


def show_summary(
    params: Annotated[Path, Option(help="settings of the study")] = Path("params.yaml"),
    dataset: Annotated[
        str | None, Option(help="data set whose results are shown (default: that of the settings)")
    ] = None,
    all: Annotated[
        bool, Option("--all", help=f"every arm, also of vital signs with more than {MANY}")
    ] = False,
) -> None:
    """Print the study's results as a compact table, and where everything lies.

    MSE (x 1e-4), MAPE (%) and DTW (x 1e-3) are means over seeds, of the scaled series; seconds are those of one run.
    Of a vital sign with many arms only the best are shown.

    Example:
        python -m workflow_scripts.steps.show_summary
        python -m workflow_scripts.steps.show_summary --dataset mimic-iii-demo --all
    """
    study = _study(params, dataset)
    results = Path("results") / study.dataset
    rows = read_metrics(results / "summary" / "metrics.csv")
    intervals = _intervals(results / "summary" / "intervals.csv")
    for (cohort, vital), group in groupby(rows, key=lambda row: (row.cohort, row.vital)):
        runs = list(group)
        print(f"\n{_title(cohort, vital, runs)}")
        arms = summarise_arms(runs)
        shown = arms if all else _worth_showing(arms)
        print("\n".join(_table(shown, intervals)))
        if len(shown) < len(arms):
            print(f"  {len(shown)} of {len(arms)} arms, the best first: --all shows all of them")
    print(_places(results, rows))


def _intervals(path: Path) -> dict[tuple[str, str, str, str], IntervalRow]:
    """The intervals of MSE by cohort, vital sign, model and arm; none where the summary has none."""
    rows = read_rows(path, IntervalRow) if path.exists() else []
    return {(row.cohort, row.vital, row.model, row.arm): row for row in rows if row.metric == "mse"}


def _title(cohort: str, vital: str, rows: list[RunRow]) -> str:
    seeds = len({row.seed for row in rows})
    data = f"{rows[0].test_windows} test windows of {rows[0].test_patients} patients"
    over_seeds = f", mean of {seeds} seeds" if seeds > 1 else ""
    return f"{vital} - cohort {cohort}, {rows[0].dataset}, {data}{over_seeds}"


def _worth_showing(arms: list[ArmSummary]) -> list[ArmSummary]:
    """All arms of a short list; of a long one the best by MSE, then baselines and failed arms."""
    if len(arms) <= MANY:
        return arms
    errors = {id(arm): error for arm in arms if (error := arm.mean("mse")) is not None}
    best = sorted((arm for arm in arms if id(arm) in errors), key=lambda arm: errors[id(arm)])[:BEST]
    baselines = [arm for arm in arms if arm.first.model in BASELINES and arm not in best]
    return [*best, *baselines, *[arm for arm in arms if arm.failed][:FAILED]]


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
        trainable = "-" if run.trainable_parameters is None else f"{run.trainable_parameters:,}"
        cost = [trainable, _number(arm.mean("total_seconds"), 1, 1)]
        lines.append(_line([name, run.arm, *errors, *cost]))
        if arm.reason:
            diverged = any(run.status == "failed" for run in arm.runs)
            lines.append(f"    {'failed: ' if diverged else ''}{arm.reason}"[:WIDTH])
    reasons = {row.reason for arm in arms if (row := intervals.get(_name(arm))) and not arm.failed}
    if reasons and "" not in reasons:
        lines.append(f"  no intervals, so no difference is claimed: {', '.join(sorted(reasons))}"[:WIDTH])
    return lines


def _name(arm: ArmSummary) -> tuple[str, str, str, str]:
    return arm.first.cohort, arm.first.vital, arm.first.model, arm.first.arm


def _number(value: float | None, factor: float, digits: int = 2) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _line(cells: list[str]) -> str:
    names = "".join(
        f"{_short(cell, width - 1):<{width}}" for cell, width in zip(cells, NAME_WIDTHS, strict=False)
    )
    numbers = zip(cells[len(NAME_WIDTHS) :], NUMBER_WIDTHS, strict=True)
    return f"  {names}{''.join(f'{cell:>{width}}' for cell, width in numbers)}".rstrip()


def _short(name: str, width: int) -> str:
    """A name that fits; the middle of a long one is left out, since both ends tell variants apart."""
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[: width - 1 - half]}…{name[-half:]}"


def _places(results: Path, rows: list[RunRow]) -> str:
    failed = sum(row.status == "failed" for row in rows)
    missing = sum(row.status == MISSING for row in rows)
    ended = f"{failed} failed" + (f", {missing} not finished" if missing else "")
    lines = [
        "",
        f"{len(rows)} runs, {ended}. MSE, MAPE and DTW are of the scaled series. * smallest MSE",
        "~ not distinguishable from it: the interval of the paired difference holds zero",
        f"results: {results}/summary/metrics.csv",
        f"report:  {results}/report.html",
        f"one run: python -m workflow_scripts.steps.explain_run {results}/runs/…/seed0",
        "runs:    make ui",
    ]
    return "\n".join(lines)


def _study(params: Path, dataset: str | None) -> Study:
    values = yaml.safe_load(params.read_text(encoding="utf-8")) or {}
    if dataset:
        values["dataset"] = dataset
    return load_study(values, where=str(params))


if __name__ == "__main__":
    run_step(show_summary)
