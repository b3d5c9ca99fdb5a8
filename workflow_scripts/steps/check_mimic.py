"""Check the tables of a MIMIC-III folder: columns, types, row counts, keys, references, items, units and dates.

Prints all findings; exits with 1 where one of them is an error. docs/check-mimic.md explains each.

Example:
    python -m workflow_scripts.steps.check_mimic --raw data/raw/simulated
"""

import argparse
from pathlib import Path

from workflow_scripts.runtime.step import run_step


def main() -> None:
    """Parse the command line, check, print the report; exit with 1 where there are errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--raw", type=Path, required=True, help="folder with the MIMIC-III v1.4 tables, CSV or CSV.gz"
    )
    parser.add_argument("--json", type=Path, help="also write the report as JSON to this file")
    arguments = parser.parse_args()

    from workflow_scripts.runtime.files import write_json
    from workflow_scripts.sources.mimic_iii.checks.folder import check_folder

    report = check_folder(arguments.raw)
    if arguments.json:
        write_json(arguments.json, report.as_json())
    print(report.as_text())
    if report.errors:
        raise SystemExit(1)


if __name__ == "__main__":
    run_step(main)
