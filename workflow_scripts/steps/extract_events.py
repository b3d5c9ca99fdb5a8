"""Read a MIMIC-III folder (CSV, plain or gzipped) and write the events tables: typed columns and items that are needed.

One Parquet file for each table, vitals.parquet among them with plausible values in natural units (docs/extraction.md).
Prints how many rows of each table were read, kept and dropped.

Example:
    python -m workflow_scripts.steps.extract_events --raw data/raw/simulated \\
        --settings data/simulated/settings/extract_events.json --events data/simulated/events
"""

import argparse
import sys
from pathlib import Path

from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Parse the command line, extract, and print how many rows of each table were read, kept and dropped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--raw", type=Path, required=True, help="folder with the MIMIC-III v1.4 tables, CSV or CSV.gz"
    )
    parser.add_argument(
        "--settings",
        type=Path,
        required=True,
        help="settings file of this step (JSON), as the workflow writes it: the group `extraction`",
    )
    parser.add_argument("--events", type=Path, required=True, help="folder for the Parquet tables")
    arguments = parser.parse_args()

    from workflow_scripts.sources.mimic_iii.extraction import extract_events
    from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters

    parameters = ExtractionParameters(**read_settings(arguments.settings)["extraction"])
    counts = extract_events(arguments.raw, arguments.events, parameters)
    for table, rows in counts.items():
        numbers = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in rows.items())
        print(f"{table}: {numbers}", file=sys.stderr)


if __name__ == "__main__":
    run_step(main)
