"""The file of what is unusual in the data, beside the windows that were cut of them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from workflow_scripts.runtime.files import read_json, write_json
from workflow_scripts.sources.mimic_iii.checks.findings import Finding


def findings_file(windows: Path) -> Path:
    """Return the file that holds the findings, beside a windows file."""
    return windows.with_suffix(".check.json")


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings as JSON, atomically."""
    write_json(path, {"findings": [asdict(finding) for finding in findings]})


def read_findings(path: Path) -> list[Finding]:
    """Return the findings of a file. Raises UserError where it is no complete JSON."""
    return [Finding(**finding) for finding in read_json(path)["findings"]]
