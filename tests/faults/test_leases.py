"""Eight jobs on two simulated devices, two of them killed while they hold one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

JOB = """
import os, sys, time
from pathlib import Path
from workflow_scripts.runtime.device import lease_device
with lease_device(Path(sys.argv[1]), timeout_seconds=300) as leased:
    busy = Path(sys.argv[1], f"busy{leased.identifier}")
    alone = not busy.exists() or not Path("/proc", busy.read_text()).exists()
    busy.write_text(str(os.getpid()))
    print(leased.identifier, alone, flush=True)
    if sys.argv[2] == "stays":
        time.sleep(600)
    busy.unlink()
"""


def test_six_of_eight_jobs_finish_after_two_were_killed_with_their_leases(tmp_path: Path) -> None:
    """Expected: no device held by two living jobs at once, and the killed jobs' devices free for the others."""

    def start(kind: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path), kind],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "VITALORA_DEVICES": "0,1"},
            stdout=subprocess.PIPE,
            text=True,
        )

    killed = [start("stays") for _ in range(2)]
    held = [job.stdout.readline().split() for job in killed if job.stdout]
    others = [start("ends") for _ in range(6)]
    for job in killed:
        job.send_signal(signal.SIGKILL)
        job.communicate()
    outputs = [job.communicate(timeout=300)[0].split() for job in others]
    assert sorted(device for device, _ in held) == ["0", "1"]
    assert [job.returncode for job in others] == [0] * 6
    assert all(alone == "True" for _, alone in [*held, *outputs])
