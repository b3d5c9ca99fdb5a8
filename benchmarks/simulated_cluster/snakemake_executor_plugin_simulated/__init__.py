"""A Snakemake executor whose jobs take recorded time on a clock of its own: `snakemake --executor simulated`.

Snakemake's scheduler decides as ever, over the real graph of jobs. A job that it starts has its output files at once,
and is reported as finished when the clock has reached its end. The clock goes on by the time that the scheduler really
needs, and jumps to the next end of a job whenever the scheduler has nothing left to do. So the makespan holds the
scheduler's delays, and hours of GPU work pass in seconds.

VITALORA_DURATIONS: a JSON file, {"runs": {family: {method: [seconds, …]}}, "rules": {rule: [seconds, …]}}.
VITALORA_FACTOR: how much longer each run takes.
VITALORA_SIMULATION: a JSON file to write: jobs, makespan, the work of all jobs on GPUs, the time between the first
start and the last end of such a job, the scheduler's time.
"""

import heapq
import itertools
import json
import os
import time
import zlib
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.base import AbstractExecutor, SubmittedJobInfo
from snakemake_interface_executor_plugins.settings import CommonSettings

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.models.registry import family_of

common_settings = CommonSettings(
    non_local_exec=False,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,
)


class Durations:
    """Recorded seconds: of a run by its family and method, of another job by its rule."""

    def __init__(self, path: Path, factor: float) -> None:
        self._recorded, self._factor = json.loads(path.read_text(encoding="utf-8")), factor

    def of(self, job: Any) -> float:
        """One of the recorded times of such jobs, the same at every call."""
        names, rule = job.wildcards_dict, job.rule.name
        if is_run := rule != "evaluate_transfer" and "model" in names and "arm" in names:
            methods = self._recorded["runs"][family_of(names["model"])]
            # A method that was not recorded takes as long as its family's first one.
            recorded = methods.get(Arm.parse(names["arm"]).method) or next(iter(methods.values()))
        else:
            recorded = self._recorded["rules"].get(rule, [1.0])
        chosen = recorded[zlib.crc32(repr(sorted(names.items())).encode()) % len(recorded)]
        return float(chosen) * (self._factor if is_run else 1.0)


class Clock:
    """Stands in for the semaphore on which the scheduler waits: where that would wait, jobs end instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self.scheduling = 0.0
        self.not_counted = 0.0
        self._free = 0
        self._busy_since = _cpu_seconds()
        self._ends: list[tuple[float, int, Any]] = []
        self._order = itertools.count()

    def add(self, seconds: float, end: Any) -> None:
        """Call `end` after so many seconds."""
        heapq.heappush(self._ends, (self.now + seconds, next(self._order), end))

    def release(self) -> None:
        """The scheduler may look again."""
        self._free += 1

    def acquire(self) -> None:
        """Let the time of the scheduler pass, then the jobs that have ended by now, or else the next one, report."""
        busy = _cpu_seconds() - self._busy_since - self.not_counted
        self.not_counted = 0.0
        self.scheduling += busy
        self.now += busy
        while self._ends and (self._ends[0][0] <= self.now or not self._free):
            self.now = max(self.now, self._ends[0][0])
            heapq.heappop(self._ends)[2]()
        self._free -= 1
        self._busy_since = _cpu_seconds()


class Executor(AbstractExecutor):
    """Writes empty outputs, and reports jobs as the clock says."""

    def __init__(self, workflow: Any, logger: Any) -> None:
        super().__init__(workflow, logger)
        self._durations = Durations(
            Path(os.environ["VITALORA_DURATIONS"]), float(os.environ["VITALORA_FACTOR"])
        )
        self._clock: Clock | None = None
        self._jobs = 0
        self._gpu_work = self._last_end = 0.0
        self._first_start: float | None = None

    def run_job(self, job: Any) -> None:
        """Make the job's outputs, which takes no time here, and let it end later."""
        if self._clock is None:
            self._clock = self.workflow.scheduler._open_jobs = Clock()
        begun = _cpu_seconds()
        for output in [*job.output, *job.log, *filter(None, [job.benchmark])]:
            path = Path(output)
            if getattr(output, "is_directory", False):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        self._clock.not_counted += _cpu_seconds() - begun
        seconds = self._durations.of(job)
        self._jobs += 1
        if gpus := int(job.resources.get("gpu", 0)):
            self._gpu_work += seconds * gpus
            self._first_start = self._clock.now if self._first_start is None else self._first_start
            self._last_end = max(self._last_end, self._clock.now + seconds)
        info = SubmittedJobInfo(job=job)
        self.report_job_submission(info)
        self._clock.add(seconds, lambda: self.report_job_success(info))

    def shutdown(self) -> None:
        """Say what was simulated."""
        if self._clock is None:
            return
        found = {
            "jobs": self._jobs,
            "makespan_seconds": self._clock.now,
            "gpu_work_seconds": self._gpu_work,
            "gpu_phase_seconds": self._last_end - (self._first_start or 0.0),
            "scheduling_seconds": self._clock.scheduling,
        }
        Path(os.environ["VITALORA_SIMULATION"]).write_text(json.dumps(found), encoding="utf-8")

    def cancel(self) -> None:
        """No process is there to stop."""

    def handle_job_success(self, job: Any) -> None:
        """Nothing is left to do."""

    def handle_job_error(self, job: Any) -> None:
        """No job fails."""

    def get_exec_mode(self) -> Any:
        """No job runs a Snakemake of its own."""
        raise AssertionError("a simulated job starts no process")


def _cpu_seconds() -> float:
    """CPU time of the scheduler's thread and of solvers it starts, which other work on the machine changes little."""
    times = os.times()
    return time.thread_time() + times.children_user + times.children_system
