"""What a person sees of a run: a live display on a terminal, plain lines in a file. rich draws it."""

import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from workflow_scripts.runtime.logger_times import Job, RunState, about, duration_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHOWN_JOBS = 8
"""Running jobs that the terminal lists by name."""

LOG_LINES = 10
"""Last lines of a failed job's log that are shown."""

LINE_WIDTH = 200
"""Characters of a shown line of a log."""

EVERY_JOB = 100
"""Runs of up to so many jobs get a plain line for each; longer ones a line for each percent."""

REPEATED = 5
"""Failed jobs that one command repeats by name."""

NAMED_OUTPUTS = 2
"""Outputs of a job that the summary names one by one; of more, the folder that holds them all."""

SHOWN_FAILURES = 20
"""Failed jobs whose logs are quoted, and that the summary lists: the first of them tell what is wrong."""


class PlainView:
    """Lines without control characters, for files and continuous integration."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, force_terminal=False, color_system=None, highlight=False)
        self._shown_percent = -1
        self._shown_rules: set[str] = set()

    def open(self, state: RunState, now: float) -> None:
        """The run begins."""
        self.print(opening(state, now))

    def show_started(self, job: Job, state: RunState, now: float) -> None:
        """A line for each job of a short run; of a long one for each percent and each kind of job."""
        percent = 100 * len(state.done) // max(1, state.total)
        if state.total <= EVERY_JOB or percent > self._shown_percent or job.rule not in self._shown_rules:
            self._shown_percent = percent
            self._shown_rules.add(job.rule)
            others = len(state.running) - 1
            self.print(
                f"{position(state, now)}; now {job.message}" + (f" (and {others} more)" if others else "")
            )

    def print(self, text: str, style: str = "") -> None:
        """Print lines."""
        print_text(self._console, text, style)

    def pause(self) -> None:
        """Nothing to pause."""

    def resume(self) -> None:
        """Nothing to resume."""


class TerminalView:
    """A few lines at the bottom of the terminal that stay up to date; everything else scrolls above them."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], colour: bool = True) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False, no_color=None if colour else True)
        self._clock = clock
        self._state = RunState()
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def open(self, state: RunState, now: float) -> None:
        """The run begins."""
        self._state = state
        self.print(opening(state, now))
        self.resume()

    def show_started(self, _job: Job, _state: RunState, _now: float) -> None:
        """Show it at once, however short the job is."""
        self._live.refresh()

    def print(self, text: str, style: str = "") -> None:
        """Print lines above the display."""
        print_text(self._console, text, style)

    def pause(self) -> None:
        """Take the display away, so that others can write to the terminal."""
        self._live.stop()

    def resume(self) -> None:
        """Show the display."""
        self._live.start()

    def _draw(self) -> "RenderableType":
        """Called by rich's own thread, where an error would be printed over the terminal."""
        try:
            return self._table()
        except Exception:
            return ""

    def _table(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state, now = self._state, self._clock()
        head = Table.grid(padding=(0, 2))
        head.add_row(ProgressBar(state.total, len(state.done), width=30), Text(position(state, now)))
        jobs = Table.grid(padding=(0, 2), expand=True)
        jobs.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        jobs.add_column(justify="right", no_wrap=True)
        # A copy: jobs begin and end in other threads.
        running = list(state.running.values())
        for job in running[:SHOWN_JOBS]:
            expected = state.durations.expected(job.keys[:-1])  # Not by jobs of other rules.
            usual = "" if expected is None else f", usually {duration_text(expected)}"
            parts = Text("; ".join([*inside(job), duration_text(job.seconds(now)) + usual]), style="dim")
            jobs.add_row(Text(f"  {job.message}"), parts)
        if len(running) > SHOWN_JOBS:
            jobs.add_row(Text(f"  and {len(running) - SHOWN_JOBS} more", style="dim"), "")
        return Group(head, jobs)


View = PlainView | TerminalView


def print_text(console: "Console", text: str, style: str = "") -> None:
    """Print text as it is, its first line in a style: no markup, no wrapping, no control characters of its own."""
    from rich.text import Text

    first, *others = Text.from_ansi(text).split(allow_blank=True)
    console.print(
        Text(first.plain, style=style), *(Text(line.plain) for line in others), sep="\n", soft_wrap=True
    )


def opening(state: RunState, now: float) -> str:
    """How many jobs of which rule, and how long they may take."""
    counts = Counter(sorted(keys[-2] for keys in state.planned))
    rules = ", ".join(f"{count} {rule}" for rule, count in counts.most_common())
    left = state.seconds_left(now)
    time = "" if left is None else f"; {about(left)}, by the durations of earlier runs"
    return f"{_count(state.total, 'job')}: {rules}{time}"


def position(state: RunState, now: float) -> str:
    """How far a run is: jobs, time so far, time left."""
    failed = f", {len(state.failed)} failed" if state.failed else ""
    left = state.seconds_left(now)
    time = "time left not known yet" if left is None else f"{about(left)} left"
    return f"{len(state.done)} of {state.total} jobs done{failed}, {duration_text(now - state.begun)}, {time}"


def failure(job: Job, now: float, earlier: int = 0) -> str:
    """What failed, its logs, and their last lines where few jobs failed earlier."""
    lines = [f"FAILED after {duration_text(job.seconds(now))}: {job.message}"]
    if earlier >= SHOWN_FAILURES:
        return "\n".join([*lines, *(f"  log: {log}" for log in job.logs)])
    for log in job.logs:
        tail = last_lines(Path(log))
        lines += [f"  log: {log}" + (", which ends:" if tail else " (empty or missing)")]
        lines += [f"    {line}" for line in tail]
    return "\n".join(lines if job.logs else [*lines, "  it has no log: its messages stand above"])


def inside(job: Job) -> list[str]:
    """How far the job itself is, by the last line that it wrote (runtime/progress.py); nothing if it says nothing."""
    last = last_lines(Path(job.logs[0]), bytes_read=LINE_WIDTH)[-1:] if job.logs else []
    found = re.match(r"(.+): .+ of \d+ \((\d+ %)\)", last[0]) if last else None
    return [f"{found[1]} {found[2]}"] if found else []


def last_lines(log: Path, bytes_read: int = LOG_LINES * 4096) -> list[str]:
    """The last lines of a log that are not empty, shortened. A log may be large, so only its end is read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - bytes_read))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line[:LINE_WIDTH] for line in lines if line.strip()][-LOG_LINES:]


def summary(state: RunState, now: float, command: Sequence[str], log: str = "") -> str:
    """The end of a run: what was made and where, how long it took, what failed and how to repeat just that."""
    missing = state.total - len(state.done)
    verdict = (
        f"Finished {_count(len(state.done), 'job')}"
        if not missing
        else f"Finished {len(state.done)} of {state.total} jobs"
    )
    lines = [f"{verdict} in {duration_text(now - state.begun)}."]
    lines += _made(state.done.values())
    if state.failed:
        lines.append(f"Failed: {_count(len(state.failed), 'job')}.")
        for job in list(state.failed.values())[:SHOWN_FAILURES]:
            lines += [f"  {job.message}", *(f"    log: {name}" for name in job.logs)]
        if len(state.failed) > SHOWN_FAILURES:
            lines.append(f"  and {len(state.failed) - SHOWN_FAILURES} more, which stand above as FAILED")
    stopped, not_run = len(state.running), missing - len(state.failed) - len(state.running)
    if stopped:
        lines.append(f"Stopped while running: {_count(stopped, 'job')}.")
    if not_run > 0:
        lines.append(f"Not run, for want of what failed or stopped: {_count(not_run, 'job')}.")
    if missing:
        lines += _repeat(state, command)
    if log:
        lines.append(f"All messages of this run: {os.path.relpath(log)}")
    return "\n".join(lines)


def _made(jobs: Iterable[Job]) -> list[str]:
    """A line for each rule: how many jobs, their time, and what they made or where that lies."""
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    width = max(map(len, by_rule), default=0)
    lines = []
    for rule, same in by_rule.items():
        seconds = duration_text(sum(job.seconds(0.0) for job in same))
        lines.append(f"  {len(same):>4} {rule:<{width}}  {seconds:>12}  {_place(same)}".rstrip())
    return lines


def _place(jobs: Sequence[Job]) -> str:
    """The files of one job with few of them, else the folder that holds all; logs where nothing else was made."""
    outputs = [output for job in jobs for output in job.outputs]
    if len(outputs) > NAMED_OUTPUTS or (outputs and len(jobs) > 1):
        return os.path.commonpath(outputs)
    return ", ".join(outputs or dict.fromkeys(log for job in jobs for log in job.logs))


def _repeat(state: RunState, command: Sequence[str]) -> list[str]:
    failed = list(state.failed.values())
    targets = [job.outputs[-1] if job.outputs else job.rule for job in failed[:REPEATED]]
    lines = []
    if targets:
        which = "just that" if len(failed) <= REPEATED else f"the first {REPEATED} of them"
        lines += [f"To repeat {which}:", f"  {shlex.join([*command, '--', *targets])}"]
    return [*lines, "To go on with all that is missing: the same command as before; what is done stays."]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
