"""Write the study's report: one HTML page, readable without a network, and each of its figures as SVG and CSV.

Example:
    python -m workflow_scripts.steps.make_report --settings results/simulated/summary/settings/make_report.json \\
        --metrics results/simulated/summary/metrics.csv --intervals results/simulated/summary/intervals.csv \\
        --runs results/simulated/runs --windows data/simulated/windows \\
        --attrition data/simulated/cohorts/explicit.attrition.csv --output report.html --figures figures
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import (
    BreakdownRow,
    CalibrationRow,
    ComparisonRow,
    FindingRow,
    IntervalRow,
    RankRow,
    TransferRow,
    read_metrics,
    read_rows,
)
from workflow_scripts.reporting.parameters import ReportParameters
from workflow_scripts.reporting.parts import Sources
from workflow_scripts.reporting.report import make_report
from workflow_scripts.reporting.statistics import Statistics
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Read the summary and what the figures need; write the figures, then the page."""
    options = _parse_arguments()
    report = make_report(read_metrics(options.metrics), _sources(options))
    if options.figures:
        report.write_figures(options.figures)
    write_text(options.output, report.html)


def _sources(options: argparse.Namespace) -> Sources:
    settings = read_settings(options.settings)

    def table(name: str, kind: Any) -> Sequence[Any]:
        path = getattr(options, name)
        return read_rows(path, kind) if path else ()

    return Sources(
        runs=options.runs,
        windows=options.windows,
        cohorts=options.attrition[0].parent if options.attrition else None,
        settings=settings,
        statistics=Statistics(
            table("intervals", IntervalRow),
            table("comparisons", ComparisonRow),
            table("rank_threshold", RankRow),
            EvaluationParameters(**settings.get("evaluation", {})),
        ),
        breakdown=table("breakdown", BreakdownRow),
        calibration=table("calibration", CalibrationRow),
        transfer=table("transfer", TransferRow),
        findings=table("findings", FindingRow),
        parameters=ReportParameters(**settings.get("report", {})),
    )


TABLES = {
    "intervals": "intervals",
    "comparisons": "planned comparisons",
    "rank_threshold": "rank thresholds",
    "breakdown": "errors by horizon step, onset and patient group",
    "calibration": "calibration",
    "transfer": "transfer between cohorts",
    "findings": "the paper's findings",
}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--metrics", required=True, type=Path, help="summary table of all runs (CSV)")
    for name, what in TABLES.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=Path, help=f"table of {what} (CSV); without it the page says that it is missing"
        )
    parser.add_argument(
        "--attrition",
        nargs="*",
        default=[],
        type=Path,
        help="attrition tables, <cohort>.attrition.csv, of one folder; <cohort>.consort.svg and "
        "<cohort>.table_one.csv beside them are shown too (default: no cohort is described)",
    )
    parser.add_argument(
        "--runs", required=True, type=Path, help="folder of the runs, <cohort>/<vital>/<model>/<arm>/seed<k>"
    )
    parser.add_argument(
        "--windows", required=True, type=Path, help="folder of the windows, <cohort>/<vital>.parquet"
    )
    parser.add_argument(
        "--settings",
        required=True,
        type=Path,
        help="settings file of this step (JSON), shown in the report; `changed` holds what differs from the defaults",
    )
    parser.add_argument("--output", required=True, type=Path, help="HTML file to write")
    parser.add_argument(
        "--figures",
        type=Path,
        help="folder to write: <figure>.svg and its data, <figure>.csv (default: none)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
