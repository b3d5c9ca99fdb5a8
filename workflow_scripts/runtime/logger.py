"""Snakemake's messages as a person wants them: how far a run is, what failed and why, what was made.

Built on the events of Snakemake's logger interface (snakemake_interface_logger_plugins). The handler stands in
front of Snakemake's own, which still gets every message that is not shown better here, and all of them should
anything go wrong. It is hung in by the workflow, not found by a plugin's name: a plugin that a profile names
and an environment lacks would stop every run.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from workflow_scripts.runtime.logger_times import Job, RunState, benchmark_seconds, duration_keys
from workflow_scripts.runtime.logger_views import PlainView, TerminalView, View, failure, summary

REPLACED = "DefaultStreamHandler"
"""The name of Snakemake's own handler for the terminal."""

NOISE = (
    "Using shell: ",
    "Conda environments: ignored",
    "Select jobs to execute",
    "RuleException:\nCalledProcessError",
    "Removing output files of failed job",
    "Removing temporary output",
    "WorkflowError:\nAt least one job did not complete successfully",
    "Elapsed time: ",
)
"""Beginnings of messages that the display or the summary says better."""

LAST = ("Shutting down, this might take some time", "Exiting because a job execution failed")
"""Beginnings of messages after which no job will start."""

SHOWN_OTHERWISE = {"progress", "job_started"}
"""Events that add nothing to those that are shown."""

FORCING = {"-F", "--forceall", "-f", "--force"}
"""Options that would repeat more than what failed."""


def show_progress(workflow: Any) -> None:
    """Show the progress of a run instead of Snakemake's blocks of lines.

    For runs as people start them: not for a dry run, nor where --quiet, --verbose or --debug-dag ask for less
    or more, nor in the processes that Snakemake starts for its jobs.
    """
    from snakemake.logging import logger

    try:
        settings = workflow.output_settings
        quiet = {choice.name for choice in settings.quiet or ()}
        if settings.dryrun or settings.verbose or settings.debug_dag or not workflow.is_main_process:
            return
        replaced = next((handler for handler in logger.handlers if handler.name == REPLACED), None)
        if replaced is None or quiet & {"ALL", "PROGRESS", "RULES"}:
            return
        logger.addHandler(ProgressHandler(workflow, replaced))
        logger.removeHandler(replaced)
    except Exception as error:
        logger.warning(f"No progress display ({type(error).__name__}: {error}).")


