"""The study's results in the terminal."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.evaluation.summary import (
    MISSING,
    IntervalRow,
    LeaderboardRow,
    RunRow,
    read_metrics,
    read_rows,
)
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_yaml
from workflow_scripts.runtime.step import run_step
from workflow_scripts.runtime.terminal import as_text, show, table
from workflow_scripts.settings import Study, load_study

HEADER = ("model", "arm", f"{'MSE e-4':>8}", "MAPE %", "DTW e-3", "trainable", "seconds")
NUMBERS = range(3, len(HEADER))
"""Columns that are aligned right; MSE is not, as a mark may follow it."""

WIDTH = 100
MODEL_WIDTH, ARM_WIDTH = 27, 15

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
    leaderboard: Annotated[
        bool, Option("--leaderboard", help="every arm over all vital signs and cohorts, by skill score")
    ] = False,
    metric: Annotated[str, Option(help="metric of the leaderboard, as mse, mae or wql")] = "wql",
) -> None:
    """Print the study's results as a compact table, and where everything is.

    MSE (x 1e-4), MAPE (%) and DTW (x 1e-3) are means over seeds, of the scaled series; seconds are those of one run.
    Of a vital sign with many arms only the best are shown.

    Example:
        python -m workflow_scripts.steps.show_summary
        python -m workflow_scripts.steps.show_summary --dataset mimic-iii-demo --all
        python -m workflow_scripts.steps.show_summary --leaderboard --metric mae
    """
    study = _study(params, dataset)
    results = Path("results") / study.dataset
    if leaderboard:
        _show_leaderboard(read_rows(results / "summary" / "leaderboard.csv", LeaderboardRow), metric)
        return
    rows = read_metrics(results / "summary" / "metrics.csv")
    intervals = _intervals(results / "summary" / "intervals.csv")
    for (cohort, vital), group in groupby(rows, key=lambda row: (row.cohort, row.vital)):
        runs = list(group)
        arms = summarise_arms(runs)
        shown = arms if all else _worth_showing(arms)
        show("", _title(cohort, vital, runs), *_lines(shown, intervals))
        if len(shown) < len(arms):
            show(f"  {len(shown)} of {len(arms)} arms, the best first: --all shows all of them")
    show(_locations(results, rows))


def _show_leaderboard(rows: list[LeaderboardRow], metric: str) -> None:
    """Raises UserError for a metric that has no leaderboard."""
    own = [row for row in rows if row.metric == metric]
    if not own:
        allowed = (
            ", ".join(dict.fromkeys(row.metric for row in rows)) or "a study in which an arm is complete"
        )
        raise UserError("--metric", f"no leaderboard by {metric}", allowed, "name another metric")
    cells = [
        [
            _short(row.model, MODEL_WIDTH),
            _short(row.arm, ARM_WIDTH),
            *(_number(value, 100, 1) for value in (row.skill, row.skill_low, row.skill_high)),
            _number(row.win_rate, 100, 0),
            _number(row.mean_rank, 1, 1),
            str(row.failures),
        ]
        for row in own
    ]
    heading = ("model", "arm", "skill %", "low", "high", "wins %", "rank", "failed")
    show(
        f"{own[0].tasks} pairs of cohort and vital sign, {metric}; skill against {own[0].baseline}",
        as_text(table(heading, cells, range(2, len(heading)))),
        *dict.fromkeys(row.reason for row in own if row.reason),
    )


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
    baselines = [arm for arm in arms if arm.kind == "baseline" and arm not in best]
    return [*best, *baselines, *[arm for arm in arms if arm.failed][:FAILED]]


def _lines(arms: list[ArmSummary], intervals: Mapping[tuple[str, str, str, str], IntervalRow]) -> list[str]:
    """A table of the arms: the smallest MSE is marked, and what validation recommends of each model.

    Below a failed arm is its reason.
    """
    best = min((error for arm in arms if (error := arm.mean("mse")) is not None), default=None)
    models = dict.fromkeys(arm.first.model for arm in arms if arm.kind != "baseline")
    taken = [recommended([arm for arm in arms if arm.first.model == model]) for model in models]
    cells, previous = [], ""
    for arm in arms:
        cells.append(_cells(arm, arm in taken, best, arm.first.model != previous))
        previous = arm.first.model
    header, *body = (f"  {line}" for line in as_text(table(HEADER, cells, NUMBERS)).splitlines())
    lines = [header]
    for arm, line in zip(arms, body, strict=True):
        lines.append(line)
        if arm.reason:
            diverged = any(run.status == "failed" for run in arm.runs)
            lines.append(f"    {'failed: ' if diverged else ''}{arm.reason}"[:WIDTH])
    reasons = {row.reason for arm in arms if (row := intervals.get(_key(arm))) and not arm.failed}
    if reasons and "" not in reasons:
        lines.append(f"  no intervals, so no difference is claimed: {', '.join(sorted(reasons))}"[:WIDTH])
    return lines


def _cells(arm: ArmSummary, taken: bool, best: float | None, named: bool) -> list[str]:
    run, error = arm.first, arm.mean("mse")
    mark = ("*" if error is not None and error == best else "") + ("r" if taken else "")
    return [
        _short(run.model, MODEL_WIDTH) if named else "",
        _short(run.arm, ARM_WIDTH),
        f"{_number(error, 1e4):>8}{mark}",
        _number(arm.mean("mape"), 1),
        _number(arm.mean("dtw"), 1e3),
        "-" if run.trainable_parameters is None else f"{run.trainable_parameters:,}",
        _number(arm.mean("total_seconds"), 1, 1),
    ]


def _key(arm: ArmSummary) -> tuple[str, str, str, str]:
    return arm.first.cohort, arm.first.vital, arm.first.model, arm.first.arm


def _number(value: float | None, factor: float, digits: int = 2) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _short(name: str, width: int) -> str:
    """A name that fits; the middle of a long one is left out, since both ends tell variants apart."""
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[: width - 1 - half]}…{name[-half:]}"


def _locations(results: Path, rows: list[RunRow]) -> str:
    failed = sum(row.status == "failed" for row in rows)
    missing = sum(row.status == MISSING for row in rows)
    ended = f"{failed} failed" + (f", {missing} not finished" if missing else "")
    lines = [
        "",
        f"{len(rows)} runs, {ended}. MSE, MAPE and DTW are of the scaled series. * smallest MSE",
        "r recommended of its model, chosen on validation alone",
        f"results: {results}/summary/metrics.csv",
        f"report:  {results}/report.html",
        f"one run: python -m workflow_scripts.steps.explain_run {results}/runs/…/seed0",
        "runs:    make ui",
    ]
    return "\n".join(lines)


def _study(params: Path, dataset: str | None) -> Study:
    values = read_yaml(params, "the settings of the study") or {}
    if dataset:
        values["dataset"] = dataset
    return load_study(values, where=str(params))


if __name__ == "__main__":
    run_step(show_summary)
