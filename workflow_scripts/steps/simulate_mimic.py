"""A simulated MIMIC-III folder."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.files import mark_folder, move_into_place, require_own_folder, scratch_folder
from workflow_scripts.runtime.step import read_settings, run_step


def simulate_mimic(
    settings: Annotated[
        Path,
        Option(help="settings file of this step (JSON), as the workflow writes it: the group `simulator`"),
    ],
    output: Annotated[Path, Option(help="folder to write: the tables")],
) -> None:
    """Write a simulated MIMIC-III v1.4 folder: TABLE.csv.gz files of invented patients.

    The same settings give the same bytes.

    Example:
        python -m workflow_scripts.steps.simulate_mimic \\
            --settings data/raw/settings/simulate_mimic.json --output data/raw/simulated
    """
    require_own_folder(output)
    from workflow_scripts.sources.mimic_iii import simulator
    from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters

    parameters = SimulatorParameters(**read_settings(settings)["simulator"])
    with scratch_folder(output, "simulate") as scratch:
        rows = simulator.simulate_mimic(parameters, scratch)
        mark_folder(output)
        for path in sorted(scratch.iterdir()):
            move_into_place(path, output / path.name)
    for table, count in rows.items():
        print(f"{table.upper():<20} {count:>12,} rows", file=sys.stderr)


if __name__ == "__main__":
    run_step(simulate_mimic)
