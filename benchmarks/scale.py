"""The paper's grid on many GPUs: Snakemake's own scheduler over the real graph of jobs, with recorded durations.

Every size is params/paper.yaml with more or fewer seeds, so that it has about so many jobs. No job runs: each takes a
recorded time on a simulated clock, which goes on by what the scheduler needs itself
(simulated_cluster/snakemake_executor_plugin_simulated says how). The ideal is the work of all GPU jobs over the number
of GPUs. `whole` is the ideal over the makespan, which also holds the jobs that come before and after them, one by one:
data, tables, report. `runs` is the ideal over the time from the first GPU job's start to the last one's end.
Times of Snakemake are CPU times of its process, which other work on the machine changes little.

    python -m benchmarks.scale simulate                          # 1,000, 5,000 and 20,000 jobs; 4 to 256 GPUs
    python -m benchmarks.scale simulate --jobs 1000 --gpus 4 --gpus 64 --factor 10    # runs ten times as long
    python -m benchmarks.scale record results/mimic-iii-demo     # renew the recorded durations
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import yaml
from typer import Argument, Option

from benchmarks import harness

RECORDED = Path(__file__).with_name("recorded_durations.json")
SEEDED_JOBS = 170
"""Jobs that each seed of params/paper.yaml adds; the other few are data, weights and tables."""


def simulate(
    jobs: Annotated[list[int], Option(help="size of the study, once for each")] = (1000, 5000, 20000),
    gpus: Annotated[list[int], Option(help="number of GPUs, once for each")] = (4, 16, 64, 256),
    factor: Annotated[float, Option(help="how much longer than recorded each run takes")] = 1.0,
    output: harness.Output = None,
) -> None:
    """Simulate every size on every number of GPUs."""
    harness.print_about(f"simulated GPUs; runs take {factor:g} times as long as recorded")
    harness.report(
        {"Simulated studies": [simulated(size, number, factor) for size in jobs for number in gpus]}, output
    )


def simulated(jobs: int, gpus: int, factor: float) -> dict[str, Any]:
    """One study of about so many jobs on so many GPUs, in a copy of the project."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy_project(folder)
        study = yaml.safe_load((harness.ROOT / "params/paper.yaml").read_text(encoding="utf-8"))
        seeds = list(range(max(1, round(jobs / SEEDED_JOBS))))
        study |= {"dataset": "simulated", "seeds": seeds, "tracking": {"uri": ""}}
        (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", 4 * gpus, "--resources", f"gpu={gpus}"]
        cost = harness.command_cost(
            [*command, "--executor", "simulated", "--configfile", "study.yaml"],
            folder,
            PYTHONPATH=os.pathsep.join([str(harness.ROOT / "benchmarks/simulated_cluster"), name]),
            VITALORA_DURATIONS=str(RECORDED),
            VITALORA_FACTOR=str(factor),
            VITALORA_SIMULATION=str(folder / "simulation.json"),
            VITALORA_WARM="0",
        )
        found = json.loads((folder / "simulation.json").read_text(encoding="utf-8"))
        metadata = sum(path.is_file() for path in (folder / ".snakemake/metadata").rglob("*"))
    ideal = found["gpu_work_seconds"] / gpus
    return {
        "jobs": found["jobs"],
        "GPUs": gpus,
        "makespan, h": found["makespan_seconds"] / 3600,
        "ideal, h": ideal / 3600,
        "whole": ideal / found["makespan_seconds"],
        "runs": ideal / found["gpu_phase_seconds"],
        "GPU work, h": found["gpu_work_seconds"] / 3600,
        "graph, s": cost.cpu - found["scheduling_seconds"],
        "scheduling, ms a job": 1e3 * found["scheduling_seconds"] / found["jobs"],
        "memory, MiB": cost.peak_mib,
        "metadata files": metadata,
    }


def _copy_project(folder: Path) -> None:
    """What the workflow is made of, without data and results."""
    for name in ("workflow_scripts", "rules", "profiles", "envs", "weights/embedded"):
        shutil.copytree(harness.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "params.yaml", "weights.lock.yaml"):
        if (harness.ROOT / name).exists():
            shutil.copy(harness.ROOT / name, folder / name)


def record(
    results: Annotated[Path, Argument(help="results of a finished study, as results/mimic-iii-demo")],
) -> None:
    """Renew the recorded durations from a finished study's records and benchmark files."""
    RECORDED.write_text(json.dumps(recorded(results), indent=1) + "\n", encoding="utf-8")


def recorded(results: Path) -> dict[str, dict[str, Any]]:
    """Seconds of a finished study's runs, by family and method, and of its other jobs, by rule.

    Of the runs of one kind the quartiles: what is longer was held up by other work on the machine.
    """
    from benchmarks.run_time import rule_jobs
    from workflow_scripts.adaptation.arms import Arm

    runs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(results.glob("runs/*/*/*/*/*/run.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        runs[found["family"]][Arm.parse(found["key"]["arm"]).method].append(found["seconds"]["total"])
    rules = rule_jobs(results.parents[1] / "logs" / results.name)
    quartiles = {
        family: {method: statistics.quantiles(seconds, n=4) for method, seconds in methods.items()}
        for family, methods in runs.items()
    }
    return {
        "runs": quartiles,
        "rules": {
            rule: [float(job["s"]) for job in jobs] for rule, jobs in rules.items() if rule != "run_arm"
        },
    }


app = harness.command_line(simulate, record)

if __name__ == "__main__":
    harness.run(app)
