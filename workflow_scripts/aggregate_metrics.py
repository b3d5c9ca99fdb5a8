"""Collect all runs into one table, into the files that DVC compares and draws, and into tables of statistics.

Example:
    python -m workflow_scripts.aggregate_metrics \\
        --settings results/simulated/summary/settings/aggregate_metrics.json \\
        --metrics metrics.csv --metrics-json metrics.json --plots plots --windows data/simulated/windows \\
        --intervals intervals.csv --comparisons comparisons.csv --rank-threshold rank_threshold.csv
"""

import argparse
from pathlib import Path

from workflow_scripts.evaluation.aggregation import collect_rows, metrics_tree, plot_tables, summarise_arms
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.study_statistics import study_statistics
from workflow_scripts.evaluation.summary import ComparisonRow, IntervalRow, RankRow, metrics_table, rows_text
from workflow_scripts.runtime.files import atomic_folder, write_json, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Read every run record that the settings name, and the forecasts beside it; write the tables."""
    options = _parse_arguments()
    settings = read_settings(options.settings)
    paths = [Path(path) for path in settings["runs"]]
    rows = collect_rows(paths)
    if options.windows:
        # collect_rows has checked that a record's folder has its run's name.
        folders = {path.absolute().parts[-6:-1]: path.parent for path in paths}
        statistics = study_statistics(
            rows,
            {row: folders[row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}"] for row in rows},
            options.windows,
            EvaluationParameters(**settings.get("evaluation", {})),
        )
        write_text(options.intervals, rows_text(IntervalRow, statistics.intervals))
        write_text(options.comparisons, rows_text(ComparisonRow, statistics.comparisons))
        write_text(options.rank_threshold, rows_text(RankRow, statistics.ranks))
    arms = summarise_arms(rows)
    write_json(options.metrics_json, metrics_tree(arms))
    with atomic_folder(options.plots) as folder:
        for name, text in plot_tables(arms).items():
            (folder / name).write_text(text, encoding="utf-8")
    write_text(options.metrics, metrics_table(rows))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--settings",
        required=True,
        type=Path,
        help="settings file of this step (JSON); `runs` lists the paths of all run.json, `evaluation` holds the "
        "settings of the statistics",
    )
    parser.add_argument("--metrics", required=True, type=Path, help="CSV to write, one row for each run")
    parser.add_argument("--metrics-json", required=True, type=Path, help="JSON to write for `dvc metrics`")
    parser.add_argument("--plots", required=True, type=Path, help="folder of CSV files for `dvc plots`")
    parser.add_argument(
        "--windows",
        type=Path,
        help="folder of the windows, <cohort>/<vital>.parquet; without it no statistics",
    )
    parser.add_argument("--intervals", type=Path, help="CSV to write, a row for each arm and metric")
    parser.add_argument(
        "--comparisons", type=Path, help="CSV to write, a row for each pair of arms and metric"
    )
    parser.add_argument("--rank-threshold", type=Path, help="CSV to write, a row for each rank and metric")
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
