"""Write the study's report: one HTML page with tables, figures and provenance, readable without a network.

Example:
    python -m workflow_scripts.make_report --settings results/simulated/summary/settings/make_report.json \\
        --metrics results/simulated/summary/metrics.csv --runs results/simulated/runs \\
        --windows data/simulated/windows --attrition data/simulated/cohorts/explicit.attrition.csv \\
        --intervals results/simulated/summary/intervals.csv \\
        --comparisons results/simulated/summary/comparisons.csv \\
        --rank-threshold results/simulated/summary/rank_threshold.csv --output report.html
"""

import argparse
from pathlib import Path

from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import read_metrics
from workflow_scripts.reporting.report import Sources, render_report
from workflow_scripts.reporting.statistics import read_statistics
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Read the summary and what the figures need; write the page."""
    options = _parse_arguments()
    settings = read_settings(options.settings)
    parameters = EvaluationParameters(**settings.get("evaluation", {}))
    statistics = read_statistics(options.intervals, options.comparisons, options.rank_threshold, parameters)
    sources = Sources(options.runs, options.windows, options.attrition, settings, statistics)
    write_text(options.output, render_report(read_metrics(options.metrics), sources))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--metrics", required=True, type=Path, help="summary table of all runs (CSV)")
    parser.add_argument("--intervals", type=Path, help="table of intervals (CSV), from aggregate_metrics")
    parser.add_argument("--comparisons", type=Path, help="table of comparisons (CSV), from aggregate_metrics")
    parser.add_argument(
        "--rank-threshold", type=Path, help="table of rank thresholds (CSV), from aggregate_metrics"
    )
    parser.add_argument(
        "--attrition",
        nargs="*",
        default=[],
        type=Path,
        help="attrition tables, <cohort>.attrition.csv, one for each cohort that was labelled here",
    )
    parser.add_argument(
        "--runs", required=True, type=Path, help="folder of the runs, <cohort>/<vital>/<model>/<arm>/seed<k>"
    )
    parser.add_argument(
        "--windows", required=True, type=Path, help="folder of the windows, <cohort>/<vital>.parquet"
    )
    parser.add_argument(
        "--settings", required=True, type=Path, help="settings file of this step (JSON), shown in the report"
    )
    parser.add_argument("--output", required=True, type=Path, help="HTML file to write")
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
