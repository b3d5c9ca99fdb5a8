"""Reading the workflow changes nothing: not a byte, a mode or a time of what is in the folder."""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.fault_study import RESULTS
from tests.helpers.projects import run_in

pytestmark = pytest.mark.workflow

READING = {
    "list": ("--list",),
    "lint": ("--lint",),
    "summary": ("--summary",),
    "dry run": ("--dry-run", "--cores", "1"),
    "graph": ("--dag",),
    "unlock": ("--unlock",),
}
TRUNCATED = RESULTS / "report.html"
LOCKS = Path(".snakemake/locks")
OWN_FILES = (".snakemake/log", ".snakemake/iocache", ".git")
"""What Snakemake itself, or git, writes."""


def state(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Content, mode and time of everything in a folder, also of the folders themselves."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(OWN_FILES) or "__pycache__" in name or name == ".snakemake":
            continue
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[name] = content, status.st_mode, status.st_mtime_ns
    return found


@pytest.fixture
def disturbed(changed_project: Path) -> Path:
    """A finished study with a truncated result, temporary files, a stale lock, open modes and times of tomorrow."""
    (changed_project / TRUNCATED).write_bytes((changed_project / TRUNCATED).read_bytes()[:1000])
    for name in (f"{RESULTS}/.report.html.abc.part", "data/simulated/events/.vitals.parquet.abc.part"):
        (changed_project / name).write_bytes(b"half")
    (changed_project / LOCKS).mkdir(exist_ok=True)
    (changed_project / LOCKS / "0.input.lock").write_text(f"{changed_project}/params.yaml\n")
    (changed_project / LOCKS / "0.output.lock").write_text(f"{changed_project}/{TRUNCATED}\n")
    tomorrow = time.time() + 86_400
    os.utime(changed_project / "data/simulated/events/vitals.parquet", (tomorrow, tomorrow))
    os.utime(changed_project / RESULTS / "summary/metrics.csv", (tomorrow, tomorrow))
    (changed_project / "data/simulated/cohorts").chmod(0o755)
    return changed_project


def test_reading_changes_no_byte_no_mode_and_no_time(disturbed: Path) -> None:
    for name, options in READING.items():
        before = state(disturbed)
        run_in(disturbed, "snakemake", *options)
        after = state(disturbed)
        if name == "unlock":  # Asked to remove the locks, and nothing else.
            assert not list((disturbed / LOCKS).glob("*.lock"))
            before, after = (
                {k: v for k, v in found.items() if Path(k).parts[:2] != LOCKS.parts}
                for found in (before, after)
            )
        assert {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)} == set(), name


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let a folder be read but not written, by root either. Skips where this machine lets nobody mount one."""
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a folder that cannot be written")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_results_and_data_that_cannot_be_written_can_be_read(disturbed: Path) -> None:
    with read_only(disturbed / "data"), read_only(disturbed / "results"), read_only(disturbed / "weights"):
        for name, options in READING.items():
            done = run_in(disturbed, "snakemake", *options)
            assert "Traceback" not in done.stderr, name
