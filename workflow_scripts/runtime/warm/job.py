"""A job: a step run as a program, here or in a process that a server has forked."""

import os
import runpy
import socket
import struct
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]


def step_module(step: str) -> str:
    """Return the name of a step's module."""
    return f"{PACKAGE.name}.steps.{step}"


def run_job(arguments: list[str], benchmark: str) -> None:
    """Run a step as `python -m` would, and write its benchmark file if it succeeds.

    Args:
        arguments: name of the step, and its arguments.
        benchmark: the file to write; empty: none.
    """
    sys.argv = arguments
    try:
        runpy.run_module(step_module(arguments[0]), run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    if benchmark:
        from workflow_scripts.runtime.benchmark import write_benchmark

        write_benchmark(Path(benchmark))


def peer_process(connection: socket.socket) -> int:
    """Return the process at the other end of a connection. Raises PermissionError if it is another user's."""
    size = struct.calcsize("3i")
    process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if user != os.getuid():
        raise PermissionError(f"process {process} is another user's")
    return process
