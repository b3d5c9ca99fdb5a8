"""A MIMIC-III folder, read into events tables."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.content import fingerprint, inventory
from workflow_scripts.runtime.files import require_own_folder, write_json
from workflow_scripts.runtime.step import read_settings, run_step


def extract_events(
    raw: Annotated[Path, Option(help="folder with the MIMIC-III v1.4 tables, CSV or CSV.gz")],
    settings: Annotated[
        Path,
        Option(help="settings file of this step (JSON), as the workflow writes it: the group `extraction`"),
    ],
    events: Annotated[Path, Option(help="folder to write: the Parquet tables")],
) -> None:
    """Read a MIMIC-III folder (CSV, plain or gzipped) and write the events tables: typed columns, the items needed.

    One Parquet file for each table; vitals.parquet holds plausible values in natural units (docs/extraction.md).
    reading.json holds the fingerprint of what was read. Prints how many rows of each table were read, kept and dropped.

    Example:
        python -m workflow_scripts.steps.extract_events --raw data/raw/simulated \\
            --settings data/simulated/settings/extract_events.json --events data/simulated/events
    """
    require_own_folder(events)
    from workflow_scripts.sources.mimic_iii import extraction
    from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
    from workflow_scripts.sources.mimic_iii.tables import table_files

    parameters = ExtractionParameters(**read_settings(settings)["extraction"])
    # Before anything is read, so that what changes meanwhile is told from what was read.
    source = fingerprint(inventory(raw, table_files(raw)))
    counts = extraction.extract_events(raw, events, parameters)
    write_json(events / "reading.json", {"source": source})
    for table, rows in counts.items():
        numbers = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in rows.items())
        print(f"{table}: {numbers}", file=sys.stderr)


if __name__ == "__main__":
    run_step(extract_events)
