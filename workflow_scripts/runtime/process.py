"""Processes: when this one began, and how it is asked to end."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_client_began: float | None = None


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
    return _client_began is not None


def began() -> float:
    """Return when this process began, Python's own start included, in seconds of `time.perf_counter`.

    To a hundredth of a second. A child of a warm server began with its client.
    """
    return _process_began(os.getpid()) if _client_began is None else _client_began


def begin_with(client: int) -> None:
    """Count this process from the start of its client, whose work it does. client: process number."""
    global _client_began
    _client_began = _process_began(client)


def _process_began(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # Not Linux.
        import psutil

        return time.perf_counter() - (time.time() - psutil.Process(pid).create_time())
    # psutil counts from the second in which the system was started; field 22 is ticks since that moment itself. The
    # second field, the program's name in parentheses, may hold spaces and parentheses.
    ticks = int(stat.rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.perf_counter() - age
