"""Open the study's runs in MLflow's pages, on this machine only, brought up to date first.

Example:
    python -m workflow_scripts.steps.browse_runs --results results --port 5000
"""

import argparse
from pathlib import Path

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.steps.sync_tracking import sync
from workflow_scripts.tracking.client import is_database
from workflow_scripts.tracking.server import become_server

START_PAGE = "#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def main() -> None:
    """Parse the arguments, bring every data set's experiment up to date, become MLflow's server."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        help="folder of all data sets' results (default: results)",
    )
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: 5000)")
    options = parser.parse_args()
    found = sorted(options.results.glob("*/summary/settings/sync_tracking.json"))
    studies = [settings for settings in map(read_settings, found) if settings["tracking"]["uri"]]
    if not studies:
        raise UserError(
            str(options.results),
            "no study with tracked runs",
            "results of a study whose tracking.uri is not empty",
            "run the study first: make run",
        )
    # The newest study's store; the pages show one store at a time.
    uri = max(zip(found, studies, strict=False), key=lambda each: each[0].stat().st_mtime)[1]["tracking"][
        "uri"
    ]
    server = f"http://127.0.0.1:{options.port}" if is_database(uri) else uri
    for settings in studies:
        if settings["tracking"]["uri"] == uri:
            shown = sync(settings, Path("data") / settings["dataset"] / "windows")
            page = START_PAGE.format(experiment_id=shown["experiment_id"])
            print(f"{settings['dataset']}: {server}/{page}", flush=True)
    if is_database(uri):
        become_server(
            ["--host", "127.0.0.1", "--port", str(options.port), "--workers", "1", "--backend-store-uri", uri]
        )


if __name__ == "__main__":
    run_step(main)
