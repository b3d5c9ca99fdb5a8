"""Opens the study's runs in MLflow's own pages."""

import os
import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking.pages import TRAINING_PAGES
from workflow_scripts.tracking.store import ENVIRONMENT, is_database


def browse_runs(
    results: Annotated[Path, Option(help="folder of all data sets' results")] = Path("results"),
    port: Annotated[int, Option(help="port on 127.0.0.1")] = 5000,
) -> None:
    """Open the study's runs in MLflow's pages, on this machine only, brought up to date first.

    Example:
        python -m workflow_scripts.steps.browse_runs --results results --port 5000
    """
    found = sorted(
        results.glob("*/summary/settings/sync_tracking.json"), key=lambda path: path.stat().st_mtime
    )
    studies = [study for study in map(read_settings, found) if study["tracking"]["uri"]]
    if not studies:
        raise UserError(
            where=str(results),
            found="no study with tracked runs",
            expected="results of a study whose tracking.uri is not empty",
            remedy="run the study first: make run",
        )
    uri = studies[-1]["tracking"]["uri"]  # The newest study's store: the pages show one store at a time.
    server = f"http://127.0.0.1:{port}" if is_database(uri) else uri
    for study in studies:
        if study["tracking"]["uri"] == uri:
            shown = sync(study, Path("data") / study["dataset"] / "windows")
            page = f"{server}/#/experiments/{shown['experiment_id']}/runs?{TRAINING_PAGES}"
            print(f"{study['dataset']}: {page}", flush=True)
    if is_database(uri):
        os.environ.update(ENVIRONMENT)
        options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backend-store-uri", uri]
        os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *options])


if __name__ == "__main__":
    run_step(browse_runs)
