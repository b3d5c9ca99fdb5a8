"""The open MIMIC-III demo, downloaded."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.files import claim_folder
from workflow_scripts.runtime.step import run_step
from workflow_scripts.sources.mimic_iii.download import DEMO_URL, fetch_demo


def fetch_mimic_demo(
    output: Annotated[Path, Option(help="folder to write: the tables")],
    base_url: Annotated[str, Option(help="address of the folder with SHA256SUMS.txt")] = DEMO_URL,
) -> None:
    """Download the open MIMIC-III demo v1.4 from PhysioNet (100 real, de-identified patients); check its SHA-256 sums.

    A download that was cut is continued.

    Example:
        python -m workflow_scripts.steps.fetch_mimic_demo --output data/raw/mimic-iii-demo
    """
    claim_folder(output)
    fetch_demo(output, base_url, lambda line: print(line, file=sys.stderr))


if __name__ == "__main__":
    run_step(fetch_mimic_demo)
