"""The size of each cohort of a data set."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from workflow_scripts.cohorts.definitions import definition_names
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.runtime.step import run_step

COLUMNS = ("cohort", "stays of the definition", "included stays", "admissions", "patients", "with onset")
VITALS = ("heart_rate", "mean_blood_pressure")


def count_cohorts(
    events: Annotated[Path, Option(help="folder with the events tables (Parquet)")],
    cohorts: Annotated[
        list[str] | None, Option(help="a definition to count, once for each (default: all)")
    ] = None,
    sepsis3: Annotated[
        Literal["clinical", "mimic_code"], Option(help="preset of the Sepsis-3 choices")
    ] = "clinical",
    vitals: Annotated[
        list[str] | None,
        Option(help=f"a vital sign that must be charted, once for each (default: {' and '.join(VITALS)})"),
    ] = None,
) -> None:
    """Print how many ICU stays each cohort has, as a Markdown table, with the default inclusion steps.

    Example:
        python -m workflow_scripts.steps.count_cohorts --events data/mimic-iii-demo/events
    """
    from workflow_scripts.cohorts.labelling import label_cohort

    print("| " + " | ".join(COLUMNS) + " |\n|---" + "|---:" * (len(COLUMNS) - 1) + "|")
    for cohort in cohorts or definition_names():
        table, attrition = label_cohort(
            events,
            cohort,
            CohortParameters(),
            vitals or list(VITALS),
            sepsis3=Sepsis3Parameters(definition=sepsis3),
        )
        stays = table.to_pylist()
        last = attrition[-1]
        cells = [
            sum(stay["meets_definition"] for stay in stays),
            *(last.stays, last.admissions, last.patients),
            sum(stay["included"] and stay["onset"] is not None for stay in stays),
        ]
        print(f"| {cohort} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")


if __name__ == "__main__":
    run_step(count_cohorts)
