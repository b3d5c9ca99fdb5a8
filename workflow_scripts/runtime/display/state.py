"""How far a run is, and how long it will take: from measured durations, never from a guess."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

SETTLING_SECONDS = 60.0
"""For about this long the estimate trusts the number of cores more than the speed of the run so far."""


@dataclass
class Job:
    """One job of a run. keys: see `duration_keys`. begun, ended: seconds of one clock."""

    rule: str
    message: str
    outputs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    begun: float = 0.0
    ended: float | None = None

    def seconds(self, now: float) -> float:
        """How long the job took, or has been running."""
        return (now if self.ended is None else self.ended) - self.begun


def duration_keys(rule: str, wildcards: Mapping[str, str], benchmark: str) -> tuple[str, ...]:
    """What a job's duration is known under, from the job itself to all jobs of all rules."""
    model, arm = wildcards.get("model", ""), wildcards.get("arm", "")
    return (benchmark, f"{rule} {model} {arm}", f"{rule} {model}", rule, "any")


class Durations:
    """Measured durations of jobs, each kept under all of its keys."""

    def __init__(self) -> None:
        self._seconds: dict[str, tuple[int, float]] = {}

    def add(self, keys: Iterable[str], seconds: float) -> None:
        """Note a measured duration."""
        for key in filter(None, keys):
            count, total = self._seconds.get(key, (0, 0.0))
            self._seconds[key] = count + 1, total + seconds

    def expected(self, keys: Iterable[str]) -> float | None:
        """The mean duration under the first key that has any; None if nothing was measured yet."""
        return next((known[1] / known[0] for key in keys if (known := self._seconds.get(key))), None)


def benchmark_seconds(path: Path) -> float | None:
    """The mean of column `s` of a benchmark file; None if the file is missing or unreadable."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return fmean(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass
class RunState:
    """Which jobs of a run are done, running, failed or to come. Times are seconds of one clock.

    planned: the duration keys of every job that the run will have. cores: how many jobs may run at once.
    running, done, failed: Snakemake's number of a job -> job.
    """

    planned: list[tuple[str, ...]] = field(default_factory=list)
    cores: int = 1
    begun: float = 0.0
    durations: Durations = field(default_factory=Durations)
    running: dict[int, Job] = field(default_factory=dict)
    done: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, Job] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of jobs of the run."""
        return max(len(self.planned), len(self.running) + len(self.done) + len(self.failed))

    def start(self, number: int, job: Job) -> None:
        """A job begins, perhaps again."""
        self.failed.pop(number, None)
        self.running[number] = job

    def finish(self, number: int, now: float) -> None:
        """A job is done."""
        if job := self._end(number, now, self.done):
            self.durations.add(job.keys, job.seconds(now))

    def fail(self, number: int, now: float) -> Job | None:
        """A job has failed; None for one that did not begin."""
        return self._end(number, now, self.failed)

    def _end(self, number: int, now: float, ended: dict[int, Job]) -> Job | None:
        job = self.running.pop(number, None)
        if job is not None:
            job.ended = now
            ended[number] = job
        return job

    def seconds_left(self, now: float) -> float | None:
        """Expected work that is left, divided by the speed of the run so far.

        None while for most jobs no job of the same rule was ever measured.
        Speed is expected work done per second: it covers parallel jobs, a slower machine and longer training
        than in earlier runs. It begins as the number of cores and is never less than the longest running job.
        """
        expected = self.durations.expected
        if 2 * sum(expected(keys[:-1]) is not None for keys in self.planned) <= len(self.planned):
            return None
        total = sum(expected(keys) or 0.0 for keys in self.planned)
        running = [(expected(job.keys) or 0.0, job.seconds(now)) for job in list(self.running.values())]
        ended = [*self.done.values(), *self.failed.values()]
        work = sum(expected(job.keys) or 0.0 for job in ended) + sum(map(min, running))
        speed = (work + self.cores * SETTLING_SECONDS) / (now - self.begun + SETTLING_SECONDS)
        longest = max((complete - so_far for complete, so_far in running), default=0.0)
        return max((total - work) / max(speed, 1e-6), longest, 0.0)
