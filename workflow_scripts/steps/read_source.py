"""A data set's raw files, read into the tables that all sources share."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.files import (
    move_into_place,
    require_own_file,
    scratch_folder,
    write_json,
    write_parquet,
)
from workflow_scripts.runtime.step import read_settings, run_step


def read_source(
    dataset: Annotated[str, Option(help="name of the data set")],
    raw: Annotated[Path, Option(help="its raw files, a folder or an archive")],
    settings: Annotated[
        Path,
        Option(help="settings file of this step (JSON); `source` is the data set's entry in `sources:`"),
    ],
    output: Annotated[Path, Option(help="folder to write the tables into")],
) -> None:
    """Read a data set's raw files into vitals.parquet, stays.parquet and reading.json.

    reading.json holds what was found in them and what they cannot tell, in words and counts; the log has it too.

    Example:
        python -m workflow_scripts.steps.read_source --dataset challenge-2019 --raw data/raw/challenge-2019 \\
            --settings data/challenge-2019/settings/read_source.json --output data/challenge-2019
    """
    import pyarrow.parquet as pq

    from workflow_scripts.sources.contract import check_tables
    from workflow_scripts.sources.mimic_iii.items import vital_names
    from workflow_scripts.sources.parameters import SourceParameters
    from workflow_scripts.sources.source import source_of

    values, stays, reading = (output / name for name in ("vitals.parquet", "stays.parquet", "reading.json"))
    require_own_file(stays)
    if not stays.exists():  # It is written last: where it is ours, the files beside it are.
        require_own_file(values)
        require_own_file(reading)
    source = source_of(dataset, SourceParameters(**read_settings(settings)["source"] | {"path": str(raw)}))
    source.plausible_ranges = read_settings(settings)["plausible_ranges"]
    # Before anything is read, so that what changes meanwhile is told from what was read.
    fingerprint = source.fingerprint("")
    with scratch_folder(output, "read") as folder:
        counts = source.write_tables(raw, folder)
        check_tables(folder / "vitals.parquet", folder / "stays.parquet", vital_names())
        move_into_place(folder / "vitals.parquet", values)
        write_json(reading, {"counts": dict(counts), "limits": source.limits, "source": fingerprint})
        write_parquet(stays, pq.read_table(folder / "stays.parquet"))
    for line in (*(f"{number:,} {words}" for words, number in counts.items()), *source.limits):
        print(line, file=sys.stderr)


if __name__ == "__main__":
    run_step(read_source)
