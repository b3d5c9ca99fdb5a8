"""The study's summary: tables of runs, arms and statistics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from workflow_scripts.evaluation.aggregation import arm_metrics, collect_rows, plot_tables, summarise_arms
from workflow_scripts.evaluation.missing_runs import missing_row
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.study_statistics import study_statistics
from workflow_scripts.evaluation.summary import (
    BreakdownRow,
    CalibrationRow,
    ComparisonRow,
    FindingRow,
    IntervalRow,
    RankRow,
    RunRow,
    TransferRow,
    in_study_order,
    metrics_table,
    rows_text,
)
from workflow_scripts.evaluation.transfer import read_transfer_record, transfer_rows
from workflow_scripts.runtime.files import atomic_folder, write_json, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def aggregate_metrics(
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON); `runs` lists the paths of all run.json, `transfers` "
            "those of all record.json, `missing` those records that an unfinished study lacks, each "
            "with its logs, `evaluation` holds the settings of the statistics"
        ),
    ],
    metrics: Annotated[Path, Option(help="CSV to write, one row for each run")],
    arms: Annotated[Path, Option(help="folder of JSON files, one for each arm, for `dvc metrics`")],
    plots: Annotated[Path, Option(help="folder of CSV files for `dvc plots`")],
    windows: Annotated[
        Path | None, Option(help="folder of the windows, <cohort>/<vital>.parquet; without it no statistics")
    ] = None,
    cohorts: Annotated[
        Path | None,
        Option(
            help="folder of the cohort tables, <cohort>.parquet, which say sex, age and type of ICU; may be "
            "left out"
        ),
    ] = None,
    intervals: Annotated[
        Path | None, Option(metavar="CSV", help="CSV to write, a row for each arm and metric")
    ] = None,
    comparisons: Annotated[
        Path | None, Option(metavar="CSV", help="CSV to write, a row for each pair of arms and metric")
    ] = None,
    rank_threshold: Annotated[
        Path | None, Option(metavar="CSV", help="CSV to write, a row for each rank and metric")
    ] = None,
    breakdown: Annotated[
        Path | None,
        Option(
            metavar="CSV",
            help="CSV to write, a row for each arm, part of the test windows or step, and metric",
        ),
    ] = None,
    calibration: Annotated[
        Path | None, Option(metavar="CSV", help="CSV to write, a row for each arm and quantile level")
    ] = None,
    findings: Annotated[
        Path | None,
        Option(
            metavar="CSV",
            help="CSV to write, the paper's findings, a row for each cohort, vital sign and claim",
        ),
    ] = None,
    transfer: Annotated[
        Path | None,
        Option(
            metavar="CSV", help="CSV to write, a row for each adapter of one cohort on another, and metric"
        ),
    ] = None,
) -> None:
    """Collect all runs into one table, into the files that DVC compares and draws, and into tables of statistics.

    Example:
        python -m workflow_scripts.steps.aggregate_metrics \\
            --settings results/simulated/summary/settings/aggregate_metrics.json \\
            --metrics metrics.csv --arms arms --plots plots \\
            --windows data/simulated/windows --cohorts data/simulated/cohorts \\
            --intervals intervals.csv --comparisons comparisons.csv --rank-threshold rank_threshold.csv \\
            --breakdown breakdown.csv --calibration calibration.csv --findings findings.csv --transfer transfer.csv
    """
    parameters = read_settings(settings)
    paths = [Path(path) for path in parameters["runs"]]
    rows = _rows(paths, parameters.get("missing", {}))
    if windows:
        tables = {
            "intervals": (intervals, IntervalRow),
            "comparisons": (comparisons, ComparisonRow),
            "ranks": (rank_threshold, RankRow),
            "breakdown": (breakdown, BreakdownRow),
            "calibration": (calibration, CalibrationRow),
            "findings": (findings, FindingRow),
            "transfers": (transfer, TransferRow),
        }
        found = _statistics(parameters, rows, paths, windows, cohorts)
        for name, (path, kind) in tables.items():
            if path:
                write_text(path, rows_text(kind, found[name]))
    summaries = summarise_arms(rows)
    with atomic_folder(arms) as folder:
        for name, values in arm_metrics(summaries).items():
            write_json(folder / name, values)
    with atomic_folder(plots) as folder:
        for name, text in plot_tables(summaries).items():
            (folder / name).write_text(text, encoding="utf-8")
    write_text(metrics, metrics_table(rows))


def _rows(paths: Sequence[Path], missing: Mapping[str, Sequence[str]]) -> list[RunRow]:
    """The rows of all runs; `missing` names the records that an unfinished study lacks, and the logs that say why."""
    finished = collect_rows([path for path in paths if str(path) not in missing])
    lacking = [
        missing_row(Path(path), [Path(log) for log in logs], finished) for path, logs in missing.items()
    ]
    return in_study_order([*finished, *lacking])


def _statistics(
    settings: Mapping[str, Any],
    rows: Sequence[RunRow],
    paths: Sequence[Path],
    windows: Path,
    cohorts: Path | None,
) -> dict[str, Any]:
    """The rows of every table of statistics, by its name in StudyStatistics, and `transfers`."""
    # collect_rows has checked that a record's folder has its run's name.
    named = {path.absolute().parts[-6:-1]: path.parent for path in paths}
    folders = {row: named[row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}"] for row in rows}
    parameters = EvaluationParameters(**settings.get("evaluation", {}))
    found = dict(vars(study_statistics(rows, folders, windows, parameters, cohorts)))
    records = [read_transfer_record(Path(path)) for path in settings.get("transfers", [])]
    return found | {"transfers": transfer_rows(records, folders, windows, parameters)}


if __name__ == "__main__":
    run_step(aggregate_metrics)
