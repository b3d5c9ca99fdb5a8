"""The checks of a MIMIC-III folder."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.step import run_step


def check_mimic(
    raw: Annotated[Path, Option(help="folder with the MIMIC-III v1.4 tables, CSV or CSV.gz")],
    json: Annotated[Path | None, Option(help="the report as JSON, also to write")] = None,
) -> None:
    """Check the tables of a MIMIC-III folder: columns, types, row counts, keys, references, items, units and dates.

    Prints all findings; exits with 1 where one of them is an error. docs/check-mimic.md explains each.

    Example:
        python -m workflow_scripts.steps.check_mimic --raw data/raw/simulated
    """
    from workflow_scripts.runtime.files import require_own_file, write_json
    from workflow_scripts.sources.mimic_iii.checks.folder import check_folder

    if json:
        require_own_file(json, begins='{\n  "folder"')
    report = check_folder(raw)
    if json:
        write_json(json, report.as_json())
    print(report.as_text())
    if report.errors:
        raise SystemExit(1)


if __name__ == "__main__":
    run_step(check_mimic)
