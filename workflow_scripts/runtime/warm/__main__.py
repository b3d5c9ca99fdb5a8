"""The client: has a server's child run a step, or runs it here.

Example:
    python -m workflow_scripts.runtime.warm --preload torch,peft --benchmark job.tsv run_arm --dataset simulated …

Arguments after the step's name, files, output and exit status are those of `python -m workflow_scripts.steps.run_arm`.
It imports little, so that it starts at once.
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workflow_scripts.runtime.warm.job import PACKAGE, peer_process, run_job

OWNER = "VITALORA_WARM"
"""Environment variable: the process that servers end with. Where it is not set, or 0, the step runs here."""

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main() -> None:
    """Have the step run by a server's child; where there is no server, run it here."""
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.runtime.warm")
    parser.add_argument("--preload", default="", help="modules that the step imports while it runs: a,b,c")
    parser.add_argument("--benchmark", default="", help="file for the step's time and memory (default: none)")
    parser.add_argument(
        "step", nargs=argparse.REMAINDER, help="a program of workflow_scripts/steps, its arguments"
    )
    options = parser.parse_args()
    status = _run_warm(options)
    if status is None:
        run_job(options.step, options.benchmark)
    elif status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    else:
        sys.exit(status)


def _run_warm(options: argparse.Namespace) -> int | None:
    """Return the exit status of the job, minus the signal if one ended it; None if it did not begin."""
    owner = os.environ.get(OWNER, "0")
    if not owner.isdecimal() or owner == "0" or sys.platform != "linux":
        return None
    try:
        with _connect(owner) as connection, _signals_forwarded(connection) as jobs:
            socket.send_fds(connection, [json.dumps(vars(options)).encode()], [0, 1, 2])
            # Looked at before it is taken: a signal in between finds the job here or there.
            jobs.append(int(connection.recv(16, socket.MSG_PEEK) or 0))
            if not jobs[0]:
                return None
            connection.recv(16)
            # No status: the job and the process that waited for it were killed.
            return int(connection.recv(16) or -signal.SIGKILL)
    except OSError:
        return None


@contextmanager
def _signals_forwarded(connection: socket.socket) -> Iterator[list[int]]:
    """Ask the job to end when this process is asked to; before a job has begun, end alone.

    Gives the list to which the caller adds the job. Until then, a job whose number has arrived counts too.
    """
    jobs: list[int] = []

    def forward(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            if job := jobs[0] if jobs else _arrived(connection):
                os.kill(job, number)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

    before = {number: signal.getsignal(number) for number in FORWARDED}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, forward)
        yield jobs
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _arrived(connection: socket.socket) -> int:
    try:
        return int(connection.recv(16, socket.MSG_PEEK | socket.MSG_DONTWAIT) or 0)
    except OSError:
        return 0


def _connect(owner: str) -> socket.socket:
    """Return a connection to the server of these circumstances, which the first client starts.

    An abstract socket name (Linux) is taken by one process only, and gone when its last holder ends.
    """
    name = f"\0vitalora-{_circumstances()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listener, suppress(OSError):  # Another client was first.
        listener.bind(name)
        listener.listen(socket.SOMAXCONN)
        _start_server(listener.fileno(), owner)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(name)
    peer_process(connection)
    return connection


def _start_server(listener: int, owner: str) -> None:
    command = [sys.executable, "-m", "workflow_scripts.runtime.warm.server", str(listener), owner]
    nowhere = subprocess.DEVNULL
    # A session of its own: a terminal's Ctrl-C is for the jobs.
    server = subprocess.Popen(
        command, stdin=nowhere, stdout=nowhere, stderr=nowhere, pass_fds=[listener], start_new_session=True
    )
    server.returncode = 0  # It outlives this process, which does not wait for it.


def _circumstances() -> str:
    """Hash what a job has from its server: environment (with the owner), folder, Python, and this package's code."""
    digest = hashlib.sha256(f"{sys.executable}\0{Path.cwd()}\0{sorted(os.environ.items())}".encode())
    for path in sorted(PACKAGE.rglob("*")):
        if path.parent.name != "__pycache__" and path.is_file():
            digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
