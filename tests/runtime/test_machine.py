"""What is recorded about the machine, against the tools that know it."""

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.runtime.machine import git_commit, machine, versions

REPOSITORY = Path(__file__).resolve().parents[2]


def test_versions_are_those_of_the_libraries_and_nothing_is_imported() -> None:
    import numpy
    import pydantic

    program = (
        "import json, sys; from workflow_scripts.runtime.machine import versions; found = versions();"
        "assert not {'torch', 'numpy', 'mlflow', 'transformers'} & set(sys.modules); print(json.dumps(found))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    found = json.loads(output)
    assert found["numpy"] == numpy.__version__
    assert found["pydantic"] == pydantic.VERSION
    assert found["python"] == sys.version.split()[0]


def test_a_library_that_is_not_installed_is_left_out() -> None:
    assert list(versions(("no-such-library-anywhere",))) == ["python"]


def test_the_machine_is_described_without_host_and_user() -> None:
    found = machine()
    assert found["cores"] == int(subprocess.check_output(["nproc"], env={"PATH": os.environ["PATH"]}))
    assert found["processor"]
    assert isinstance(found["memory_gib"], float)
    assert 0 < found["memory_gib"] < 100_000
    texts = [str(value).lower() for value in found.values()]
    assert not any(socket.gethostname().lower() in text for text in texts)
    assert getpass.getuser() not in texts


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", "-C", str(folder), *identity, *arguments], text=True).strip()


def test_the_commit_is_that_of_git_and_says_when_files_differ(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("one = 1\n")
    _git(tmp_path, "add", "code.py")
    _git(tmp_path, "commit", "-q", "-m", "first")
    _git(tmp_path, "tag", "v1")
    head = _git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == head
    (tmp_path / "notes.txt").write_text("not tracked")
    assert git_commit(tmp_path) == head
    (tmp_path / "code.py").write_text("one = 2\n")
    assert git_commit(tmp_path) == f"{head}-dirty"


def test_without_repository_or_git_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(REPOSITORY) is None


def test_peak_memory_is_this_process_s_own() -> None:
    """A process that writes 300 MiB reports it; the small one that it starts does not inherit the figure."""
    measure = "from workflow_scripts.runtime.machine import peak_host_mib; print(peak_host_mib())"
    program = (
        "import subprocess, sys; block = bytearray(b'x') * (300 * 2**20);"
        f"print(subprocess.check_output([sys.executable, '-c', {measure!r}], text=True));" + measure
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    small, large = (float(line) for line in output.split())
    assert small < 100
    assert 300 < large < 400
