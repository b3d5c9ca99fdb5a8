"""What a check finds, and the report of all findings. Holds aggregates only, nothing of a single patient."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as in the release. An error spoils results; a warning is for the reader to judge."""

    level: Level
    check: str
    table: str
    found: str
    expected: str
    remedy: str

    def text(self) -> str:
        """Return the finding as indented lines."""
        return (
            f"  {self.table.upper()}, {self.check}: {self.found}\n"
            f"    expected:   {self.expected}\n    what to do: {self.remedy}"
        )


@dataclass
class Report:
    """All findings of a folder. rows: table -> number of rows that were read; release: as recognised."""

    folder: str
    release: str = "unknown"
    rows: dict[str, int] = field(default_factory=dict)
    expected_rows: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """The findings that spoil results."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings to judge."""
        return [finding for finding in self.findings if finding.level == "warning"]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "folder": self.folder,
            "release": self.release,
            "rows": self.rows,
            "expected_rows": self.expected_rows,
            "errors": [asdict(finding) for finding in self.errors],
            "warnings": [asdict(finding) for finding in self.warnings],
        }

    def as_text(self) -> str:
        """Return the report for a terminal: tables, errors, warnings, and one line that sums up."""
        lines = [f"MIMIC-III folder {self.folder}", f"recognised as {self.release}", ""]
        for table, count in self.rows.items():
            expected = self.expected_rows.get(table)
            remark = "" if expected in (None, count) else f"  (expected {expected:,})"
            lines.append(f"  {table.upper():<20} {count:>13,} rows{remark}")
        for name, findings in (("errors", self.errors), ("warnings", self.warnings)):
            if findings:
                lines += ["", f"{name} ({len(findings)})", *(finding.text() for finding in findings)]
        verdict = "not usable as it is" if self.errors else "usable"
        lines += ["", f"{verdict}: {len(self.errors)} errors, {len(self.warnings)} warnings"]
        return "\n".join(lines)
