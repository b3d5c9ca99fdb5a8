"""A logging handler that shows a run: a few live lines on a terminal, plain lines in a file. rich draws it."""

import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.runtime.display.state import Job, RunState, benchmark_seconds, duration_keys
from workflow_scripts.runtime.display.texts import (
    about,
    duration_text,
    failure,
    own_command,
    position,
    progress_inside,
    summary,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

SNAKEMAKES_OWN = "DefaultStreamHandler"

SAID_BETTER = (
    "Select jobs to execute",
    "RuleException:\nCalledProcessError",
    "Removing output files of failed job",
    "Removing temporary output",
    "Exiting because a job execution failed",
    "Elapsed time: ",
    "WorkflowError:\nAt least one job did not complete successfully",
)
"""Beginnings of messages that this display says better."""

SHOWN_JOBS = 8
"""Running jobs that the terminal lists by name."""

EVERY_JOB = 100
"""In a file, runs of up to so many jobs get a line for each; longer ones a line for each percent."""


def show_progress(workflow: Any) -> None:
    """Show a run in the place of Snakemake's own handler, to be called when the run starts.

    Snakemake's stays where the user asks for less or more (--quiet, --verbose) or for another display (--logger).
    """
    from snakemake.logging import logger

    settings = workflow.output_settings
    replaced = next((handler for handler in logger.handlers if handler.name == SNAKEMAKES_OWN), None)
    quiet = {choice.name for choice in settings.quiet or ()}
    if replaced is None or settings.verbose or quiet & {"ALL", "PROGRESS", "RULES"}:
        return
    command = own_command(sys.argv, workflow.dag_settings.targets)
    are_logged = all("&>" in (job.rule.shellcmd or "&>") for job in workflow.dag.needrun_jobs())
    logger.addHandler(ProgressHandler(replaced, planned_run(workflow), command, are_logged, settings.nocolor))
    logger.removeHandler(replaced)


def planned_run(workflow: Any) -> RunState:
    """The state of a run that begins, with the durations of jobs in earlier runs."""
    state = RunState(begun=time.monotonic())
    for job in workflow.dag.jobs:
        benchmark = str(job.benchmark or job.params.get("benchmark", ""))
        keys = duration_keys(job.rule.name, job.wildcards_dict, benchmark)
        seconds = benchmark_seconds(Path(benchmark)) if benchmark else None
        if seconds is not None:
            state.durations.add(keys, seconds)
        if workflow.dag.needrun(job) and not job.rule.norun:
            state.planned.append(keys)
    state.cores = min(workflow.cores or 1, max(1, len(state.planned)))
    return state


class ProgressHandler(logging.Handler):
    """Turns Snakemake's events into a run's state and shows it.

    Args:
        snakemakes: Snakemake's handler; it formats every message that is not shown better here.
        state: the run that begins.
        command: the command that started it, without its targets.
        live: whether a terminal may show live lines; not where jobs write to it themselves.
        no_colour: whether to write without colours.
    """

    def __init__(
        self,
        snakemakes: logging.StreamHandler[Any],
        state: RunState,
        command: list[str],
        live: bool = True,
        no_colour: bool = False,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._snakemakes, self._state, self._command = snakemakes, state, command
        self._is_open = True
        self._shown_percent = -1
        self._shown_rules: set[str] = set()
        stream = snakemakes.stream
        self._console = Console(file=stream, highlight=False, no_color=no_colour or None)
        self._live = Live(get_renderable=self._draw, console=self._console, transient=True)
        left = state.seconds_left(state.begun)
        if left is not None:
            self._print(f"By the durations of earlier runs it takes {about(left)}.")
        if live and stream.isatty() and self._console.is_interactive:
            self._live.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message."""
        try:
            self._show(record)
        except (Exception, SystemExit):  # rich raises SystemExit if nobody reads any more.
            self.handleError(record)

    def close(self) -> None:
        """The run is over: say what came of it."""
        if self._is_open:  # Snakemake closes it, and Python once more when it ends.
            self._is_open = False
            self._live.stop()
            text = summary(self._state, time.monotonic(), self._command)
            with suppress(OSError, SystemExit):
                self._print(text, "green" if len(self._state.done) == self._state.total else "red")
        super().close()

    def _show(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", "") or "")
        if event == "job_info":
            self._start(record)
        elif event == "job_finished":
            self._state.finish(record.job_id, time.monotonic())  # type: ignore[attr-defined]
        elif event == "job_error":
            self._fail(record)
        elif event in ("progress", "job_started") or str(record.msg).startswith(SAID_BETTER):
            pass
        elif self._snakemakes.filter(record):
            text = self._snakemakes.format(record)
            if text and text != "None":
                self._print(text, {"WARNING": "yellow", "ERROR": "red"}.get(record.levelname, ""))

    def _start(self, record: Any) -> None:
        if not record.shellcmd:
            return
        now, wildcards = time.monotonic(), dict(record.wildcards or {})
        message = " ".join(str(record.rule_msg or "").split())
        job = Job(
            record.rule_name,
            message or ", ".join([record.rule_name, *map(str, wildcards.values())]),
            tuple(map(str, record.output)),
            tuple(map(str, record.log)),
            duration_keys(record.rule_name, wildcards, str(record.benchmark or "")),
            now,
        )
        state = self._state
        state.start(record.jobid, job)
        percent = 100 * len(state.done) // max(1, state.total)
        is_news = percent > self._shown_percent or job.rule not in self._shown_rules
        if self._live.is_started:
            self._live.refresh()  # However short the job is.
        elif is_news or state.total <= EVERY_JOB:
            others = f" (and {len(state.running) - 1} more)" if len(state.running) > 1 else ""
            self._print(f"{position(state, now)}; now {job.message}{others}")
            self._shown_percent = percent
            self._shown_rules.add(job.rule)

    def _fail(self, record: Any) -> None:
        now = time.monotonic()
        job = self._state.fail(record.jobid, now)
        if job is None:
            return
        job.logs = tuple(map(str, record.log)) or job.logs
        # On a cluster: a group is reported, and repeated, as a unit.
        if record.indent and job.outputs and all(map(os.path.exists, job.outputs)):
            self._print(f"done, but its group has failed and is repeated as a unit: {job.message}")
        else:
            self._print(failure(job, now, len(self._state.failed) - 1), "red")

    def _print(self, text: str, style: str = "") -> None:
        """Print text as it is, its first line in a style: no markup, no wrapping, no control characters of its own."""
        from rich.text import Text

        first, *others = Text.from_ansi(text).split(allow_blank=True)
        lines = [Text(first.plain, style=style), *(Text(line.plain) for line in others)]
        self._console.print(*lines, sep="\n", soft_wrap=True)

    def _draw(self) -> "RenderableType":
        """The live lines, for rich's own thread."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state, now = self._state, time.monotonic()
        head = Table.grid(padding=(0, 2))
        head.add_row(ProgressBar(state.total, len(state.done), width=30), Text(position(state, now)))
        jobs = Table.grid(padding=(0, 2), expand=True)
        jobs.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        jobs.add_column(justify="right", no_wrap=True)
        running = list(state.running.values())  # Jobs begin and end in other threads.
        for job in running[:SHOWN_JOBS]:
            usual = state.durations.expected(job.keys[:-1])  # Not by jobs of other rules.
            time_text = duration_text(job.seconds(now))
            time_text += "" if usual is None else f", usually {duration_text(usual)}"
            parts = "; ".join(filter(None, [progress_inside(job), time_text]))
            jobs.add_row(Text(f"  {job.message}"), Text(parts, style="dim"))
        if len(running) > SHOWN_JOBS:
            jobs.add_row(Text(f"  and {len(running) - SHOWN_JOBS} more", style="dim"), "")
        return Group(head, jobs)
