"""The study's report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Option

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
from workflow_scripts.reporting import report
from workflow_scripts.reporting.parameters import ReportParameters
from workflow_scripts.reporting.parts import Sources
from workflow_scripts.reporting.statistics import Statistics
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.step import read_settings, run_step


def make_report(
    metrics: Annotated[Path, Option(help="summary table of all runs (CSV)")],
    runs: Annotated[Path, Option(help="folder of the runs, <cohort>/<vital>/<model>/<arm>/seed<k>")],
    windows: Annotated[Path, Option(help="folder of the windows, <cohort>/<vital>.parquet")],
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON), shown in the report; `changed` holds what differs from "
            "the defaults"
        ),
    ],
    output: Annotated[Path, Option(help="HTML file to write")],
    intervals: Annotated[Path | None, Option(help="table of intervals (CSV)")] = None,
    comparisons: Annotated[
        Path | None,
        Option(help="table of planned comparisons (CSV)"),
    ] = None,
    rank_threshold: Annotated[
        Path | None,
        Option(help="table of rank thresholds (CSV)"),
    ] = None,
    breakdown: Annotated[
        Path | None,
        Option(help="table of errors by horizon step, onset and patient group (CSV)"),
    ] = None,
    calibration: Annotated[Path | None, Option(help="table of calibration (CSV)")] = None,
    transfer: Annotated[
        Path | None,
        Option(help="table of transfer between cohorts (CSV)"),
    ] = None,
    findings: Annotated[
        Path | None,
        Option(help="table of the paper's findings (CSV)"),
    ] = None,
    cohorts: Annotated[
        Path | None,
        Option(
            help="folder of the cohorts' <cohort>.attrition.csv, .consort.svg and .table_one.csv "
            "(default: no cohort is described)"
        ),
    ] = None,
    figures: Annotated[
        Path | None, Option(help="folder to write: <figure>.svg and its data, <figure>.csv (default: none)")
    ] = None,
) -> None:
    """Write the study's report: one HTML page, readable without a network, and each of its figures as SVG and CSV.

    The page says which of the optional tables is missing.

    Example:
        python -m workflow_scripts.steps.make_report --settings results/simulated/summary/settings/make_report.json \\
            --metrics results/simulated/summary/metrics.csv --intervals results/simulated/summary/intervals.csv \\
            --runs results/simulated/runs --windows data/simulated/windows \\
            --cohorts data/simulated/cohorts --output report.html --figures figures
    """
    parameters = read_settings(settings)
    sources = Sources(
        runs=runs,
        windows=windows,
        cohorts=cohorts,
        settings=parameters,
        statistics=Statistics(
            _rows(intervals, IntervalRow),
            _rows(comparisons, ComparisonRow),
            _rows(rank_threshold, RankRow),
            EvaluationParameters(**parameters.get("evaluation", {})),
        ),
        breakdown=_rows(breakdown, BreakdownRow),
        calibration=_rows(calibration, CalibrationRow),
        transfer=_rows(transfer, TransferRow),
        findings=_rows(findings, FindingRow),
        parameters=ReportParameters(**parameters.get("report", {})),
    )
    page = report.make_report(read_metrics(metrics), sources)
    if figures:
        page.write_figures(figures)
    write_text(output, page.html)


def _rows(path: Path | None, kind: type[Any]) -> Sequence[Any]:
    """The rows of a table of the summary; none where it is not given."""
    return read_rows(path, kind) if path else ()


if __name__ == "__main__":
    run_step(make_report)