class ProgressHandler(logging.Handler):
    """Turns Snakemake's events into a run's state and shows it."""

    def __init__(self, workflow: Any, replaced: logging.Handler) -> None:
        super().__init__()
        self.name = "ProgressHandler"
        self._workflow, self._replaced = workflow, replaced
        self._state = RunState()
        self._view: View | None = None
        self._log = ""
        self._writing: set[int] = set()
        self._broken = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message here, or hand it to Snakemake's own handler."""
        if not self._try(self._show, record):
            self._pass_on(record)

    def close(self) -> None:
        """The run is over: say what came of it."""
        self._try(self._end)
        super().close()

    def _try(self, action: Any, *arguments: Any) -> bool:
        """Whether an action succeeded and took the message; after the first failure none is tried again."""
        if self._broken:
            return False
        try:
            return action(*arguments)
        except (Exception, SystemExit) as error:  # SystemExit: what rich raises where nobody reads any more.
            self._broken = True
            text = f"The progress display has stopped ({type(error).__name__}: {error}); the run goes on."
            with suppress(Exception, SystemExit):
                self._view and self._view.pause()
            self._pass_on(logging.LogRecord("", logging.WARNING, "", 0, text, None, None))
            return False

    def _pass_on(self, record: logging.LogRecord) -> None:
        """Hand a message to Snakemake's own handler, which raises where nobody reads any more."""
        with suppress(BrokenPipeError):
            self._replaced.handle(record)

    def _show(self, record: logging.LogRecord) -> bool:
        event, message = str(getattr(record, "event", "") or ""), str(record.msg or "")
        if event == "run_info":
            self._begin()
            return True
        if event == "resources_info" or message.startswith(NOISE):
            return True
        if self._view is None:
            return False
        if message.startswith(LAST):
            self._view.pause()
            return True
        if event == "job_info":
            self._start(record)
        elif event == "job_finished":
            self._finish(record.job_id)  # type: ignore[attr-defined]
        elif event == "job_error":
            self._fail(record)
        elif message.startswith("Complete log"):
            self._log = message.partition(": ")[2]
        elif event not in SHOWN_OTHERWISE and self._replaced.filter(record):
            text = self._replaced.format(record)
            if text and text != "None":
                self._view.print(text, {"WARNING": "yellow", "ERROR": "red"}.get(record.levelname, ""))
        return True

    def _begin(self) -> None:
        if self._view is not None:
            return
        now = time.monotonic()
        dag = self._workflow.dag
        for job in dag.jobs:
            seconds = benchmark_seconds(Path(str(job.benchmark))) if job.benchmark else None
            if seconds is not None:
                self._state.durations.add(_keys(job), seconds)
        self._state.planned = [_keys(job) for job in dag.needrun_jobs() if not job.rule.norun]
        self._state.cores = min(self._workflow.cores or 1, max(1, len(self._state.planned)))
        self._state.begun = now
        self._view = make_view(self._replaced.stream, self._workflow.output_settings.nocolor)  # type: ignore[attr-defined]
        self._view.open(self._state, now)

    def _start(self, record: Any) -> None:
        assert self._view is not None
        if not record.shellcmd:
            return
        now = time.monotonic()
        wildcards = dict(record.wildcards or {})
        message = " ".join(str(record.rule_msg or "").split())
        job = Job(
            record.jobid,
            record.rule_name,
            message or ", ".join([record.rule_name, *map(str, wildcards.values())]),
            tuple(map(str, record.output)),
            tuple(map(str, record.log)),
            duration_keys(record.rule_name, wildcards, record.benchmark),
            now,
        )
        self._state.start(job)
        self._view.show_started(job, self._state, now)
        if "&>" not in record.shellcmd:
            # Its output goes to the terminal, where a live display would be in its way.
            self._writing.add(job.identity)
            self._view.pause()

    def _finish(self, identity: int) -> None:
        self._state.finish(identity, time.monotonic())
        self._resume(identity)

    def _fail(self, record: Any) -> None:
        assert self._view is not None
        now = time.monotonic()
        job = self._state.fail(record.jobid, now)
        if job is not None:
            job.logs = tuple(map(str, record.log)) or job.logs
            # On a cluster: a group is reported, and repeated, as a whole.
            if record.indent and job.outputs and all(map(os.path.exists, job.outputs)):
                self._view.print(f"done, but its group has failed and is repeated as a whole: {job.message}")
            else:
                self._view.print(failure(job, now, len(self._state.failed) - 1), "red")
            self._resume(job.identity)

    def _resume(self, identity: int) -> None:
        if identity in self._writing and self._view is not None:
            self._writing.discard(identity)
            if not self._writing:
                self._view.resume()

    def _end(self) -> bool:
        view, self._view = self._view, None
        if view is not None:
            view.pause()
            targets = self._workflow.dag_settings.targets
            text = summary(self._state, time.monotonic(), own_command(sys.argv, targets), self._log)
            view.print(text, "green" if len(self._state.done) == self._state.total else "red")
        return True


def _keys(job: Any) -> tuple[str, ...]:
    return duration_keys(job.rule.name, job.wildcards_dict, str(job.benchmark) if job.benchmark else None)


def make_view(stream: TextIO, no_colour: bool = False) -> View:
    """A live display where the stream is an interactive terminal, else plain lines."""
    from rich.console import Console

    if Console(file=stream).is_interactive and stream.isatty():
        return TerminalView(stream, time.monotonic, not no_colour)
    return PlainView(stream)


def own_command(arguments: Sequence[str], targets: Iterable[str]) -> list[str]:
    """The command that started this run, without its targets and without what forces more than those."""
    left_out = {*targets, *FORCING, "--"}
    return ["snakemake", *(argument for argument in arguments[1:] if argument not in left_out)]
