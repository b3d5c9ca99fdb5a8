"""Collect all runs into one table, into the files that DVC compares and draws, and into tables of statistics.

Example:
    python -m workflow_scripts.steps.aggregate_metrics \\
        --settings results/simulated/summary/settings/aggregate_metrics.json \\
        --metrics metrics.csv --arms arms --plots plots \\
        --windows data/simulated/windows --cohorts data/simulated/cohorts \\
        --intervals intervals.csv --comparisons comparisons.csv --rank-threshold rank_threshold.csv \\
        --breakdown breakdown.csv --calibration calibration.csv --findings findings.csv --transfer transfer.csv
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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

TABLES = {
    "intervals": (IntervalRow, "a row for each arm and metric"),
    "comparisons": (ComparisonRow, "a row for each pair of arms and metric"),
    "ranks": (RankRow, "a row for each rank and metric"),
    "breakdown": (BreakdownRow, "a row for each arm, part of the test windows or step, and metric"),
    "calibration": (CalibrationRow, "a row for each arm and quantile level"),
    "findings": (FindingRow, "the paper's findings, a row for each cohort, vital sign and claim"),
    "transfers": (TransferRow, "a row for each adapter of one cohort on another, and metric"),
}
"""Attribute of the statistics -> its kind of row, and what it is; docs/statistics.md says more."""

OPTIONS = {"ranks": "rank-threshold", "transfers": "transfer"}
"""The option that names the file, where it is another name."""


def main() -> None:
    """Read every run record that the settings name, and the forecasts beside it; write the tables."""
    options = _parse_arguments()
    settings = read_settings(options.settings)
    paths = [Path(path) for path in settings["runs"]]
    rows = _rows(paths, settings.get("missing", {}))
    if options.windows:
        _write_statistics(options, settings, rows, paths)
    arms = summarise_arms(rows)
    with atomic_folder(options.arms) as folder:
        for name, values in arm_metrics(arms).items():
            write_json(folder / name, values)
    with atomic_folder(options.plots) as folder:
        for name, text in plot_tables(arms).items():
            (folder / name).write_text(text, encoding="utf-8")
    write_text(options.metrics, metrics_table(rows))


def _rows(paths: Sequence[Path], missing: Mapping[str, Sequence[str]]) -> list[RunRow]:
    """The rows of all runs; `missing` names the records that an unfinished study lacks, and the logs that say why."""
    finished = collect_rows([path for path in paths if str(path) not in missing])
    lacking = [
        missing_row(Path(path), [Path(log) for log in logs], finished) for path, logs in missing.items()
    ]
    return in_study_order([*finished, *lacking])


def _write_statistics(
    options: argparse.Namespace, settings: Mapping[str, Any], rows: Sequence[RunRow], paths: Sequence[Path]
) -> None:
    """Write those tables of statistics that the command names."""
    # collect_rows has checked that a record's folder has its run's name.
    named = {path.absolute().parts[-6:-1]: path.parent for path in paths}
    folders = {row: named[row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}"] for row in rows}
    parameters = EvaluationParameters(**settings.get("evaluation", {}))
    found = vars(study_statistics(rows, folders, options.windows, parameters, options.cohorts))
    records = [read_transfer_record(Path(path)) for path in settings.get("transfers", [])]
    found["transfers"] = transfer_rows(records, folders, options.windows, parameters)
    for name, (kind, _) in TABLES.items():
        path = vars(options)[name]
        if path:
            write_text(path, rows_text(kind, found[name]))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--settings",
        required=True,
        type=Path,
        help="settings file of this step (JSON); `runs` lists the paths of all run.json, `transfers` those of all "
        "record.json, `missing` those records that an unfinished study lacks, each with its logs, `evaluation` holds "
        "the settings of the statistics",
    )
    parser.add_argument("--metrics", required=True, type=Path, help="CSV to write, one row for each run")
    parser.add_argument(
        "--arms", required=True, type=Path, help="folder of JSON files, one for each arm, for `dvc metrics`"
    )
    parser.add_argument("--plots", required=True, type=Path, help="folder of CSV files for `dvc plots`")
    parser.add_argument(
        "--windows",
        type=Path,
        help="folder of the windows, <cohort>/<vital>.parquet; without it no statistics",
    )
    parser.add_argument(
        "--cohorts",
        type=Path,
        help="folder of the cohort tables, <cohort>.parquet, which say sex, age and type of ICU; may be left out",
    )
    for name, (_, content) in TABLES.items():
        option = f"--{OPTIONS.get(name, name)}"
        parser.add_argument(option, dest=name, type=Path, metavar="CSV", help=f"CSV to write, {content}")
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
