"""A trap for connections: it is imported by every Python process of a project's copy, notes and refuses them.

Python announces each use of a socket to audit hooks, also by libraries that wrap sockets. Processes that are no
Python are kept off the network by a network namespace of their own, where the machine allows one.
"""

import shutil
import subprocess
from pathlib import Path

TRAPPED = "connections.txt"
"""The file beside a project in which its trap notes connections."""

_HOOK = """\
import ipaddress, os, sys

_NOTES = {notes!r}
_EVENTS = {{"socket.connect", "socket.sendto", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
           "socket.gethostbyaddr"}}


def _is_local(host):
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _watch(event, arguments):
    if event not in _EVENTS:
        return
    target = arguments[1] if event in ("socket.connect", "socket.sendto", "socket.bind") else arguments[0]
    if event in ("socket.connect", "socket.sendto", "socket.bind"):
        if not isinstance(target, tuple):  # A socket in the file system, or in the kernel.
            return
        target = target[0]
    if event == "socket.bind" and target == "":
        target = "0.0.0.0"
    if not _is_local(target):
        handle = os.open(_NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, f"{{event}} {{target}} by {{' '.join(sys.argv)[:200]}}\\n".encode())
        os.close(handle)
        raise OSError(f"{{event}}: refused by the test")


sys.addaudithook(_watch)
"""


def set_trap(project: Path, notes: Path) -> None:
    """Let every Python process that has the project on its path note connections to other machines, and refuse."""
    (project / "sitecustomize.py").write_text(_HOOK.format(notes=str(notes)), encoding="utf-8")


def noted(notes: Path) -> list[str]:
    """What was noted."""
    return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


def off_the_network() -> tuple[str, ...]:
    """What to put before a command so that it has no network at all; nothing where the machine does not allow it."""
    command = ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare") is None:
        return ()
    return (
        command
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        else ()
    )
