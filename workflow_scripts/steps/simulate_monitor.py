"""A simulated monitor export."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.files import atomic_folder, require_own_folder
from workflow_scripts.runtime.step import read_settings, run_step


def simulate_monitor(
    settings: Annotated[
        Path,
        Option(help="settings file of this step (JSON), as the workflow writes it: the group `simulator`"),
    ],
    output: Annotated[Path, Option(help="folder to write; an earlier result is replaced")],
) -> None:
    """Write a simulated monitor export, an example of your own data (docs/own-data.md).

    vitals.parquet and cohorts/<cohort>.parquet of invented patients, one value of each vital sign every five minutes.
    The same settings give the same values.

    Example:
        python -m workflow_scripts.steps.simulate_monitor \\
            --settings data/raw/settings/simulate_monitor.json --output data/raw/simulated-monitor
    """
    require_own_folder(output)
    from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
    from workflow_scripts.sources.mimic_iii.simulator import monitor

    parameters = SimulatorParameters(**read_settings(settings)["simulator"])
    with atomic_folder(output) as folder:
        rows = monitor.simulate_monitor(parameters, folder)
    for table, count in rows.items():
        print(f"{table:<10} {count:>12,} rows", file=sys.stderr)


if __name__ == "__main__":
    run_step(simulate_monitor)
