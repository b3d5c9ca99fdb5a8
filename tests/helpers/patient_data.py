"""The guard as an assertion, for tests of anything that writes messages, logs or files."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.privacy.guard import scan_files
from workflow_scripts.privacy.marks import find_marks
from workflow_scripts.privacy.records import read_records


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
