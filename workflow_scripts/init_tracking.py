"""Make the MLflow store ready: schema, experiment of a data set, runs that were lost.

Has to run once before jobs track their runs in parallel; running it again changes nothing.

Example:
    python -m workflow_scripts.init_tracking --uri sqlite:///mlflow.db --dataset simulated --output ready.json
"""

import argparse

from workflow_scripts.runtime.step import run_step
from workflow_scripts.runtime.tracking import initialise

DESCRIPTION = (
    "Forecasts of vital signs on **{dataset}**: one run for each cohort, vital sign, model, arm and seed. "
    "`run.json` in the results folder is each run's full record."
)


def main() -> None:
    """Parse the arguments, initialise the store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uri", required=True, help="MLflow tracking URI; empty: no tracking")
    parser.add_argument("--dataset", required=True, help="name of the data set: the experiment's name")
    options = parser.parse_args()
    if options.uri:
        initialise(options.uri, options.dataset, DESCRIPTION.format(dataset=options.dataset))


if __name__ == "__main__":
    run_step(main)
