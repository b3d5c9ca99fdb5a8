"""An SSH server of the tests' own: Debian's sshd on a port of 127.0.0.1, and a home folder whose owner it lets in.

DVC's client checks no server's key. As docs/data-remotes.md says, it goes through OpenSSH's own, which does.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.ports import free_port

SECONDS_TO_START = 60
HOST = "data-server"
SFTP = "/usr/lib/openssh/sftp-server"

STALLING = Path(__file__).with_name("stalling_sftp.py")


@dataclass(frozen=True)
class SshServer:
    """A running server: its port and its folder, with its clients' home in it."""

    port: int
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh/known_hosts"

    def stall_after(self, size: int) -> None:
        """Answer the next client no more after so many bytes."""
        (self.folder / "limit").write_text(str(size))

    def wait_for(self, name: str) -> None:
        """Until the client that is not answered has `stalled` or `ended`."""
        end = time.monotonic() + SECONDS_TO_START
        while not (self.folder / name).exists():
            assert time.monotonic() < end, f"no client has {name}"
            time.sleep(0.05)

    def answer(self) -> None:
        """Answer all clients to the end again."""
        (self.folder / "limit").unlink()


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server for as long as the block lasts; the test is skipped where there is none to be had."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if not program or not Path(SFTP).exists():
        pytest.skip("an SSH server is not here: apt-get install openssh-server")
    server = SshServer(free_port(), folder)
    keys = server.home / ".ssh"
    keys.mkdir(parents=True, mode=0o700)
    for path in (folder / "host", keys / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {(folder / 'host.pub').read_text()}")
    (keys / "config").write_text(
        f"Host {HOST}\n    ProxyCommand ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes"
        f" -o UserKnownHostsFile={server.known_hosts} -i {keys / 'id_ed25519'}"
        f" -p {server.port} -W 127.0.0.1:{server.port} 127.0.0.1\n"
    )
    settings = {
        "Port": server.port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": keys / "id_ed25519.pub",
        "PidFile": "none",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",  # Folders of tests lie below one that all may write to.
        "Subsystem": f"sftp {sys.executable} {STALLING} {SFTP} {folder}",
    }
    (folder / "settings").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if not os.getuid():
        Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", folder / "settings"], stderr=log)
    try:
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _wait(server: SshServer, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        assert process.poll() is None, (server.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not answer")
