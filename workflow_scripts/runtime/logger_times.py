"""How long jobs take, and when a run will be through: from measured durations, never from a guess."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

WARM_UP_SECONDS = 60.0
"""For about this long the estimate trusts the number of cores more than the speed of the run so far."""


@dataclass
class Job:
    """One job of a run, as Snakemake's messages describe it. begun, ended: seconds of one clock."""

    identity: int
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


def duration_keys(rule: str, wildcards: Mapping[str, str], benchmark: str | None) -> tuple[str, ...]:
    """What a job's duration is known under, from the job itself to all jobs of all rules."""
    model, arm = wildcards.get("model", ""), wildcards.get("arm", "")
    return (*([benchmark] if benchmark else []), f"{rule} {model} {arm}", f"{rule} {model}", rule, "")


class Durations:
    """Measured durations of jobs, each kept under all of its keys."""

    def __init__(self) -> None:
        self._seconds: dict[str, tuple[int, float]] = {}

    def add(self, keys: Iterable[str], seconds: float) -> None:
        """Note a measured duration."""
        for key in keys:
            count, total = self._seconds.get(key, (0, 0.0))
            self._seconds[key] = count + 1, total + seconds

    def expected(self, keys: Iterable[str]) -> float | None:
        """The mean duration under the first key that has any; None where nothing was measured yet."""
        return next((known[1] / known[0] for key in keys if (known := self._seconds.get(key))), None)


def benchmark_seconds(path: Path) -> float | None:
    """The mean of column `s` of a Snakemake benchmark file; None where the file is missing or unreadable."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return fmean(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass
class RunState:
    """Which jobs of a run are done, running, failed or to come. Times are seconds of one clock.

    planned: the duration keys of every job that the run will have; cores: how many jobs may run at once.
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

    def start(self, job: Job) -> None:
        """A job begins, perhaps again."""
        self.failed.pop(job.identity, None)
        self.running[job.identity] = job

    def finish(self, identity: int, now: float) -> Job | None:
        """A job is done; None where it is none of the run's own."""
        job = self.running.pop(identity, None)
        if job is not None:
            job.ended = now
            self.done[identity] = job
            self.durations.add(job.keys, job.seconds(now))
        return job

    def fail(self, identity: int, now: float) -> Job | None:
        """A job has failed; None where it is none of the run's own."""
        job = self.running.pop(identity, None)
        if job is not None:
            job.ended = now
            self.failed[identity] = job
        return job

    def seconds_left(self, now: float) -> float | None:
        """Expected work that is left, divided by the speed of the run so far.

        None while for most jobs no job of the same rule was ever measured.
        Speed is expected work done per second: it covers parallel jobs, a slower machine and longer training
        than in earlier runs. It begins as the number of cores and is never less than the longest running job.
        """
        measured = sum(self.durations.expected(keys[:-1]) is not None for keys in self.planned)
        if 2 * measured <= len(self.planned):
            return None
        total = sum(self.durations.expected(keys) or 0.0 for keys in self.planned)
        running = [
            (self.durations.expected(job.keys) or 0.0, job.seconds(now)) for job in [*self.running.values()]
        ]
        ended = [*self.done.values(), *self.failed.values()]
        work = sum(self.durations.expected(job.keys) or 0.0 for job in ended)
        work += sum(min(whole, so_far) for whole, so_far in running)
        speed = (work + self.cores * WARM_UP_SECONDS) / (now - self.begun + WARM_UP_SECONDS)
        longest = max((whole - so_far for whole, so_far in running), default=0.0)
        return max((total - work) / max(speed, 1e-6), longest, 0.0)


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: `8 s`, `3 min 8 s`, `2 h 5 min`, `2 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small, units = (
        (*divmod(whole, 60), ("min", "s")) if whole < 3600 else (*divmod(whole // 60, 60), ("h", "min"))
    )
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")


def about(seconds: float) -> str:
    """An estimate, no finer than it deserves: steps of 10 s below 2 min, else minutes."""
    if seconds < 10:
        return "a few seconds"
    step = 10 if seconds < 120 else 60
    return f"about {duration_text(step * round(seconds / step))}"
