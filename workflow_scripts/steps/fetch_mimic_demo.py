"""Download the open MIMIC-III demo v1.4 (100 real, de-identified patients) from PhysioNet, and check its SHA-256 sums.

A download that was cut is continued.

Example:
    python -m workflow_scripts.steps.fetch_mimic_demo --output data/raw/mimic-iii-demo
"""

import argparse
import sys
from pathlib import Path

from workflow_scripts.runtime.step import run_step
from workflow_scripts.sources.mimic_iii.download import DEMO_URL, fetch_demo


def main() -> None:
    """Parse the command line and download."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables")
    parser.add_argument(
        "--base-url",
        default=DEMO_URL,
        help="address of the folder with SHA256SUMS.txt (default: %(default)s)",
    )
    arguments = parser.parse_args()
    fetch_demo(arguments.output, arguments.base_url, lambda line: print(line, file=sys.stderr))


if __name__ == "__main__":
    run_step(main)
