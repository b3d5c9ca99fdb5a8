"""A data set's raw files, read into the tables that all sources share."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.files import (
    move_into_place,
    require_own_file,
    scratch_folder,
    write_parquet,
)
from workflow_scripts.runtime.step import run_step


def read_source(
    dataset: Annotated[str, Option(help="a data set of workflow_scripts/sources/datasets.yaml")],
    raw: Annotated[Path, Option(help="folder with its raw files")],
    output: Annotated[Path, Option(help="folder to write the tables into")],
) -> None:
    """Read a data set's raw files into vitals.parquet, stays.parquet and one table for each of its cohorts.

    The module that reads them is the data set's source (workflow_scripts/sources/datasets.yaml).

    Example:
        python -m workflow_scripts.steps.read_source --dataset our-source \\
            --raw data/raw/our-source --output data/our-source
    """
    import pyarrow.parquet as pq

    from workflow_scripts.sources.contract import check_tables, write_cohort
    from workflow_scripts.sources.mimic_iii.items import vital_names
    from workflow_scripts.sources.source import source_of

    source = source_of(dataset)
    cohorts = output / "cohorts"
    stays = output / "stays.parquet"
    for path in (stays, *(cohorts / f"{cohort}.parquet" for cohort in source.cohorts)):
        require_own_file(path)
    if not stays.exists():  # It is written last: where it is ours, the values beside it are.
        require_own_file(output / "vitals.parquet")
    cohorts.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output, "read") as folder:
        source.write_tables(raw, folder)
        check_tables(folder / "vitals.parquet", folder / "stays.parquet", vital_names())
        for cohort, condition in source.cohorts.items():
            write_cohort(folder / "stays.parquet", condition, folder / cohort)
        for cohort in source.cohorts:
            move_into_place(folder / cohort, cohorts / f"{cohort}.parquet")
        move_into_place(folder / "vitals.parquet", output / "vitals.parquet")
        write_parquet(stays, pq.read_table(folder / "stays.parquet"))


if __name__ == "__main__":
    run_step(read_source)
