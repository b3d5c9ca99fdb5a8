"""What is collected from a table while it streams by: each collector keeps aggregates in bounded memory."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level

MICROSECONDS_PER_HOUR = 3_600_000_000
_MOST_ROW_IDS = 1 << 31
_TOLERANCE_HOURS = 24
# Shares below these are in the release itself (the demo: 30 of 758,355 chart events).
_MISMATCHED_SHARE = 0.001
_OUTSIDE_SHARE = 0.01


class Collector(Protocol):
    """Takes every batch of one table; gives its findings at the end."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Take one batch."""

    def findings(self, table: str, rows: int) -> list[Finding]:
        """Return what was found in all batches."""


def integers(batch: pa.RecordBatch, column: str) -> np.ndarray:
    """Return a column's integers or times (as microseconds), -1 where empty."""
    values = batch[column]
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    return pc.fill_null(values, -1).to_numpy(zero_copy_only=False)


@dataclass
class RowIds:
    """Whether ROW_ID, the key of every table, is unique: one bit for each possible value."""

    seen: np.ndarray = field(default_factory=lambda: np.zeros(1 << 16, dtype=np.uint8))
    repeated: int = 0
    unusable: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Mark the batch's row ids."""
        ids = integers(batch, "row_id")
        usable = ids[(ids >= 0) & (ids < _MOST_ROW_IDS)]
        self.unusable += len(ids) - len(usable)
        if not len(usable):
            return
        usable = np.sort(usable, kind="stable")  # Nearly sorted already, which this kind makes use of.
        distinct = usable[np.r_[True, usable[1:] != usable[:-1]]]
        self.repeated += len(usable) - len(distinct)
        byte, bit = distinct >> 3, np.left_shift(1, distinct & 7).astype(np.uint8)
        if byte[-1] >= len(self.seen):
            self.seen = np.pad(self.seen, (0, int(max(byte[-1] + 1, 2 * len(self.seen)) - len(self.seen))))
        self.repeated += int(np.count_nonzero(self.seen[byte] & bit))
        first = np.flatnonzero(np.r_[True, byte[1:] != byte[:-1]])
        self.seen[byte[first]] |= np.bitwise_or.reduceat(bit, first)

    def findings(self, table: str, rows: int) -> list[Finding]:
        """Report repeated and empty row ids."""
        if not self.repeated and not self.unusable:
            return []
        found = f"{self.repeated:,} repeated and {self.unusable:,} empty or impossible values of {rows:,}"
        return [
            Finding(
                "error",
                "key row_id",
                table,
                found,
                "every ROW_ID once",
                "rows may have been appended twice: get the file again",
            )
        ]


@dataclass(frozen=True)
class Census:
    """The identifiers of PATIENTS, ADMISSIONS and ICUSTAYS, each sorted; times in microseconds, or None."""

    patients: np.ndarray
    admissions: np.ndarray
    patient_of_admission: np.ndarray
    stays: np.ndarray
    admission_of_stay: np.ndarray
    intime: np.ndarray
    outtime: np.ndarray


def positions(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return each value's position among sorted known ones, -1 where it is unknown."""
    if not len(known):
        return np.full(len(values), -1)
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[place] == values, place, -1)


