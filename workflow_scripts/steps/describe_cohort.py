"""A cohort's attrition and Table 1."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.step import read_settings, run_step


def describe_cohort(
    cohort: Annotated[Path, Option(help="cohort table (Parquet)")],
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON), as the workflow writes it: groups cohort and sepsis3, "
            "lists vitals and, without events, described: the columns that the data set can tell; of your own tables "
            "that list alone"
        ),
    ],
    table: Annotated[Path, Option(help="Table 1 to write (CSV)")],
    page: Annotated[Path, Option(help="Table 1 to write (HTML)")],
    figure: Annotated[Path, Option(help="flow chart to write (SVG)")],
    attrition: Annotated[
        Path | None,
        Option(
            help="attrition table (CSV); without it, as of your own tables, one step: who is not included"
        ),
    ] = None,
    events: Annotated[
        Path | None,
        Option(
            help="folder with the events tables (Parquet), which give SOFA; without them Table 1 has none"
        ),
    ] = None,
    threads: Annotated[int, Option(help="threads of the query engine")] = 1,
) -> None:
    """Describe a cohort by a flow chart of its attrition and a Table 1 of included and excluded stays.

    Counts and summaries only: neither holds a row of a patient.

    Example:
        python -m workflow_scripts.steps.describe_cohort --events data/simulated/events \\
            --cohort data/simulated/cohorts/sepsis3.parquet --attrition data/simulated/cohorts/sepsis3.attrition.csv \\
            --settings data/simulated/settings/describe_cohort.sepsis3.json \\
            --table table_one.csv --page table_one.html --figure consort.svg
    """
    from workflow_scripts.cohorts.description import describe_stays
    from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
    from workflow_scripts.cohorts.source_cohorts import describe_source_stays
    from workflow_scripts.cohorts.table_one import make_table_one
    from workflow_scripts.reporting.attrition import own_attrition, read_attrition
    from workflow_scripts.reporting.consort import attrition_stages, draw_consort
    from workflow_scripts.reporting.table_one import render_table_one
    from workflow_scripts.runtime.files import require_own_file, write_text

    require_own_file(table, begins="variable,level,included,excluded,missing")
    require_own_file(page)
    require_own_file(figure)
    parameters = read_settings(settings)
    if events is None:
        stays = describe_source_stays(cohort, parameters["described"])
    else:
        stays = describe_stays(events, cohort, Sepsis3Parameters(**parameters["sepsis3"]), threads)
    name, steps = read_attrition(attrition) if attrition else own_attrition(cohort, stays)
    table_one = make_table_one(stays)
    inclusion = CohortParameters(**parameters.get("cohort", {}))
    stages = attrition_stages(stays, steps, inclusion, parameters.get("vitals", []))
    write_text(table, table_one.to_csv(index=False, lineterminator="\n"))
    write_text(page, render_table_one(name, table_one))
    write_text(figure, draw_consort(name, *stages))


if __name__ == "__main__":
    run_step(describe_cohort)
