"""The guard as an assertion, for tests of anything that writes messages, logs or files."""

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from workflow_scripts.privacy.guard import Report, scan
from workflow_scripts.privacy.marks import find_marks
from workflow_scripts.privacy.places import ScannedFile
from workflow_scripts.privacy.records import Records, read_records


def assert_no_patient_data(paths: Iterable[Path], root: Path | None = None, dataset: str = "") -> None:
    """Fail where files or folders hold a record of a patient.

    By default simulated patients and shifted dates alone are looked for; with root and dataset, also the
    identifiers and times of a data set in root/data.
    """
    report = scan_files(paths, [read_records(dataset, root)] if root else [])
    assert not report.findings, str(report)


def assert_message_without_patient_data(text: str) -> None:
    """Fail where a message holds a mark of a patient."""
    found = find_marks(text)
    assert not found, f"a message holds: {dict(found)}"


def scan_files(paths: Iterable[Path], records: list[Records]) -> Report:
    """Read files and folders, wherever they are."""
    files = [
        path
        for given in paths
        for path in (sorted(given.rglob("*")) if given.is_dir() else [given])
        if path.is_file()
    ]
    return scan(
        Path("/"), [ScannedFile(str(path.resolve()).lstrip("/"), tracked=False) for path in files], records
    )


def open_to_others(root: Path, folder: Path) -> Iterator[Path]:
    """Files below a folder that another user can reach: neither they nor a folder above them, up to root, is closed."""
    closed = any(not _is_open(parent) for parent in [folder, *folder.parents] if parent.is_relative_to(root))
    if not closed:
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield from open_to_others(root, path)
            elif _is_open(path):
                yield path


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
