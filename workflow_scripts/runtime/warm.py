"""The server of `workflow_scripts.warm`: it has imported the libraries once, and forks for every job.

What a step needs is imported before the fork, so whoever comes later finds it imported. The server itself starts
no thread, opens no file and asks for no device, which a fork would lose or share.

A child is a job: it has its client's standard streams, a process group of its own, and the exit status that the
plain program would have. The kernel kills it when the server ends; the server kills it when its client ends.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import NoReturn

from workflow_scripts.runtime.process import begin_with
from workflow_scripts.warm import BEGUN, PACKAGE, peer

IDLE_SECONDS = 120.0
"""A server without a job ends after this time, and gives its memory back."""

LONGEST_REQUEST = 2**20
STANDARD_STREAMS = 3
PR_SET_PDEATHSIG = 1


@dataclass
class Job:
    """A client, and the child that works for it; pid 0: not yet forked, or in the child itself."""

    connection: socket.socket
    client: int
    arguments: list[str] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    pid: int = 0
    ended: int = -1
    """File descriptor that can be read once the child has ended."""


class Server:
    """Waits for clients, forks for each, passes their signals on and answers with the wait status.

    steps: for each step that it runs, a function that imports what the step's own module does not, given the
    step's arguments. The clients of other steps run them themselves.
    """

    def __init__(
        self, listener: socket.socket, owner: int, steps: Mapping[str, Callable[[list[str]], None]]
    ) -> None:
        self._steps = steps
        # Children get the environment as it was; until then, a look for CUDA must not start it: no fork could use it.
        self._environment = dict(os.environ)
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
        self._pid = os.getpid()
        self._listener = listener
        self._listens = True
        self._owner = os.pidfd_open(owner)
        self._jobs: list[Job] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._owner, selectors.EVENT_READ)

    def serve(self) -> list[str] | None:
        """Serve until the owner ends, or until no client comes for long. In a child: return its arguments."""
        while self._listens or self._jobs:
            events = self._selector.select(None if self._jobs else IDLE_SECONDS)
            if not events:
                break
            for key, _ in events:
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._owner:
                    self._stop_listening()
                elif key.data in self._jobs:
                    arguments = self._attend(key.data, key.fd)
                    if arguments is not None:
                        return arguments
        return None

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        client, user = peer(connection)
        if user != os.getuid():
            connection.close()
            return
        job = Job(connection, client)
        self._jobs.append(job)
        self._selector.register(connection, selectors.EVENT_READ, job)

    def _stop_listening(self) -> None:
        """Take no more clients: those that wait find the connection closed, and run their steps themselves."""
        if self._listens:
            self._listens = False
            self._selector.unregister(self._listener)
            self._selector.unregister(self._owner)
            self._listener.close()

    def _attend(self, job: Job, descriptor: int) -> list[str] | None:
        """Do what an event asks for. In a child: return its arguments."""
        if descriptor == job.ended:
            _, status = os.waitpid(job.pid, 0)
            with suppress(OSError):
                job.connection.send(str(status).encode())
            self._forget(job)
        elif not job.pid:
            return self._begin(job)
        elif asked := _received(job.connection):
            os.kill(job.pid, asked[0])
        else:
            # The client is gone. Its own child would be too, or soon.
            self._selector.unregister(job.connection)
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
        return None

    def _begin(self, job: Job) -> list[str] | None:
        """Fork for a request. Where that would not be right, close the connection: the client helps itself."""
        try:
            request, job.streams, _, _ = socket.recv_fds(
                job.connection, LONGEST_REQUEST, STANDARD_STREAMS, socket.MSG_CMSG_CLOEXEC
            )
            job.arguments = json.loads(request)
            if len(job.streams) == STANDARD_STREAMS and self._is_warm(*job.arguments):
                job.pid = os.fork()
            else:
                self._forget(job)
                return None
        except (OSError, ValueError):
            self._forget(job)
            return None
        if not job.pid:
            return self._become(job)
        # Both sides do so, because either may be first.
        with suppress(OSError):
            os.setpgid(job.pid, job.pid)
        job.ended = os.pidfd_open(job.pid)
        self._selector.register(job.ended, selectors.EVENT_READ, job)
        self._close_streams(job)
        return None

    def _is_warm(self, step: str, *arguments: str) -> bool:
        """Import what a step needs. False for a step that is not served, and where importing fails: it ends all."""
        if step not in self._steps:
            return False
        try:
            import_module(f"{PACKAGE.name}.steps.{step}")
            self._steps[step](list(arguments))
        except BaseException:
            self._stop_listening()
            return False
        # The child runs the module as a program, under another name.
        del sys.modules[f"{PACKAGE.name}.steps.{step}"]
        # What is here to stay is not looked through for garbage, which would write to, and so copy, every page.
        gc.freeze()
        # A thread would be lost in a fork, and what it holds would stay locked.
        if threading.active_count() > 1:
            self._stop_listening()
        return self._listens

    def _become(self, job: Job) -> list[str]:
        """In the child: be what the client would be."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        torch = sys.modules.get("torch")
        if os.getppid() != self._pid or (torch is not None and torch.cuda._is_in_bad_fork()):
            os._exit(1)
        self._selector.close()
        self._listener.close()
        os.close(self._owner)
        for other in self._jobs:
            if other is not job:
                other.connection.close()
                if other.ended >= 0:
                    os.close(other.ended)
        for number, stream in enumerate(job.streams):
            os.dup2(stream, number)
        self._close_streams(job)
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]
        os.environ.clear()
        os.environ.update(self._environment)
        begin_with(job.client)
        gc.enable()
        try:
            job.connection.send(BEGUN)
        except OSError:
            os._exit(1)
        # The connection stays open to the end: to the client it tells that this child lives.
        job.connection.detach()
        return job.arguments

    def _close_streams(self, job: Job) -> None:
        for stream in job.streams:
            os.close(stream)
        job.streams = []

    def _forget(self, job: Job) -> None:
        self._jobs.remove(job)
        self._close_streams(job)
        if job.ended >= 0:
            self._selector.unregister(job.ended)
            os.close(job.ended)
        with suppress(KeyError):
            self._selector.unregister(job.connection)
        job.connection.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except OSError:
        return b""


def run_and_end(arguments: list[str]) -> NoReturn:
    """Run the step as `python -m` would, then end at once.

    Python's own end would free every object of every library, and so copy the pages that the server shares:
    half a CPU second for each job.
    """
    sys.argv = arguments
    status = 1
    try:
        runpy.run_module(f"{PACKAGE.name}.steps.{arguments[0]}", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status = (end.code or 0) & 0xFF
        else:
            print(end.code, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        if isinstance(error, KeyboardInterrupt):
            status = -signal.SIGINT
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)
