"""The paper's grid on many GPUs: Snakemake's own scheduler over the real graph of jobs, with recorded durations.

Every size is params/paper.yaml with more or fewer seeds, so that it has about so many jobs. No job runs: each takes a
recorded time on a simulated clock, which goes on by what the scheduler needs itself
(simulated_cluster/snakemake_executor_plugin_simulated says how). The ideal is the work of all GPU jobs over the number
of GPUs. `whole` is the ideal over the makespan, which also holds the jobs that come before and after them, one by one:
data, tables, report. `runs` is the ideal over the time from the first GPU job's start to the last one's end.
Times of Snakemake are CPU times of its process, which other work on the machine changes little.

    python benchmarks/scale.py                                        # 1,000, 5,000 and 20,000 jobs; 4 to 256 GPUs
    python benchmarks/scale.py --jobs 1000 --gpus 4 64 --factor 10    # jobs that take ten times as long
    python benchmarks/scale.py --record results/mimic-iii-demo        # renew the recorded durations
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RECORDED = Path(__file__).with_name("recorded_durations.json")
SEEDED_JOBS = 170
"""Jobs that each seed of params/paper.yaml adds; the other few are data, weights and tables."""


def main() -> None:
    """Parse the arguments; record durations, or simulate every size on every number of GPUs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 5000, 20000], help="sizes of the study")
    parser.add_argument("--gpus", type=int, nargs="+", default=[4, 16, 64, 256], help="numbers of GPUs")
    parser.add_argument(
        "--factor", type=float, default=1.0, help="how much longer than recorded each run takes"
    )
    parser.add_argument(
        "--record", type=Path, metavar="RESULTS", help="write the durations of a finished study"
    )
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    options = parser.parse_args()
    if options.record:
        RECORDED.write_text(json.dumps(recorded(options.record), indent=1) + "\n", encoding="utf-8")
        return
    print(
        f"{'jobs':>7}{'GPUs':>6}{'makespan h':>12}{'ideal h':>9}{'whole':>8}{'runs':>8}"
        f"{'graph s':>9}{'scheduling ms/job':>19}{'memory MiB':>12}{'metadata files':>16}"
    )
    rows = []
    for jobs in options.jobs:
        for gpus in options.gpus:
            rows.append(simulate(jobs, gpus, options.factor))
            print(_line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def recorded(results: Path) -> dict[str, dict[str, Any]]:
    """Seconds of a finished study's runs, by family and method, and of its other jobs, by rule.

    Of the runs of one kind the quartiles: what is longer was held up by other work on the machine.
    """
    from workflow_scripts.adaptation.arms import Arm

    runs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(results.glob("runs/*/*/*/*/*/run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        method = Arm.parse(record["key"]["arm"]).method
        runs[record["family"]][method].append(record["seconds"]["total"])
    rules: dict[str, list[float]] = defaultdict(list)
    logs = results.parents[1] / "logs" / results.name
    for path in sorted(logs.rglob("*.benchmark.tsv")):
        rule = path.relative_to(logs).parts[0].removesuffix(".benchmark.tsv")
        if rule != "run_arm":
            rules[rule].append(float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]))
    quartiles = {
        family: {method: statistics.quantiles(seconds, n=4) for method, seconds in methods.items()}
        for family, methods in runs.items()
    }
    return {"runs": quartiles, "rules": rules}


def simulate(jobs: int, gpus: int, factor: float) -> dict[str, Any]:
    """One study of about so many jobs on so many GPUs, in a copy of the project."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy_project(folder)
        _write_study(folder, jobs)
        _write_durations(folder / "durations.json", factor)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks/simulated_cluster"), str(folder)]),
            "VITALORA_DURATIONS": str(folder / "durations.json"),
            "VITALORA_SIMULATION": str(folder / "simulation.json"),
            "VITALORA_WARM": "0",
        }
        command = [sys.executable, "-m", "snakemake", "--cores", str(4 * gpus), "--resources", f"gpu={gpus}"]
        command += ["--executor", "simulated", "--configfile", "study.yaml"]
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        messages = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"the simulated study of {jobs} jobs on {gpus} GPUs failed:\n{messages[-2000:]}")
        found = json.loads((folder / "simulation.json").read_text(encoding="utf-8"))
        ideal = found["gpu_work_seconds"] / gpus
        return found | {
            "gpus": gpus,
            "ideal_seconds": ideal,
            "whole": ideal / found["makespan_seconds"],
            "runs": ideal / found["gpu_phase_seconds"],
            "graph_seconds": usage.ru_utime + usage.ru_stime - found["scheduling_seconds"],
            "wall_seconds": time.perf_counter() - begun,
            "memory_mib": usage.ru_maxrss / 1024,
            "metadata_files": sum(path.is_file() for path in (folder / ".snakemake/metadata").rglob("*")),
        }


def _copy_project(folder: Path) -> None:
    """What the workflow is made of, without data and results."""
    for name in ("workflow_scripts", "rules", "profiles", "envs", "weights/embedded"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "params.yaml", "weights.lock.yaml"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)


def _write_study(folder: Path, jobs: int) -> None:
    """The paper's grid on simulated patients, with as many seeds as give so many jobs; MLflow stays away."""
    study = yaml.safe_load((ROOT / "params/paper.yaml").read_text(encoding="utf-8"))
    study |= {
        "dataset": "simulated",
        "seeds": list(range(max(1, round(jobs / SEEDED_JOBS)))),
        "tracking": {"uri": ""},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")


def _write_durations(path: Path, factor: float) -> None:
    """The recorded durations, those of runs multiplied."""
    found = json.loads(RECORDED.read_text(encoding="utf-8"))
    found["runs"] = {
        family: {method: [factor * each for each in seconds] for method, seconds in methods.items()}
        for family, methods in found["runs"].items()
    }
    path.write_text(json.dumps(found), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    """One line of the table."""
    return (
        f"{row['jobs']:>7,}{row['gpus']:>6}{row['makespan_seconds'] / 3600:>12.2f}{row['ideal_seconds'] / 3600:>9.2f}"
        f"{row['whole']:>8.1%}{row['runs']:>8.1%}{row['graph_seconds']:>9.1f}"
        f"{1e3 * row['scheduling_seconds'] / row['jobs']:>19.1f}{row['memory_mib']:>12.0f}{row['metadata_files']:>16,}"
    )


if __name__ == "__main__":
    main()
