"""Look for rows of patients outside the data folders: in what git tracks, logs, MLflow, reports, DVC's metadata.

Names the file and what it holds, never the value, and ends with 1 where anything was found. docs/patient-data.md
says what is looked for, and what cannot be found this way.

Examples:
    python -m workflow_scripts.steps.check_privacy
    python -m workflow_scripts.steps.check_privacy --dataset mimic-iii-demo
    python -m workflow_scripts.steps.check_privacy --staged        # what the next commit would add
    python -m workflow_scripts.steps.check_privacy --root other/clone
"""

import argparse
from pathlib import Path

from workflow_scripts.privacy.guard import scan_project, scan_staged
from workflow_scripts.runtime.step import run_step


def main() -> None:
    """Parse the arguments, scan, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder; default: here")
    parser.add_argument(
        "--dataset", action="append", help="look for this data set's records; default: for all"
    )
    parser.add_argument("--staged", action="store_true", help="read only what is staged for the next commit")
    options = parser.parse_args()
    report = scan_staged(options.root) if options.staged else scan_project(options.root, options.dataset)
    print(report)
    if report.findings:
        raise SystemExit(1)


if __name__ == "__main__":
    run_step(main)
