"""A cohort of a source that gives stays and vital signs."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.cohorts.labelling import AttritionRow
from workflow_scripts.cohorts.parameters import CohortParameters
from workflow_scripts.cohorts.source_cohorts import label_source_cohort as label
from workflow_scripts.runtime.csv_rows import header_of, rows_as_csv
from workflow_scripts.runtime.files import require_own_file, write_parquet, write_text
from workflow_scripts.runtime.step import read_settings, run_step


def label_source_cohort(
    values: Annotated[Path, Option(help="vital signs (Parquet)")],
    stays: Annotated[Path, Option(help="stays (Parquet)")],
    cohort: Annotated[str, Option(help="name of the cohort")],
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON), as the workflow writes it: group cohort, list vitals, and "
            "condition, the SQL condition on the columns of the stays that makes the cohort, and onset, the column "
            "of its onset"
        ),
    ],
    output: Annotated[Path, Option(help="cohort table to write (Parquet)")],
    attrition: Annotated[Path, Option(help="attrition table to write (CSV)")],
    threads: Annotated[int, Option(help="threads of the query engine")] = 1,
) -> None:
    """Label every ICU stay of a data set that read_source read, and count what each inclusion step leaves.

    Example:
        python -m workflow_scripts.steps.label_source_cohort --cohort all \\
            --values data/challenge-2019/vitals.parquet --stays data/challenge-2019/stays.parquet \\
            --settings data/challenge-2019/settings/label_source_cohort.all.json \\
            --output all.parquet --attrition all.attrition.csv
    """
    require_own_file(output)
    require_own_file(attrition, begins=header_of(AttritionRow))
    parameters = read_settings(settings)
    table, steps = label(
        values,
        stays,
        cohort,
        parameters["condition"],
        parameters["onset"],
        CohortParameters(**parameters["cohort"]),
        parameters["vitals"],
        threads,
    )
    write_parquet(output, table)
    write_text(attrition, rows_as_csv(AttritionRow, steps))


if __name__ == "__main__":
    run_step(label_source_cohort)
