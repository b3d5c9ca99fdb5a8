"""Label every ICU stay of a data set for one cohort and count what each inclusion step leaves (docs/cohorts.md).

Example:
    python -m workflow_scripts.steps.label_cohort --events data/simulated/events --cohort sepsis3 \\
        --settings data/simulated/settings/label_cohort.sepsis3.json \\
        --output sepsis3.parquet --attrition sepsis3.attrition.csv
"""

import argparse
import csv
import io
from dataclasses import asdict, fields
from pathlib import Path

from workflow_scripts.cohorts.definitions import definition_names
from workflow_scripts.cohorts.labelling import AttritionRow, label_cohort
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.runtime.files import atomic_path, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--events", type=Path, required=True, help="folder with the events tables (Parquet)")
    parser.add_argument("--cohort", required=True, help=f"definition, one of {', '.join(definition_names())}")
    parser.add_argument(
        "--definition",
        type=Path,
        help="SQL file of a cohort of your own, which is then called as --cohort says (default: the definition of "
        "that name that comes with the workflow)",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        required=True,
        help="settings file of this step (JSON), as the workflow writes it: groups cohort and sepsis3, list vitals",
    )
    parser.add_argument("--output", type=Path, required=True, help="cohort table to write (Parquet)")
    parser.add_argument("--attrition", type=Path, required=True, help="attrition table to write (CSV)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the query engine (default: 1)")
    return parser


def _attrition_text(rows: list[AttritionRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(AttritionRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def main() -> None:
    """Parse the command line, label the cohort, write both tables."""
    arguments = _parser().parse_args()
    settings = read_settings(arguments.settings)
    table, attrition = label_cohort(
        arguments.events,
        arguments.cohort,
        CohortParameters(**settings["cohort"]),
        settings["vitals"],
        arguments.threads,
        sepsis3=Sepsis3Parameters(**settings.get("sepsis3", {})),
        own=arguments.definition,
    )
    import pyarrow.parquet as pq

    with atomic_path(arguments.output) as temporary:
        pq.write_table(table, temporary)
    write_text(arguments.attrition, _attrition_text(attrition))


if __name__ == "__main__":
    run_step(main)
