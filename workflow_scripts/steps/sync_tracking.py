"""Mirrors the records of finished runs in MLflow."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from workflow_scripts.runtime.files import require_own_file, write_json
from workflow_scripts.runtime.parameters import TrackingParameters
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.tracking.mirror import Mirror
from workflow_scripts.tracking.pages import data_kind
from workflow_scripts.tracking.store import open_experiment, sqlite_file
from workflow_scripts.tracking.sweeps import read_sweeps

LOG = logging.getLogger(__name__)


def sync_tracking(
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON): `dataset`, `tracking` as in params.yaml, and `runs`, the paths of "
            "all run.json of the study; those that are not there count as unfinished"
        ),
    ],
    windows: Annotated[
        Path | None,
        Option(help="folder of the windows, <cohort>/<vital>.parquet, for the errors by step of the horizon"),
    ] = None,
    output: Annotated[
        Path | None, Option(help="JSON to write: how many runs and sweeps MLflow shows")
    ] = None,
) -> None:
    """Bring MLflow up to date with the records of finished runs, each exactly once.

    A run that MLflow lacks is made from its run.json with its adapter; a run whose record has changed replaces the
    earlier one; a run that is shown already stays as it is. Each sweep then shows what validation recommends, and
    its adapter is registered under the alias `recommended`. Run again, it changes nothing.

    Example:
        python -m workflow_scripts.steps.sync_tracking \\
            --settings results/simulated/summary/settings/sync_tracking.json --output tracking.json
    """
    if output:
        require_own_file(output, begins='{\n  "experiment_id"')
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    shown = sync(read_settings(settings), windows)
    if output:
        write_json(output, shown)


def sync(settings: Mapping[str, Any], windows: Path | None = None) -> dict[str, Any]:
    """Do the step's work; return the experiment's id, and how many runs and sweeps MLflow shows.

    settings: parameters of the step. windows: folder of the windows; without it runs get no error by step.

    Raises UserError where a record or the store cannot be used.
    """
    tracking, dataset = TrackingParameters(**settings["tracking"]), settings["dataset"]
    if not tracking.uri:
        return {"experiment_id": None, "runs": 0, "sweeps": 0}
    paths = [Path(path) for path in settings["runs"]]
    sweeps = read_sweeps(dataset, paths)
    with open_experiment(tracking.uri, dataset) as experiment:
        mirror = Mirror(experiment)
        mirror.show(dataset, sweeps, windows, tracking.private or data_kind(dataset) == "open")
        if paths and sqlite_file(tracking.uri):  # A server may show runs of other folders too.
            mirror.forget_deleted_records(paths[0].parents[5], sweeps)
    runs = sum(len(sweep.runs) for sweep in sweeps)
    LOG.info("MLflow shows %d runs in %d sweeps; %d entries written", runs, len(sweeps), mirror.written)
    return {"experiment_id": experiment.id, "runs": runs, "sweeps": len(sweeps)}


if __name__ == "__main__":
    run_step(sync_tracking)
