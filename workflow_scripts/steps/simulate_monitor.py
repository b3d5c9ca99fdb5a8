"""Write a simulated monitor export, an example of your own data (docs/own-data.md).

vitals.parquet and cohorts/<cohort>.parquet of invented patients, one value of each vital sign every five minutes. The
same settings give the same values.

Example:
    python -m workflow_scripts.steps.simulate_monitor \\
        --settings data/raw/settings/simulate_monitor.json --output data/raw/simulated-monitor
"""

import argparse
import sys
from pathlib import Path

from workflow_scripts.runtime.files import atomic_folder
from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Parse the command line, simulate, and print the number of rows of each table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--settings",
        type=Path,
        required=True,
        help="settings file of this step (JSON), as the workflow writes it: the group `simulator`",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write; it is replaced")
    arguments = parser.parse_args()

    from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
    from workflow_scripts.sources.mimic_iii.simulator.monitor import simulate_monitor

    parameters = SimulatorParameters(**read_settings(arguments.settings)["simulator"])
    with atomic_folder(arguments.output) as folder:
        rows = simulate_monitor(parameters, folder)
    for table, count in rows.items():
        print(f"{table:<10} {count:>12,} rows", file=sys.stderr)


if __name__ == "__main__":
    run_step(main)
