"""The search for patients' rows outside the data folders."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.privacy.guard import scan_project, scan_staged
from workflow_scripts.runtime.step import run_step


def check_privacy(
    root: Annotated[Path, Option(help="the project's folder")] = Path(),
    dataset: Annotated[
        list[str] | None, Option(help="a data set whose records to look for, once for each (default: all)")
    ] = None,
    staged: Annotated[bool, Option("--staged", help="read only what is staged for the next commit")] = False,
) -> None:
    """Look for rows of patients outside the data folders: in what git tracks, logs, MLflow, reports, DVC's metadata.

    Names the file and what it holds, never the value, and ends with 1 where anything was found. docs/patient-data.md
    says what is looked for, and what cannot be found this way.

    Example:
        python -m workflow_scripts.steps.check_privacy
        python -m workflow_scripts.steps.check_privacy --dataset mimic-iii-demo
        python -m workflow_scripts.steps.check_privacy --staged        # what the next commit would add
        python -m workflow_scripts.steps.check_privacy --root other/clone
    """
    report = scan_staged(root) if staged else scan_project(root, dataset)
    print(report)
    if report.findings:
        raise SystemExit(1)


if __name__ == "__main__":
    run_step(check_privacy)
