"""A data set's raw files, read and checked without keeping anything."""

import tempfile
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.steps.check_mimic import check_mimic


def check_data(
    dataset: Annotated[str, Option(help="name of the data set")],
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON): `source` is the data set's entry in `sources:`, `cohorts` a list"
        ),
    ],
) -> None:
    """Read a data set and print what was found: counts, a summary of each vital sign, what the data cannot tell.

    Ends with exit code 1 and one message where the files cannot be read or break the contract. For MIMIC-III's tables
    this is check_mimic.

    Example:
        python -m workflow_scripts.steps.check_data --dataset challenge-2019 \\
            --settings data/challenge-2019/settings/check_data.json
    """
    from workflow_scripts.sources.checking import check_source
    from workflow_scripts.sources.parameters import SourceParameters
    from workflow_scripts.sources.source import source_of

    parameters = read_settings(settings)
    source = source_of(dataset, SourceParameters(**parameters["source"]))
    if source.labels_cohorts:
        check_mimic(source.raw_folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        for line in check_source(source, parameters["cohorts"], Path(folder)):
            print(line)


if __name__ == "__main__":
    run_step(check_data)
