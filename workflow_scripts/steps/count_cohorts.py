"""Print how many ICU stays each cohort has, as a Markdown table, with the default inclusion steps.

Example:
    python -m workflow_scripts.steps.count_cohorts --events data/mimic-iii-demo/events
"""

import argparse
from pathlib import Path

from workflow_scripts.cohorts.definitions import definition_names
from workflow_scripts.cohorts.parameters import PRESETS, CohortParameters, Sepsis3Parameters
from workflow_scripts.runtime.step import run_step

COLUMNS = ("cohort", "stays of the definition", "included stays", "admissions", "patients", "with onset")


def main() -> None:
    """Parse the command line, label each cohort with the default inclusion steps, print one row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--events", type=Path, required=True, help="folder with the events tables (Parquet)")
    parser.add_argument(
        "--cohorts", nargs="+", default=definition_names(), help="definitions to count (default: all)"
    )
    parser.add_argument(
        "--sepsis3",
        choices=list(PRESETS),
        default="clinical",
        help="preset of the Sepsis-3 choices (default: %(default)s)",
    )
    parser.add_argument(
        "--vitals",
        nargs="+",
        default=["heart_rate", "mean_blood_pressure"],
        help="vital signs that must be charted (default: %(default)s)",
    )
    arguments = parser.parse_args()

    from workflow_scripts.cohorts.labelling import label_cohort

    print("| " + " | ".join(COLUMNS) + " |\n|---" + "|---:" * (len(COLUMNS) - 1) + "|")
    for cohort in arguments.cohorts:
        table, attrition = label_cohort(
            arguments.events,
            cohort,
            CohortParameters(),
            arguments.vitals,
            sepsis3=Sepsis3Parameters(definition=arguments.sepsis3),
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
    run_step(main)
