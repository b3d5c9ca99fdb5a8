"""Collect all runs into one table, and into the files that DVC compares and draws.

Example:
    python -m workflow_scripts.aggregate_metrics \\
        --settings results/simulated/summary/settings/aggregate_metrics.json \\
        --metrics metrics.csv --metrics-json metrics.json --plots plots
"""

import argparse
from pathlib import Path

from workflow_scripts.evaluation.aggregation import collect_rows, metrics_tree, plot_tables, summarise_arms
from workflow_scripts.evaluation.summary import metrics_table
from workflow_scripts.runtime.files import atomic_folder, write_json, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Read every run record that the settings name; write the tables."""
    options = _parse_arguments()
    rows = collect_rows([Path(path) for path in read_settings(options.settings)["runs"]])
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
        help="settings file of this step (JSON); its parameter `runs` lists the paths of all run.json",
    )
    parser.add_argument("--metrics", required=True, type=Path, help="CSV to write, one row for each run")
    parser.add_argument("--metrics-json", required=True, type=Path, help="JSON to write for `dvc metrics`")
    parser.add_argument("--plots", required=True, type=Path, help="folder of CSV files for `dvc plots`")
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
