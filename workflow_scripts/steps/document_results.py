"""Write a study of open data as a page of the documentation: Markdown, and a few figures as SVG beside it.

Example:
    python -m workflow_scripts.steps.document_results --dataset mimic-iii-demo --output docs/results-demo.md
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation import summary
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.parameters import ReportParameters
from workflow_scripts.reporting.parts import Sources
from workflow_scripts.reporting.results_page import make_results_page
from workflow_scripts.reporting.statistics import Statistics
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_folder, read_json, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Read the summary; write the figures, then the page."""
    options = _parse_arguments()
    if options.dataset not in OPEN_DATASETS:
        raise UserError(
            where="--dataset",
            found=options.dataset,
            expected=f"an open data set ({', '.join(OPEN_DATASETS)}), as the documentation is public",
            remedy=f"read results/{options.dataset}/report.html, which stays where the data are",
        )
    folder = options.output.parent / "figures" / options.output.stem
    results = options.project / "results" / options.dataset
    page = make_results_page(
        summary.read_metrics(results / "summary" / "metrics.csv"),
        _sources(options.project, options.dataset),
        folder.relative_to(options.output.parent).as_posix(),
        read_json(options.known_truth) if options.known_truth else None,
    )
    with atomic_folder(folder) as temporary:
        for figure in page.figures:
            (temporary / f"{figure.name}.svg").write_text(figure.file_svg, encoding="utf-8")
    write_text(options.output, page.text)


def _sources(project: Path, dataset: str) -> Sources:
    """Where the workflow put everything."""
    results, data = project / "results" / dataset, project / "data" / dataset
    settings = read_settings(results / "summary" / "settings" / "make_report.json")

    def table(name: str, kind: Any) -> Sequence[Any]:
        return summary.read_rows(results / "summary" / f"{name}.csv", kind)

    return Sources(
        runs=results / "runs",
        windows=data / "windows",
        cohorts=data / "cohorts",
        settings=settings,
        statistics=Statistics(
            table("intervals", summary.IntervalRow),
            table("comparisons", summary.ComparisonRow),
            table("rank_threshold", summary.RankRow),
            EvaluationParameters(**settings.get("evaluation", {})),
        ),
        breakdown=table("breakdown", summary.BreakdownRow),
        calibration=table("calibration", summary.CalibrationRow),
        transfer=table("transfer", summary.TransferRow),
        findings=table("findings", summary.FindingRow),
        parameters=ReportParameters(**settings.get("report", {})),
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help=f"an open data set: {', '.join(OPEN_DATASETS)}")
    parser.add_argument(
        "--project",
        type=Path,
        default=Path(),
        help="folder with results/<dataset> and data/<dataset>, as the workflow makes them (default: this folder)",
    )
    parser.add_argument("--known-truth", type=Path, help="what benchmarks/known_truth.py wrote with --json")
    parser.add_argument(
        "--output", required=True, type=Path, help="page to write; its figures go to figures/<page> beside it"
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
