"""The open PhysioNet/CinC Challenge 2019, downloaded."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.files import claim_folder
from workflow_scripts.runtime.step import run_step
from workflow_scripts.sources.challenge_2019.download import ARCHIVE, URL, fetch_challenge


def fetch_challenge_2019(
    output: Annotated[Path, Option(help="folder to write: the archive")],
    url: Annotated[str, Option(help="address of the archive")] = URL,
) -> None:
    """Download the open PhysioNet/CinC Challenge 2019 (40,336 ICU stays, 42 MB); check every record's SHA-256.

    A download that was cut is continued.

    Example:
        python -m workflow_scripts.steps.fetch_challenge_2019 --output data/raw/challenge-2019
    """
    claim_folder(output)
    downloaded = fetch_challenge(output, url)
    size = (output / ARCHIVE).stat().st_size
    print(f"{ARCHIVE}: {f'{size:,} bytes' if downloaded else 'is present'}", file=sys.stderr)


if __name__ == "__main__":
    run_step(fetch_challenge_2019)
