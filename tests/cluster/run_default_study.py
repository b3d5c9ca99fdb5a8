"""Run the study of params.yaml here and on a Slurm of two nodes with four stand-in GPUs, and compare the results.

Example:
    python tests/cluster/run_default_study.py            # in a temporary folder
    python tests/cluster/run_default_study.py FOLDER     # keeps both projects
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from tests.cluster.same_results import different_files, placement
from tests.cluster.slurm_cluster import SlurmCluster, running
from tests.helpers.projects import ROOT, copy_project

LOCAL = ("snakemake", "--cores", "all")
SLURM = (
    *("snakemake", "--profile", "profiles/slurm", "--slurm-status-command", "squeue"),
    *("--set-threads", "adapt_and_forecast=1", "forecast_zero_shot=1", "train_from_scratch=1"),
)
"""The command of docs/cluster.md on few cores, with one thread a run as there is without GPUs."""


def main() -> None:
    """Run both, compare, and end with 1 where they differ."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(*sys.argv[1:2] or [temporary]).resolve()
        cluster = SlurmCluster(folder / "slurm")
        if reason := cluster.prepare():
            sys.exit(reason)
        study = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        local = copy_project(folder / "local", study)
        submitted = copy_project(folder / "submitted", study)
        timed("here", local, LOCAL, {})
        with running(cluster):
            timed("on Slurm", submitted, SLURM, cluster.environment)
            jobs = cluster.jobs()
        different = different_files(local, submitted)
        placed = [placement(log) for log in (submitted / "logs").rglob("run_arm/*.log")]
        devices = {(place.node, place.device) for place in placed if place}
        print(f"{len(jobs)} jobs of Slurm; {sum(map(bool, placed))} runs on {len(devices)} devices")
        print(f"{len(different)} results differ", *different, sep="\n")
        sys.exit(bool(different))


def timed(where: str, project: Path, command: tuple[str, ...], variables: dict[str, str]) -> None:
    """Run a study and say how long that took; what it says lies beside the project."""
    begun = time.monotonic()
    print(f"{where}: {' '.join(command)}", flush=True)
    with project.with_suffix(".log").open("w") as log:
        subprocess.run(
            command, cwd=project, env={**os.environ, **variables}, stdout=log, stderr=log, check=True
        )
    records = len(list((project / "results").rglob("run.json")))
    print(f"{records} runs in {time.monotonic() - begun:.0f} s, {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
