"""The server: imports libraries once and forks for every job. The first client starts it.

A job has its client's standard streams and a process group of its own. It ends with its client; the end of the server
changes nothing for it. The server starts no thread and asks for no device: a fork would lose the one and share the
other. Any error ends the server, and clients without a job run their steps themselves.
"""

import atexit
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import psutil

from workflow_scripts.runtime.process import begin_with
from workflow_scripts.runtime.step import disable_network
from workflow_scripts.runtime.warm.job import peer_process, run_job, step_module

IDLE_SECONDS = 120.0
"""A server that has got no job for so long ends, and gives its memory back."""


def main() -> None:
    """Serve until the owner ends. Arguments: file descriptor of the listening socket, process of the owner."""
    listener, owner = socket.socket(fileno=int(sys.argv[1])), psutil.Process(int(sys.argv[2]))
    environment = dict(os.environ)
    disable_network()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # A look for CUDA must not start it.
    gc.disable()  # What imports make stays.
    listener.settimeout(0.5)
    asked = time.monotonic()
    while _lives(owner) and time.monotonic() - asked < IDLE_SECONDS:
        with suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        with suppress(TimeoutError), listener.accept()[0] as connection:
            client = peer_process(connection)
            message, streams, _, _ = socket.recv_fds(connection, 2**20, 3, socket.MSG_CMSG_CLOEXEC)
            job = json.loads(message)
            _import(job)
            asked = time.monotonic()
            if (
                threading.active_count() > 1
            ):  # A fork would lose the other threads, and what they hold stay locked.
                break
            if not os.fork():
                listener.close()
                _report(connection)
                _become_job(connection, streams, environment)
                begin_with(client)
                _run_and_end(job)
            for stream in streams:
                os.close(stream)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _import(job: dict[str, Any]) -> None:
    step = step_module(job["step"][0])
    for module in [step, *filter(None, job["preload"].split(","))]:
        import_module(module)
    del sys.modules[step]  # The job runs it as a program, under another name.
    gc.freeze()  # Looking for garbage would write to every page, and so copy it.


def _report(connection: socket.socket) -> None:
    """Fork once more and return in the child, the job; its parent reports the exit status."""
    job = os.fork()
    if job:
        status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
        with suppress(OSError):  # The client is gone.
            connection.send(str(status).encode())
        os._exit(0)


def _become_job(connection: socket.socket, streams: list[int], environment: dict[str, str]) -> None:
    """Be what the client would be."""
    os.setpgid(0, 0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    gc.enable()
    try:
        connection.send(str(os.getpid()).encode())
    except OSError:  # The client is gone.
        os._exit(1)
    threading.Thread(target=_end_with_client, args=(connection,), daemon=True).start()


def _end_with_client(connection: socket.socket) -> None:
    """Kill this process and its children when the client, which sends nothing more, is gone."""
    with suppress(OSError):
        connection.recv(1)
    os.killpg(0, signal.SIGKILL)


def _run_and_end(job: dict[str, Any]) -> NoReturn:
    """Run a job and end at once.

    Python's own end would free every object of every library, and so copy the pages that the server shares: 0.4 CPU
    seconds for each job.
    """
    status = 1
    try:
        run_job(job["step"], job["benchmark"])
        status = 0
    except SystemExit as end:
        if isinstance(end.code, int):
            status = end.code & 0xFF
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


if __name__ == "__main__":
    main()
