"""Whether ROW_ID, the key of every table, is unique: one bit for each possible value."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.checks.findings import Finding

_MOST_ROW_IDS = 1 << 31


@dataclass
class RowIds:
    """Counts repeated row ids, and those that are empty or impossible, batch by batch.

    A query would keep 330 million numbers in memory; this keeps one bit for each.
    """

    seen: np.ndarray = field(default_factory=lambda: np.zeros(1 << 16, dtype=np.uint8))
    repeated: int = 0
    unusable: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Mark the batch's row ids."""
        ids = pc.fill_null(batch["row_id"], -1).to_numpy(zero_copy_only=False)
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
        remedy = "rows may have been appended twice: get the file again"
        return [Finding("error", "key row_id", table, found, "every ROW_ID once", remedy)]
