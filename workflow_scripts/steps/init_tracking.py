"""Make the MLflow store ready: schema, experiment of the data set, one run for each sweep, runs that were lost.

Has to run once before jobs track their runs in parallel; running it again changes nothing. A store that cannot be
reached is only warned of: the study runs without it, and sync_tracking brings MLflow up to date afterwards.

Example:
    python -m workflow_scripts.steps.init_tracking --uri sqlite:///mlflow.db --dataset simulated \\
        --settings results/simulated/summary/settings/sync_tracking.json
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.reporting.sweeps import sweep_keys
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.tracking.mirror import Mirror
from workflow_scripts.tracking.store import initialise, is_known, unusable


def main() -> None:
    """Parse the arguments, make the store ready."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uri", required=True, help="MLflow tracking URI; empty: no tracking")
    parser.add_argument("--dataset", required=True, help="name of the data set: the experiment's name")
    parser.add_argument(
        "--settings",
        type=Path,
        help="settings file of sync_tracking (JSON), whose `runs` lists the paths of all run.json of the study",
    )
    options = parser.parse_args()
    if not options.uri:
        return
    runs = read_settings(options.settings)["runs"] if options.settings else []
    try:
        experiment_id = initialise(options.uri, options.dataset)
        if runs:
            _add_sweeps(options.uri, experiment_id, sweep_keys(options.dataset, [Path(run) for run in runs]))
    except UserError as error:
        if not is_known(options.uri):
            raise
        print(f"warning: the study runs without MLflow: {error}", file=sys.stderr)


def _add_sweeps(uri: str, experiment_id: str, keys: list[dict[str, Any]]) -> None:
    """One process makes the runs of sweeps, so that jobs that begin at once find theirs."""
    try:
        Mirror(uri, experiment_id).add_sweeps(keys)
    except Exception as error:
        raise unusable(uri, error) from error


if __name__ == "__main__":
    run_step(main)
