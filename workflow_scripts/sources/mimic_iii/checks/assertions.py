"""What no row of a MIMIC-III folder should be, as assertions.yaml lists it, and the findings for rows that are so."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.sources.mimic_iii.checks.findings import Finding

_RELEASE = "take the tables of one release, whole and unmodified"
_FEW = "nothing: the release has a few; check their number against it"
_FEW_IN_RELEASE = (0.0, 0.05)

# Times of birth and death may be centuries away, or be dates of the registry.
_YEAR_COLUMNS = ("admittime", "intime", "charttime", "chartdate", "starttime", "startdate", "transfertime")


@dataclass(frozen=True)
class Assertion:
    """A condition that no row should meet, and what is said of rows that do. assertions.yaml explains the fields."""

    check: str
    table: str
    wrong: str
    found: str
    expected: str
    relation: str = ""
    reads: tuple[str, ...] = ()
    limits: tuple[float, float] = _FEW_IN_RELEASE
    remedy: str = ""

    def findings(self, wrong: int, rows: int) -> list[Finding]:
        """Return the finding for a number of wrong rows, or nothing."""
        warning_above, error_above = self.limits
        if wrong <= warning_above * rows:
            return []
        error = wrong > error_above * rows
        remedy = self.remedy or (_RELEASE if error else _FEW)
        found = f"{wrong:,} of {rows:,} {self.found}"
        return [
            Finding("error" if error else "warning", self.check, self.table, found, self.expected, remedy)
        ]


def _assertion(entry: dict[str, Any], table: str) -> Assertion:
    reads = tuple(name if "." in name else f"{table}.{name}" for name in entry["reads"].split())
    return Assertion(
        check=entry["check"],
        table=table,
        wrong=entry["wrong"],
        found=entry["found"],
        expected=entry["expected"],
        relation=entry.get("from", ""),
        reads=reads,
        limits=tuple(entry.get("limits", _FEW_IN_RELEASE)),
        remedy=entry.get("remedy", ""),
    )


def _entries(group: str) -> list[dict[str, Any]]:
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))[group]


def small_table_assertions() -> list[Assertion]:
    """Return what holds for patients, admissions and ICU stays."""
    return [_assertion(entry, entry["table"]) for entry in _entries("small_tables")]


def event_assertions(table: str, columns: Iterable[str]) -> list[Assertion]:
    """Return what holds for the rows of an events table, as far as it has the columns."""
    present = {f"{table}.{column}" for column in columns}
    assertions = [_assertion(entry, table) for entry in _entries("events")]
    return [assertion for assertion in assertions if present.issuperset(assertion.reads)]


def item_assertion(table: str, dictionary: str) -> Assertion:
    """Return that a dictionary, d_items or d_labitems, explains every item of an events table."""
    return Assertion(
        "reference itemid",
        table,
        "itemid is not in the dictionary",
        f"rows have an item that {dictionary.upper()} lacks",
        f"every ITEMID is in {dictionary.upper()}",
        limits=(0.0, 0.0),
        remedy="take all tables from one release; a row without ITEMID is damaged",
    )


def year_assertions(table: str, columns: Iterable[str], first: int, last: int) -> list[Assertion]:
    """Return that the times of a table are in the years to which the release shifts them."""
    return [
        Assertion(
            "years",
            table,
            f"{column} < TIMESTAMP '{first}-01-01' OR {column} >= TIMESTAMP '{last + 1}-01-01'",
            f"rows have a {column} outside the years {first}-{last}",
            f"shifted dates in {first}-{last}",
            limits=(0.0, 0.5),
            remedy="use the release's own dates; dates of real years must never be in a research copy",
        )
        for column in columns
        if column in _YEAR_COLUMNS
    ]
