"""Reading the workflow changes nothing: not a byte, a mode or a time of what is in the folder."""

import hashlib
import os
import time
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
OWN_FILES = (".snakemake/log", ".git")
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


def test_a_folder_that_cannot_be_written_can_be_read(disturbed: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    for place in ("data", "results", "weights"):
        for path in [disturbed / place, *(disturbed / place).rglob("*")]:
            if path.is_dir():
                path.chmod(0o555)
    assert "Job stats" in run_in(disturbed, "snakemake", "--dry-run", "--cores", "1").stdout
