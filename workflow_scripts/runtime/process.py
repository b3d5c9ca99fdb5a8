"""Processes: when this one began, and how it is asked to end."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_IMPORTED = time.perf_counter()
_first_ticks: str | None = None


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM)."""


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` within the block, so that files and records are closed as on an error.

    Outside the main thread, where Python allows no signal handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(128 + number)


def was_forked() -> bool:
    """Whether this process is the child of a warm server, which had imported its libraries already."""
    return _first_ticks is not None


def began() -> float:
    """When this process began, Python's own start included, on the clock of `time.perf_counter`.

    To a hundredth of a second. A child of a warm server began with its client. Where the system does not tell
    (no /proc), this module's import counts.
    """
    ticks = _first_ticks or _started(os.getpid())
    if ticks is None:
        return _IMPORTED
    return (
        time.perf_counter() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(ticks) / os.sysconf("SC_CLK_TCK")
    )


def begin_with(pid: int) -> None:
    """Count this process from the start of another one, whose work it does."""
    global _first_ticks
    _first_ticks = _started(pid)


def _started(pid: int) -> str | None:
    """The start of a process in clock ticks since boot (field 22 of /proc/<pid>/stat); None where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; it only waits for its parent to read its status.
    return None if fields[0] in "ZX" else fields[19]
