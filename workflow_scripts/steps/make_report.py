"""The study's report."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.evaluation.summary import read_metrics
from workflow_scripts.reporting import report
from workflow_scripts.reporting.study import Sources
from workflow_scripts.runtime.files import require_own_file, require_own_folder, write_text
from workflow_scripts.runtime.step import run_step


def make_report(
    summary: Annotated[
        Path,
        Option(
            help="folder of metrics.csv and the tables of statistics, as aggregate_metrics writes them; the "
            "page says which table is missing"
        ),
    ],
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
    cohorts: Annotated[
        Path | None,
        Option(
            help="folder of the cohorts' <cohort>.attrition.csv, .consort.svg and .table_one.csv "
            "(default: no cohort is described)"
        ),
    ] = None,
    reading: Annotated[
        Path | None,
        Option(help="reading.json of read_source: what was found in the raw files (default: none)"),
    ] = None,
    figures: Annotated[
        Path | None, Option(help="folder to write: <figure>.svg and its data, <figure>.csv (default: none)")
    ] = None,
) -> None:
    """Write the study's report: one HTML page, readable without a network, and each of its figures as SVG and CSV.

    Example:
        python -m workflow_scripts.steps.make_report --settings results/simulated/summary/settings/make_report.json \\
            --summary results/simulated/summary --runs results/simulated/runs --windows data/simulated/windows \\
            --cohorts data/simulated/cohorts --output report.html --figures figures
    """
    require_own_file(output)
    if figures:
        require_own_folder(figures)
    sources = Sources.read(summary, runs, windows, cohorts, settings, reading)
    page = report.make_report(read_metrics(summary / "metrics.csv"), sources)
    if figures:
        page.write_figures(figures)
    write_text(output, page.html)


if __name__ == "__main__":
    run_step(make_report)
