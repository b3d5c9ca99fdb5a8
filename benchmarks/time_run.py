"""Time every phase of the default run, and its peak memory.

Runs the study of params.yaml from nothing in a temporary folder (the environment exists already), then prints
for each rule its jobs and their summed wall seconds; and for the whole run: wall seconds and the largest memory of all
its processes together, the warm servers that runs are forked from included. `--json FILE` keeps the figures.

    python benchmarks/time_run.py --cores 2
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


@dataclass
class Phase:
    """One rule: its jobs together."""

    rule: str
    jobs: int = 0
    wall_seconds: float = 0.0


class MemoryWatch(threading.Thread):
    """The largest memory of a workflow's processes, shared pages counted once (PSS), in MiB.

    They are its descendants, and the warm servers that end with it, which are nobody's children, with theirs.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(process.pid)
        self.peak_mib = 0.0

    def run(self) -> None:
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            self.peak_mib = max(self.peak_mib, self._now_mib())
            time.sleep(0.5)

    def _now_mib(self) -> float:
        total = 0
        for process in [self._process, *self._process.children(recursive=True), *self._warm()]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        return total / 2**20

    def _warm(self) -> list[psutil.Process]:
        owner = str(self._process.pid)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "workflow_scripts.runtime.warm.server" in command and command[-1] == owner:
                found.append(process)
        return found


def main() -> None:
    """Parse the arguments, run the study, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", default="all", help="cores for snakemake")
    parser.add_argument("--config", nargs="*", default=[], help="settings as for snakemake --config")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "params.yaml", folder)
        wall, watch = _run_study(folder, options.cores, options.config)
        phases = _phases(folder / "logs")
    _print(phases, wall, watch.peak_mib)
    if options.json:
        figures = {"wall_seconds": wall, "peak_mib": watch.peak_mib, "phases": [asdict(p) for p in phases]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _run_study(folder: Path, cores: str, config: list[str]) -> tuple[float, MemoryWatch]:
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", cores, "--quiet", "all"]
    command += ["--config", *config] if config else []
    begun = time.perf_counter()
    process = subprocess.Popen(command)
    watch = MemoryWatch(process)
    watch.start()
    if process.wait() != 0:
        raise SystemExit("error: the run failed; see its messages above")
    return time.perf_counter() - begun, watch


def _phases(logs: Path) -> list[Phase]:
    """One phase for each rule, from the files that Snakemake's `benchmark:` directive wrote."""
    phases: dict[str, Phase] = {}
    for path in sorted(logs.rglob("*.benchmark.tsv"), key=lambda path: path.stat().st_mtime):
        parts = path.relative_to(logs).parts
        rule = parts[-1].removesuffix(".benchmark.tsv")
        if parts[-2:-1] and parts[-2] not in ("simulated", "mimic-iii-demo", "mimic-iii"):
            rule = parts[-2]
        phase = phases.setdefault(rule, Phase(rule))
        with path.open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        phase.jobs += 1
        phase.wall_seconds += float(row["s"])
    return list(phases.values())


def _print(phases: list[Phase], wall: float, peak_mib: float) -> None:
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB")
    print(f"{'rule':<20}{'jobs':>6}{'wall s':>10}")
    for phase in phases:
        print(f"{phase.rule:<20}{phase.jobs:>6}{phase.wall_seconds:>10.1f}")
    print(f"whole run: {wall:.1f} s wall, {peak_mib:.0f} MiB at most for all processes together")


if __name__ == "__main__":
    main()
