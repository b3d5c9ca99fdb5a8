"""Run a step without paying for its imports: by a process that has imported the libraries once and forks.

`python -m workflow_scripts.warm run_arm …` does what `python -m workflow_scripts.steps.run_arm …` does: the same
arguments, files, output and exit status. A job of a sweep costs seconds less, because importing torch and a
model's library costs more than a small model's arithmetic.

VITALORA_WARM names the process for which servers are kept, as the workflow sets it: they end with it. Where it is
not set, or 0, or where no server can be had, the step runs here and now, as it would without this module.

This module imports little, and nothing of the package: it must start at once.
"""

import hashlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

OWNER = "VITALORA_WARM"
"""Environment variable: the process that servers end with; 0 or nothing: every step runs plainly."""

PACKAGE = Path(__file__).resolve().parent
BEGUN = b"begun"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
WAITING_CLIENTS = 1024
INHERITED = ("limits", "cgroup", "oom_score_adj")
"""Files of /proc/self that say what a process passes on to those that it starts."""
INHERITED_STATUS = ("Umask", "Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus", "Mems", "SigIgn")


def main() -> None:
    """Have the step run by a server's child, else run it here."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m workflow_scripts.warm STEP [arguments of the step]")
    step, *arguments = sys.argv[1:]
    status = _run_warm(step, arguments)
    if status is None:
        sys.argv = [step, *arguments]
        runpy.run_module(f"{PACKAGE.name}.steps.{step}", run_name="__main__", alter_sys=True)
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    else:
        sys.exit(os.WEXITSTATUS(status))


def own_servers(alone: bool = False) -> None:
    """Keep servers for the steps that this process starts, until it ends; unless the user has said 0.

    alone: it starts one step, as a scheduler's job does: a server would gain nothing, and the one that the
    environment names may be on another machine. The step runs plainly.
    """
    if alone:
        os.environ[OWNER] = "0"
    elif os.environ.get(OWNER) != "0":
        os.environ[OWNER] = str(os.getpid())


def _run_warm(step: str, arguments: list[str]) -> int | None:
    """The wait status of the step, or None where it has not run, or not to its end.

    The connection ends without a status only when both the server and its child have ended: both hold it.
    So a step that is then run here has no rival.
    """
    owner = os.environ.get(OWNER, "0")
    if not owner.isdecimal() or owner == "0" or sys.platform != "linux":
        return None
    handlers = {int(number): signal.getsignal(number) for number in FORWARDED}
    asked: list[int] = []
    begun = False

    def forward(number: int, _: object) -> None:
        """Ask the step to end. One that has not begun will not: this process ends, and the server turns away."""
        if begun or _begins(connection):
            asked.append(number)
            with suppress(OSError):
                connection.send(bytes([number]))
        else:
            signal.signal(number, handlers[number])
            os.kill(os.getpid(), number)

    try:
        with _connect(int(owner)) as connection:
            for number, handler in handlers.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, forward)
            socket.send_fds(connection, [json.dumps([step, *arguments]).encode()], [0, 1, 2])
            # The answer is taken only after it is noted, so that a signal in between finds one or the other.
            begun = connection.recv(len(BEGUN), socket.MSG_PEEK) == BEGUN
            if begun:
                connection.recv(len(BEGUN))
                status = connection.recv(16)
            else:
                status = b""
    except OSError:
        status = b""
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if status:
        return int(status)
    # What was asked of a step that did not live to do it is asked of this process.
    return asked[-1] if asked else None


def _begins(connection: socket.socket) -> bool:
    """Whether the news that the step has begun is there, not yet taken."""
    try:
        return connection.recv(len(BEGUN), socket.MSG_PEEK | socket.MSG_DONTWAIT) == BEGUN
    except OSError:
        return False


def _connect(owner: int) -> socket.socket:
    """A connection to the server of these circumstances, which the first client starts.

    The name is abstract (Linux): it is taken by one process only, and gone when the last that holds it ends.
    Raises OSError where there is no server and none can be started.
    """
    name = f"\0vitalora-{_circumstances(owner)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listener:
        try:
            listener.bind(name)
        except OSError:
            pass  # Another client was first.
        else:
            listener.listen(WAITING_CLIENTS)
            _start_server(listener, owner)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(name)
    if peer(connection)[1] != os.getuid():
        connection.close()
        raise PermissionError("the server belongs to another user")
    return connection


def _start_server(listener: socket.socket, owner: int) -> None:
    from subprocess import DEVNULL, Popen

    options = sys.orig_argv[1 : sys.orig_argv.index("-m")]
    command = [
        sys.executable,
        *options,
        "-m",
        f"{PACKAGE.name}.warm_server",
        str(listener.fileno()),
        str(owner),
    ]
    Popen(
        command,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        pass_fds=[listener.fileno()],
        # A terminal's Ctrl-C is for the jobs.
        start_new_session=True,
    ).returncode = 0  # It is nobody's to wait for.


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end; for a client: of the process that began to listen."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", credentials)
    return process, user


def _circumstances(owner: int) -> str:
    """A hash of all that a server passes on to its children: who differs in any of it has another server.

    So a child of the server is what a child of the client would be: environment, working folder, limits,
    namespaces, Python, installed libraries, and this package's code.
    """
    status = Path("/proc/self/status").read_text()
    parts = [
        Path(f"/proc/{owner}/stat").read_text().rpartition(")")[2].split()[19],  # when the owner began
        *(f"{name}={value}" for name, value in sorted(os.environ.items())),
        f"{Path.cwd()} {Path.cwd().stat().st_ino}",
        str(os.getpriority(os.PRIO_PROCESS, 0)),
        sys.version,
        *sys.orig_argv[: sys.orig_argv.index("-m")],
        sys.executable,
        *(f"{path} {Path(path).stat().st_mtime_ns}" for path in sys.path if path.endswith("-packages")),
        *(str(path.readlink()) for path in sorted(Path("/proc/self/ns").iterdir())),
        *(Path("/proc/self", name).read_text() for name in INHERITED),
        *(line for line in status.splitlines() if line.startswith(INHERITED_STATUS)),
    ]
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
    for path in sorted(PACKAGE.rglob("*")):
        if path.parent.name != "__pycache__" and path.is_file():
            digest.update(str(path).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
