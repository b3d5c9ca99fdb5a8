"""DVC's private remote in a folder and behind a real SSH server: pushed, interrupted, pulled, and found damaged."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.projects import ROOT, commit_all, run_in
from tests.helpers.ssh_server import HOST, SshServer, ssh_server

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

MEBIBYTE = 2**20
SIZES = [4096] * 20 + [MEBIBYTE] * 8
STAGE = """stages:
  data:
    cmd: "true"
    outs:
      - data/simulated:
          persist: true
          remote: private
"""


@dataclass(frozen=True)
class Remote:
    """Where the private remote lies, how DVC calls it, and the variables of its clients."""

    folder: Path
    url: str
    variables: dict[str, str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def behind_ssh(server: SshServer, tmp_path: Path) -> Remote:
    return Remote(tmp_path / "store", f"ssh://{HOST}{tmp_path}/store", {"HOME": str(server.home)})


@pytest.fixture
def in_a_folder(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "store", str(tmp_path / "store"), {})


@pytest.fixture(params=["in_a_folder", "behind_ssh"])
def remote(request: pytest.FixtureRequest) -> Remote:
    found: Remote = request.getfixturevalue(request.param)
    return found


def project_with_data(folder: Path, remote: Remote) -> Path:
    """The project's own DVC settings, and invented data under a stage as dvc.yaml has it."""
    (folder / ".dvc").mkdir(parents=True)
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / "dvc.yaml").write_text(STAGE)
    data = folder / "data/simulated"
    data.mkdir(parents=True)
    for number, size in enumerate(SIZES):
        (data / f"{number}.parquet").write_bytes(random.Random(number).randbytes(size))
    run_in(folder, "git", "init", "--quiet")
    run_in(folder, "dvc", "commit", "--force")
    commit_all(folder, "data")
    declare(folder, remote)
    return folder


def declare(folder: Path, remote: Remote) -> None:
    """As docs/data-remotes.md says."""
    run_in(folder, "dvc", "remote", "modify", "--local", "private", "url", remote.url)


def second_clone(project: Path, remote: Remote) -> Path:
    clone = project.parent / "clone"
    run_in(project.parent, "git", "clone", "--quiet", str(project), str(clone))
    declare(clone, remote)
    return clone


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "data/simulated").iterdir()}


def objects(remote: Remote) -> list[Path]:
    """What the remote holds under final names."""
    return [
        path for path in (remote.folder / "files/md5").rglob("*") if path.is_file() and path.suffix != ".tmp"
    ]


def damaged(remote: Remote) -> list[Path]:
    """Objects that are not what their names say: DVC names them by their MD5."""
    return [
        path
        for path in objects(remote)
        if hashlib.md5(path.read_bytes()).hexdigest() != path.parent.name + path.name.removesuffix(".dir")
    ]


def test_what_is_pushed_is_pulled_in_a_second_clone_and_nothing_damaged_is_taken(
    tmp_path: Path, remote: Remote
) -> None:
    project = project_with_data(tmp_path / "project", remote)
    run_in(project, "dvc", "push", **remote.variables)
    assert len(objects(remote)) == len(SIZES) + 1  # And the list of the folder's files.
    assert not damaged(remote)

    clone = second_clone(project, remote)
    run_in(clone, "dvc", "pull", **remote.variables)
    assert files(clone) == files(project)
    assert "up to date" in run_in(clone, "dvc", "status", **remote.variables).stdout

    victim = next(path for path in objects(remote) if path.stat().st_size == MEBIBYTE)
    victim.chmod(0o600)
    victim.write_bytes(bytes(MEBIBYTE))
    shutil.rmtree(clone / ".dvc/cache")
    shutil.rmtree(clone / "data")
    run_in(clone, "dvc", "pull", expect=1, **remote.variables)
    assert not [path for path in clone.rglob("*") if path.is_file() and path.read_bytes() == bytes(MEBIBYTE)]


def kill_a_push(project: Path, remote: Remote, server: SshServer) -> None:
    """Start a push and kill it with SIGKILL when it has sent as much as a large file over one of its channels."""
    server.stall_after(MEBIBYTE)
    push = subprocess.Popen(
        [Path(sys.executable).parent / "dvc", "push"],
        cwd=project,
        env={**os.environ, **remote.variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server.wait_for("stalled")
    assert push.poll() is None
    push.kill()
    push.wait(60)
    server.wait_for("ended")
    server.answer()


def test_a_push_that_was_killed_is_resumed_and_leaves_no_half_file_for_whole(
    tmp_path: Path, behind_ssh: Remote, server: SshServer
) -> None:
    project = project_with_data(tmp_path / "project", behind_ssh)
    kill_a_push(project, behind_ssh, server)
    before = {path: path.stat().st_mtime_ns for path in objects(behind_ssh)}
    assert len(before) < len(SIZES)
    assert not damaged(behind_ssh)
    assert list(behind_ssh.folder.rglob("*.tmp"))  # A half file, under a name that nobody asks for.
    clone = second_clone(project, behind_ssh)
    run_in(clone, "dvc", "pull", expect=1, **behind_ssh.variables)

    run_in(project, "dvc", "push", **behind_ssh.variables)
    assert len(objects(behind_ssh)) == len(SIZES) + 1
    assert not damaged(behind_ssh)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # Sent once.
    run_in(clone, "dvc", "pull", **behind_ssh.variables)
    assert files(clone) == files(project)


def test_a_server_with_another_key_gets_nothing(
    tmp_path: Path, behind_ssh: Remote, server: SshServer
) -> None:
    project = project_with_data(tmp_path / "project", behind_ssh)
    other = (server.home / ".ssh/id_ed25519.pub").read_text()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {other}")
    refused = run_in(project, "dvc", "push", expect=None, **behind_ssh.variables)
    assert refused.returncode != 0
    assert not behind_ssh.folder.exists()
