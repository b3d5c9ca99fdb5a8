"""Write a simulated MIMIC-III v1.4 folder: TABLE.csv.gz files of invented patients.

The same settings give the same bytes.

Example:
    python -m workflow_scripts.steps.simulate_mimic \\
        --settings data/raw/settings/simulate_mimic.json --output data/raw/simulated
"""

import argparse
import sys
import tempfile
from pathlib import Path

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
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables")
    arguments = parser.parse_args()

    from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
    from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic

    parameters = SimulatorParameters(**read_settings(arguments.settings)["simulator"])
    arguments.output.mkdir(parents=True, exist_ok=True)
    # Moved file by file, so that nothing else is lost where the folder was not the simulator's.
    with tempfile.TemporaryDirectory(prefix=".simulate.", suffix=".part", dir=arguments.output) as name:
        rows = simulate_mimic(parameters, Path(name))
        for path in sorted(Path(name).iterdir()):
            path.replace(arguments.output / path.name)
    for table, count in rows.items():
        print(f"{table.upper():<20} {count:>12,} rows", file=sys.stderr)


if __name__ == "__main__":
    run_step(main)