@dataclass
class References:
    """Whether the patient, admission and ICU stay of each row exist and belong together.

    Rows of one stay follow one another, so only the first row of each run is looked up.
    """

    census: Census
    columns: tuple[str, ...]
    unknown: dict[str, int] = field(default_factory=dict)
    mismatched: int = 0
    outside: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Look up the batch's identifiers."""
        ids = {column: integers(batch, column) for column in self.columns}
        changed = np.zeros(batch.num_rows, dtype=bool)
        changed[:1] = True
        for values in ids.values():
            changed[1:] |= values[1:] != values[:-1]
        first = np.flatnonzero(changed)
        length = np.diff(np.r_[first, batch.num_rows])
        runs = {column: values[first] for column, values in ids.items()}
        at = self._look_up(runs, length)
        self.mismatched += int(length[self._mismatch(runs, at)].sum())
        if "icustay_id" in at and "charttime" in batch.schema.names:
            self._count_outside(np.repeat(at["icustay_id"], length), integers(batch, "charttime"))

    def _look_up(self, runs: dict[str, np.ndarray], length: np.ndarray) -> dict[str, np.ndarray]:
        known = {
            "subject_id": self.census.patients,
            "hadm_id": self.census.admissions,
            "icustay_id": self.census.stays,
        }
        at = {}
        for column, values in runs.items():
            at[column] = positions(known[column], values)
            # Only the patient may never be empty: laboratory values also come from outside the hospital.
            absent = at[column] < 0 if column == "subject_id" else (at[column] < 0) & (values >= 0)
            self.unknown[column] = self.unknown.get(column, 0) + int(length[absent].sum())
        return at

    def _mismatch(self, runs: dict[str, np.ndarray], at: dict[str, np.ndarray]) -> np.ndarray:
        wrong = np.zeros(len(next(iter(runs.values()))), dtype=bool)
        for child, parent, owner in (
            ("hadm_id", "subject_id", self.census.patient_of_admission),
            ("icustay_id", "hadm_id", self.census.admission_of_stay),
        ):
            if child in at and parent in runs and len(owner):
                wrong |= (at[child] >= 0) & (runs[parent] >= 0) & (owner[at[child]] != runs[parent])
        return wrong

    def _count_outside(self, stay: np.ndarray, time: np.ndarray) -> None:
        if not len(self.census.intime) or not len(self.census.outtime):
            return
        slack = _TOLERANCE_HOURS * MICROSECONDS_PER_HOUR
        outtime = self.census.outtime[stay]
        outside = (time < self.census.intime[stay] - slack) | ((outtime >= 0) & (time > outtime + slack))
        self.outside += int(np.count_nonzero(outside & (stay >= 0) & (time >= 0)))

    def findings(self, table: str, rows: int) -> list[Finding]:
        """Report identifiers that lead nowhere, and rows far from their stay."""
        homes = {"subject_id": "PATIENTS", "hadm_id": "ADMISSIONS", "icustay_id": "ICUSTAYS"}
        findings = [
            Finding(
                "error",
                f"reference {column}",
                table,
                f"{count:,} of {rows:,} rows name none that {homes[column]} holds",
                f"every {column.upper()} is in {homes[column]}",
                "take all tables from one release, whole: a filtered folder must be filtered in every table",
            )
            for column, count in self.unknown.items()
            if count
        ]
        if self.mismatched:
            level: Level = "error" if self.mismatched > 0.5 * rows else "warning"
            if self.mismatched > _MISMATCHED_SHARE * rows:
                findings.append(
                    Finding(
                        level,
                        "references",
                        table,
                        f"{self.mismatched:,} of {rows:,} rows name a stay of another admission, or an admission "
                        "of another patient",
                        f"at most {_MISMATCHED_SHARE:.1%}, as in the release",
                        "take all tables from one release",
                    )
                )
        if self.outside > _OUTSIDE_SHARE * rows:
            findings.append(
                Finding(
                    "error" if self.outside > 0.5 * rows else "warning",
                    "charttime",
                    table,
                    f"{self.outside:,} of {rows:,} rows lie more than {_TOLERANCE_HOURS} h outside their ICU stay",
                    f"at most {_OUTSIDE_SHARE:.0%}",
                    "check that no table's dates were shifted anew: all tables must keep the release's dates",
                )
            )
        return findings


@dataclass
class Years:
    """Whether the times of a table lie in the years to which the release shifts them."""

    first: int
    last: int
    columns: tuple[str, ...]
    outside: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bounds = np.array([f"{self.first}-01-01", f"{self.last + 1}-01-01"], dtype="datetime64[us]")
        self._low, self._high = bounds.astype(np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the batch's times outside the years."""
        for column in self.columns:
            times = batch[column].cast(pa.int64()).drop_null().to_numpy(zero_copy_only=False)
            outside = np.count_nonzero((times < self._low) | (times >= self._high))
            self.outside[column] = self.outside.get(column, 0) + int(outside)

    def findings(self, table: str, rows: int) -> list[Finding]:
        """Report columns with times of other years."""
        wrong = {column: count for column, count in self.outside.items() if count}
        if not wrong:
            return []
        counts = ", ".join(f"{column} {count:,}" for column, count in wrong.items())
        return [
            Finding(
                "error" if sum(wrong.values()) > 0.5 * rows else "warning",
                "years",
                table,
                f"times outside the years {self.first}-{self.last}: {counts}",
                f"shifted dates in {self.first}-{self.last}",
                "use the release's own dates; dates of real years must never be in a research copy",
            )
        ]


@dataclass
class KnownItems:
    """Whether every ITEMID of an events table is in its dictionary; counts the rows of wanted items."""

    known: np.ndarray
    wanted: np.ndarray
    dictionary: str
    unknown: int = 0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.wanted), dtype=np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Look up the batch's items."""
        items = integers(batch, "itemid")
        if len(self.known):
            self.unknown += int(np.count_nonzero(positions(self.known, items) < 0))
        place = positions(self.wanted, items)
        self.counts += np.bincount(place[place >= 0], minlength=len(self.wanted))

    def findings(self, table: str, rows: int) -> list[Finding]:
        """Report items that the dictionary table does not explain."""
        if not self.unknown:
            return []
        return [
            Finding(
                "error",
                "reference itemid",
                table,
                f"{self.unknown:,} of {rows:,} rows have an item that {self.dictionary.upper()} lacks",
                f"every ITEMID is in {self.dictionary.upper()}",
                "take all tables from one release; a row without ITEMID is damaged",
            )
        ]
