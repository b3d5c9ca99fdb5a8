"""The end of a large study: 1,000 finished runs to tables and report, and planning the paper's whole grid.

The runs are fabricated as the report's tests do it (tests/reporting/fabricated_study.py): records, forecasts of some
hundred test windows each, cohorts. The steps are the workflow's own commands. The peer of aggregation is one plain
reading of the same files, run.json and forecasts, with nothing computed.
Planning is `snakemake -n` of params/paper.yaml, as a new user would begin: nothing exists yet.

    python benchmarks/aggregation.py
    python benchmarks/aggregation.py --seeds 1 --arms zero-shot full lora-r2 --no-plan
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / room) for room in ("reporting", "evaluation", "helpers")]

from side_by_side import about, print_table  # noqa: E402

from tests.reporting.fabricated_study import Study, fabricate_study  # noqa: E402

ARMS = ("zero-shot", "full", *(f"lora-r{2**power}" for power in range(7)), "bitfit", "head-only", "ia3")
COHORTS = ("explicit", "sepsis3")
READ = """
import json, pathlib, sys
import pyarrow.parquet as parquet
for path in pathlib.Path(sys.argv[1]).rglob("run.json"):
    json.loads(path.read_text())
    parquet.read_table(path.with_name("forecasts.parquet"))
"""


def main() -> None:
    """Parse the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", nargs="+", default=ARMS, help="arms of each model")
    parser.add_argument("--seeds", type=int, default=7, help="seeds of each arm")
    parser.add_argument("--test-windows", type=int, default=300, help="test windows of each run")
    parser.add_argument("--no-plan", action="store_true", help="leave out the planning by Snakemake")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = fabricate_study(
            folder,
            arms=tuple(options.arms),
            seeds=tuple(range(options.seeds)),
            cohorts=COHORTS,
            test_windows=options.test_windows,
            naive=False,
            statistics=False,
        )
        runs = sorted(str(path) for path in study.runs.rglob("run.json"))
        print(about(f"{len(runs)} runs of {options.test_windows} test windows each; each step once"))
        rows = [("plain reading of all files", *_cost([sys.executable, "-c", READ, str(study.runs)], folder))]
        rows.append(("aggregate_metrics", *_cost(aggregation(study, runs), folder)))
        rows.append(("make_report", *_cost(report(study), folder)))
        if not options.no_plan:
            rows.append(("snakemake -n, params/paper.yaml", *_cost(plan(), folder)))
    print_table(("step", "wall s", "CPU s", "peak MiB"), rows)


def aggregation(study: Study, runs: list[str]) -> list[str]:
    """The command of the rule of this name."""
    settings = json.loads(study.settings.read_text())
    settings["parameters"] |= {"runs": runs, "evaluation": {}}
    path = study.folder / "aggregate.json"
    path.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "workflow_scripts.steps.aggregate_metrics", "--settings", str(path)]
    options = {"summary": study.folder, "windows": study.windows, "cohorts": study.folder / "cohorts"}
    return command + [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def report(study: Study) -> list[str]:
    """The command of the rule of this name."""
    command = [sys.executable, "-m", "workflow_scripts.steps.make_report"]
    options = {
        "settings": study.settings,
        "summary": study.folder,
        "runs": study.runs,
        "windows": study.windows,
    }
    options |= {"cohorts": study.folder / "cohorts", "output": study.folder / "report.html"}
    options |= {"figures": study.folder / "figures"}
    return command + [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def plan() -> list[str]:
    """Planning the paper's grid, in an empty folder."""
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--dry-run", "--quiet"]
    profile = ["--workflow-profile", str(ROOT / "profiles/default")]
    return [*command, "all", *profile, "--configfile", str(ROOT / "params/paper.yaml")]


def _cost(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds of a command, and its peak memory, MiB; processes that it starts and waits for included."""
    begun, environment = time.perf_counter(), os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"error: {' '.join(command)[:300]}\n{said.read()[-3000:]}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
