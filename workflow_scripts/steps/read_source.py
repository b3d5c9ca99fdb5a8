"""Read a data set's raw files into vitals.parquet, stays.parquet and one table for each of its cohorts.

The module that reads them is the data set's source (workflow_scripts/sources/datasets.yaml).

Example:
    python -m workflow_scripts.steps.read_source --dataset our-source --raw data/raw/our-source --output data/our-source
"""

import argparse
import tempfile
from pathlib import Path

from workflow_scripts.runtime.step import run_step


def main() -> None:
    """Parse the command line, read the raw files, check the tables, write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--dataset", required=True, help="a data set of workflow_scripts/sources/datasets.yaml"
    )
    parser.add_argument("--raw", type=Path, required=True, help="folder with its raw files")
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables")
    arguments = parser.parse_args()

    from workflow_scripts.sources.contract import check_tables, write_cohort
    from workflow_scripts.sources.mimic_iii.items import vital_names
    from workflow_scripts.sources.source import source_of

    source = source_of(arguments.dataset)
    cohorts = arguments.output / "cohorts"
    cohorts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".read.", suffix=".part", dir=arguments.output) as name:
        folder = Path(name)
        source.write_tables(arguments.raw, folder)
        check_tables(folder / "vitals.parquet", folder / "stays.parquet", vital_names())
        for cohort, condition in source.cohorts.items():
            write_cohort(folder / "stays.parquet", condition, folder / cohort)
        for cohort in source.cohorts:
            (folder / cohort).replace(cohorts / f"{cohort}.parquet")
        for table in ("vitals.parquet", "stays.parquet"):
            (folder / table).replace(arguments.output / table)


if __name__ == "__main__":
    run_step(main)
