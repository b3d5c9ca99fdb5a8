"""A cohort's stays, labelled."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.cohorts import labelling
from workflow_scripts.cohorts.definitions import DEFINITION, definition_fingerprint, definition_names
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.runtime.csv_rows import header_of, rows_as_csv
from workflow_scripts.runtime.files import require_own_file, write_parquet, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def label_cohort(
    events: Annotated[Path, Option(help="folder with the events tables (Parquet)")],
    cohort: Annotated[
        str,
        Option(help=f"definition, one of {', '.join(definition_names())}; or the name of a user-defined one"),
    ],
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON), as the workflow writes it: groups cohort and sepsis3, "
            "list vitals"
        ),
    ],
    output: Annotated[Path, Option(help="cohort table to write (Parquet)")],
    attrition: Annotated[Path, Option(help="attrition table to write (CSV)")],
    definition: Annotated[
        Path | None,
        Option(
            help="SQL file of a user-defined cohort, which is then called as --cohort says (default: the "
            "definition of that name that comes with the workflow)"
        ),
    ] = None,
    threads: Annotated[int, Option(help="threads of the query engine")] = 1,
) -> None:
    """Label every ICU stay of a data set for one cohort and count what each inclusion step leaves (docs/cohorts.md).

    Example:
        python -m workflow_scripts.steps.label_cohort --events data/simulated/events --cohort sepsis3 \\
            --settings data/simulated/settings/label_cohort.sepsis3.json \\
            --output sepsis3.parquet --attrition sepsis3.attrition.csv
    """
    require_own_file(output)
    require_own_file(attrition, begins=header_of(labelling.AttritionRow))
    parameters = read_settings(settings)
    made_of = {DEFINITION: definition_fingerprint(cohort, definition).encode()}
    table, steps = labelling.label_cohort(
        events,
        cohort,
        CohortParameters(**parameters["cohort"]),
        parameters["vitals"],
        threads,
        sepsis3=Sepsis3Parameters(**parameters.get("sepsis3", {})),
        own=definition,
    )
    write_parquet(output, table.replace_schema_metadata({**(table.schema.metadata or {}), **made_of}))
    write_text(attrition, rows_as_csv(labelling.AttritionRow, steps))


if __name__ == "__main__":
    run_step(label_cohort)
