"""Describe a cohort by a flow chart of its attrition and a Table 1 of included and excluded stays.

Counts and summaries only: neither holds a row of a patient.

Example:
    python -m workflow_scripts.steps.describe_cohort --events data/simulated/events \\
        --cohort data/simulated/cohorts/sepsis3.parquet --attrition data/simulated/cohorts/sepsis3.attrition.csv \\
        --settings data/simulated/settings/describe_cohort.sepsis3.json \\
        --table table_one.csv --page table_one.html --figure consort.svg
"""

import argparse
from pathlib import Path

from workflow_scripts.runtime.step import read_settings, run_step


def main() -> None:
    """Parse the command line, describe the cohort, write the table, its page and the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--events", type=Path, required=True, help="folder with the events tables (Parquet)")
    parser.add_argument("--cohort", type=Path, required=True, help="cohort table (Parquet)")
    parser.add_argument("--attrition", type=Path, required=True, help="attrition table (CSV)")
    parser.add_argument(
        "--settings",
        type=Path,
        required=True,
        help="settings file of this step (JSON), as the workflow writes it: groups cohort and sepsis3, list vitals",
    )
    parser.add_argument("--table", type=Path, required=True, help="Table 1 to write (CSV)")
    parser.add_argument("--page", type=Path, required=True, help="Table 1 to write (HTML)")
    parser.add_argument("--figure", type=Path, required=True, help="flow chart to write (SVG)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the query engine (default: 1)")
    arguments = parser.parse_args()

    from workflow_scripts.cohorts.description import describe_stays
    from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
    from workflow_scripts.cohorts.table_one import make_table_one
    from workflow_scripts.reporting.attrition import read_attrition
    from workflow_scripts.reporting.consort import attrition_stages, draw_consort
    from workflow_scripts.reporting.table_one import render_table_one
    from workflow_scripts.runtime.files import write_text

    settings = read_settings(arguments.settings)
    cohort, steps = read_attrition(arguments.attrition)
    stays = describe_stays(
        arguments.events, arguments.cohort, Sepsis3Parameters(**settings["sepsis3"]), arguments.threads
    )
    table = make_table_one(stays)
    stages = attrition_stages(stays, steps, CohortParameters(**settings["cohort"]), settings["vitals"])
    write_text(arguments.table, table.to_csv(index=False, lineterminator="\n"))
    write_text(arguments.page, render_table_one(cohort, table))
    write_text(arguments.figure, draw_consort(cohort, *stages))


if __name__ == "__main__":
    run_step(main)
