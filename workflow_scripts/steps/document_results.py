"""A study of open data as a page of the documentation."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.evaluation.summary import read_metrics
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.reporting.results_page import make_results_page
from workflow_scripts.reporting.study import Sources
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import (
    atomic_folder,
    read_json,
    require_own_file,
    require_own_folder,
    write_text,
)
from workflow_scripts.runtime.step import run_step


def document_results(
    dataset: Annotated[str, Option(help=f"an open data set: {', '.join(OPEN_DATASETS)}")],
    output: Annotated[Path, Option(help="page to write; its figures go to figures/<page> beside it")],
    project: Annotated[
        Path, Option(help="folder with results/<dataset> and data/<dataset>, as the workflow makes them")
    ] = Path(),
    known_truth: Annotated[Path | None, Option(help="what benchmarks.known_truth wrote with --json")] = None,
) -> None:
    """Write a study of open data as a page of the documentation: Markdown, and a few figures as SVG beside it.

    Example:
        python -m workflow_scripts.steps.document_results --dataset mimic-iii-demo --output docs/results-demo.md
    """
    if dataset not in OPEN_DATASETS:
        raise UserError(
            where="--dataset",
            found=dataset,
            expected=f"an open data set ({', '.join(OPEN_DATASETS)}), as the documentation is public",
            remedy=f"read results/{dataset}/report.html, which stays where the data are",
        )
    folder = output.parent / "figures" / output.stem
    require_own_file(output)
    require_own_folder(folder)
    results, data = project / "results" / dataset, project / "data" / dataset
    summary = results / "summary"
    settings = summary / "settings" / "make_report.json"
    page = make_results_page(
        read_metrics(summary / "metrics.csv"),
        Sources.read(
            summary, results / "runs", data / "windows", data / "cohorts", settings, data / "reading.json"
        ),
        folder.relative_to(output.parent).as_posix(),
        read_json(known_truth) if known_truth else None,
    )
    with atomic_folder(folder) as temporary:
        for figure in page.figures:
            (temporary / f"{figure.name}.svg").write_text(figure.file_svg, encoding="utf-8")
    write_text(output, page.text)


if __name__ == "__main__":
    run_step(document_results)
