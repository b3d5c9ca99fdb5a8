"""Finds rows of patients in files; reports the file, the kind and the count, never the value."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workflow_scripts.privacy.marks import find_marks
from workflow_scripts.privacy.places import ScannedFile, project_files, staged_files
from workflow_scripts.privacy.readers import plain_name, read_pieces
from workflow_scripts.privacy.records import Records, read_records

CODE_SUFFIXES = {".py", ".md", ".sql", ".smk", ".yaml", ".yml", ".toml", ".j2", ".sh", ""}
"""Of what people write."""

ARTIFACT = "table among MLflow's artifacts"
ROW_LEVEL_SUFFIXES = {".parquet", ".csv", ".gz", ".arrow", ".feather", ".npy", ".npz", ".db", ".pkl"}
_ARTIFACTS = ("mlartifacts/", "mlruns/")


@dataclass
class Report:
    """What was found. equal, by_chance: numbers that are also an identifier, and how many chance explains."""

    files: int = 0
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    equal: int = 0
    by_chance: float = 0.0

    def add(self, name: str, kinds: Counter[str]) -> None:
        """Note what a file holds."""
        if kinds:
            self.findings[masked(name)] = self.findings.get(masked(name), Counter()) + kinds

    def __str__(self) -> str:
        lines = [
            f"{name}: {kind} ({count} x)" if count > 1 else f"{name}: {kind}"
            for name in sorted(self.findings)
            for kind, count in sorted(self.findings[name].items())
        ]
        known = ", ".join(self.datasets) or "no data set"
        lines.append(
            f"{self.files} files read, records of patients in {len(self.findings)}; compared with the identifiers "
            f"and times of {known}"
        )
        if self.datasets:
            lines.append(
                f"numbers that are also an identifier: {self.equal}, by chance expected: {self.by_chance:.1f}"
            )
        return "\n".join(lines)


def scan_project(root: Path, datasets: Iterable[str] | None = None) -> Report:
    """Read all that git and the workflow keep outside the data folders.

    datasets: whose identifiers and times to look for; default: of every data set that is present.
    """
    names = sorted({path.parents[1].name for path in root.glob("data/*/cohorts/*.parquet")}
                   | {path.parents[2].name for path in root.glob("data/*/windows/*/*.parquet")}
                   if datasets is None else set(datasets))  # fmt: skip
    return scan(root, project_files(root), [read_records(name, root) for name in names])


def scan_staged(root: Path) -> Report:
    """Read what the next commit would add: by the marks alone, so that a commit need not wait for the data."""
    return scan(root, staged_files(root), [])


def scan(root: Path, files: Iterable[ScannedFile], records: list[Records]) -> Report:
    """Read files below a root."""
    report = Report(datasets=[known.dataset for known in records])
    for file in files:
        path = root / file.name
        try:
            content = path.read_bytes() if file.content is None else file.content
        except FileNotFoundError:
            continue  # Removed since it was listed.
        report.files += 1
        code = file.tracked and Path(file.name).suffix.lower() in CODE_SUFFIXES
        report.add(file.name, find_marks(plain_name(file.name)))
        if file.name.startswith(_ARTIFACTS) and ROW_LEVEL_SUFFIXES & set(Path(file.name).suffixes):
            report.add(file.name, Counter([ARTIFACT]))
        for piece in read_pieces(file.name, content, path if file.content is None else None):
            kinds = Counter(piece.complaints) + find_marks(piece.text, code)
            for known in records if piece.prose else []:
                tally = known.find(piece.text)
                kinds += tally.findings
                report.equal += tally.equal
                report.by_chance += tally.by_chance
            report.add(file.name, kinds)
    return report


def masked(name: str) -> str:
    """A file's name without numbers that could be an identifier or a date."""
    return re.sub(r"\d{5,}|\d{4}-\d\d-\d\d", "…", plain_name(name))
