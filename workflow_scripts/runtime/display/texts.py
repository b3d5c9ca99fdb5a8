"""The words of a run: how far it is, what failed, what was made."""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from workflow_scripts.runtime.display.state import Job, RunState

LOG_LINES = 10
"""Last lines of a failed job's log that are shown."""

LINE_WIDTH = 200
"""Characters of a shown line of a log."""

REPEATED = 5
"""Failed jobs that one command repeats by name."""

NAMED_OUTPUTS = 2
"""Outputs of a job that the summary names one by one; of more, the folder that holds them all."""

SHOWN_FAILURES = 20
"""Failed jobs whose logs are quoted, and that the summary lists: the first of them tell what is wrong."""

FORCING = {"-F", "--forceall", "-f", "--force"}
"""Options that would repeat more than what failed."""


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: `8 s`, `3 min 8 s`, `2 h 5 min`, `2 h`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def about(seconds: float) -> str:
    """An estimate, no finer than it deserves: steps of 10 s below 2 min, else minutes."""
    if seconds < 10:
        return "a few seconds"
    step = 10 if seconds < 120 else 60
    return f"about {duration_text(step * round(seconds / step))}"


def position(state: RunState, now: float) -> str:
    """How far a run is: jobs, time so far, time left."""
    failed = f", {len(state.failed)} failed" if state.failed else ""
    left = state.seconds_left(now)
    time = "time left not known yet" if left is None else f"{about(left)} left"
    return f"{len(state.done)} of {state.total} jobs done{failed}, {duration_text(now - state.begun)}, {time}"


def progress_inside(job: Job) -> str:
    """How far a job itself is, by the last line of its log (runtime/progress.py); empty if that says nothing."""
    last = last_lines(Path(job.logs[0]), bytes_read=LINE_WIDTH)[-1:] if job.logs else []
    found = re.match(r"(.+): .+ of \d+ \((\d+ %)\)", last[0]) if last else None
    return f"{found[1]} {found[2]}" if found else ""


def last_lines(log: Path, bytes_read: int = LOG_LINES * 4096) -> list[str]:
    """The last lines of a log that are not empty, shortened. A log may be large, so only its end is read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - bytes_read))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line[:LINE_WIDTH] for line in lines if line.strip()][-LOG_LINES:]


def failure(job: Job, now: float, earlier: int = 0) -> str:
    """What failed, its logs, and their last lines if few jobs failed earlier."""
    lines = [f"FAILED after {duration_text(job.seconds(now))}: {job.message}"]
    for log in job.logs:
        tail = [] if earlier >= SHOWN_FAILURES else last_lines(Path(log))
        state = ", which ends:" if tail else "" if earlier >= SHOWN_FAILURES else " (empty or missing)"
        lines += [f"  log: {log}{state}", *(f"    {line}" for line in tail)]
    return "\n".join(lines if job.logs else [*lines, "  it has no log: its messages are above"])


def summary(state: RunState, now: float, command: Sequence[str]) -> str:
    """The end of a run: what was made and where, how long it took, what failed and how to repeat just that."""
    missing = state.total - len(state.done)
    jobs = f"{len(state.done)} of {state.total} jobs" if missing else _count(len(state.done), "job")
    lines = [f"Finished {jobs} in {duration_text(now - state.begun)}.", *_made(state.done.values())]
    if state.failed:
        lines.append(f"Failed: {_count(len(state.failed), 'job')}.")
        for job in list(state.failed.values())[:SHOWN_FAILURES]:
            lines += [f"  {job.message}", *(f"    log: {name}" for name in job.logs)]
        if len(state.failed) > SHOWN_FAILURES:
            lines.append(f"  and {len(state.failed) - SHOWN_FAILURES} more, marked FAILED above")
    stopped, not_run = len(state.running), missing - len(state.failed) - len(state.running)
    if stopped:
        lines.append(f"Stopped while running: {_count(stopped, 'job')}.")
    if not_run > 0:
        lines.append(f"Not run, because what they need failed or stopped: {_count(not_run, 'job')}.")
    if missing:
        lines += _repeat(list(state.failed.values()), command)
    return "\n".join(lines)


def own_command(arguments: Sequence[str], targets: Iterable[str]) -> list[str]:
    """The command that started this run, without its targets and without what forces more than those."""
    left_out = {*targets, *FORCING, "--"}
    return ["snakemake", *(argument for argument in arguments[1:] if argument not in left_out)]


def _made(jobs: Iterable[Job]) -> list[str]:
    """A line for each rule: how many jobs, their time, and what they made or where it is."""
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    width = max(map(len, by_rule), default=0)
    lines = []
    for rule, same in by_rule.items():
        seconds = duration_text(sum(job.seconds(0.0) for job in same))
        lines.append(f"  {len(same):>4} {rule:<{width}}  {seconds:>12}  {_made_where(same)}".rstrip())
    return lines


def _made_where(jobs: Sequence[Job]) -> str:
    """The files of one job with few of them, else the folder that holds all; logs if nothing else was made."""
    outputs = [output for job in jobs for output in job.outputs]
    if len(outputs) > NAMED_OUTPUTS or (outputs and len(jobs) > 1):
        return os.path.commonpath(outputs)
    return ", ".join(outputs or dict.fromkeys(log for job in jobs for log in job.logs))


def _repeat(failed: Sequence[Job], command: Sequence[str]) -> list[str]:
    lines = []
    if failed:
        targets = [job.outputs[-1] if job.outputs else job.rule for job in failed[:REPEATED]]
        which = "just that" if len(failed) <= REPEATED else f"the first {REPEATED} of them"
        lines = [f"To repeat {which}:", f"  {shlex.join([*command, '--', *targets])}"]
    return [*lines, "To go on with all that is missing: the same command as before; what is done stays."]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
