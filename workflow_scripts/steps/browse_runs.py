"""The study's runs in MLflow's pages."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking.client import is_database
from workflow_scripts.tracking.server import become_server

START_PAGE = "#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def browse_runs(
    results: Annotated[Path, Option(help="folder of all data sets' results")] = Path("results"),
    port: Annotated[int, Option(help="port on 127.0.0.1")] = 5000,
) -> None:
    """Open the study's runs in MLflow's pages, on this machine only, brought up to date first.

    Example:
        python -m workflow_scripts.steps.browse_runs --results results --port 5000
    """
    found = sorted(results.glob("*/summary/settings/sync_tracking.json"))
    studies = [settings for settings in map(read_settings, found) if settings["tracking"]["uri"]]
    if not studies:
        raise UserError(
            str(results),
            "no study with tracked runs",
            "results of a study whose tracking.uri is not empty",
            "run the study first: make run",
        )
    # The newest study's store; the pages show one store at a time.
    uri = max(zip(found, studies, strict=False), key=lambda each: each[0].stat().st_mtime)[1]["tracking"][
        "uri"
    ]
    server = f"http://127.0.0.1:{port}" if is_database(uri) else uri
    for settings in studies:
        if settings["tracking"]["uri"] == uri:
            shown = sync(settings, Path("data") / settings["dataset"] / "windows")
            page = START_PAGE.format(experiment_id=shown["experiment_id"])
            print(f"{settings['dataset']}: {server}/{page}", flush=True)
    if is_database(uri):
        become_server(
            ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backend-store-uri", uri]
        )


if __name__ == "__main__":
    run_step(browse_runs)
