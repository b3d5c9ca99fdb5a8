"""Speed and memory of the simulator: gzipped chart events a second, all other tables and start-up included.

Each size runs in a process of its own, with as many rows that no study reads as in the open demo, and without.

    python benchmarks/simulate.py --patients 400 1600
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
_WORKER = """
import json, re, sys
from pathlib import Path
from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic
rows = simulate_mimic(SimulatorParameters(patients=sys.argv[1], routine_events=sys.argv[2]), Path(sys.argv[3]))
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([rows["chartevents"], peak]))
"""


def main() -> None:
    """Parse the arguments, run every size, print one line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, nargs="+", default=[400, 1600])
    parser.add_argument("--routine-events", type=float, nargs="+", default=[0, 4.7])
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores")
    for routine in options.routine_events:
        for patients in options.patients:
            print(measured(patients, routine))


def measured(patients: int, routine: float) -> str:
    """Simulate in a process of its own; return rows, seconds, rows a second, memory and load."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        command = [sys.executable, "-c", _WORKER, str(patients), str(routine), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            rows, peak = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall, cpu = time.perf_counter() - begun, usage.ru_utime + usage.ru_stime
    speeds = f"{rows / wall:,.0f} a second, {rows / cpu:,.0f} a CPU second"
    cost = f"{wall:.1f} s, CPU {cpu:.1f} s, {peak:.0f} MiB, load {os.getloadavg()[0]:.1f}"
    return f"{patients} patients, {routine:g} routine events: {rows:,} chart events, {speeds}; {cost}"


if __name__ == "__main__":
    main()
