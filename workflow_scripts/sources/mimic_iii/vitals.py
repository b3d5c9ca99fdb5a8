"""CHARTEVENTS to the long table of vital signs, in bounded memory.

As rows come in, what is not wanted is dropped, units are converted, and the kept rows are spread over files
of stays ("buckets") on disk; each bucket then fits into memory, where duplicates and inconsistent pressures go, the
derived mean pressure is added, and rows are sorted. Buckets hold rising ranges of (subject_id, icustay_id),
so that their concatenation is sorted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from workflow_scripts.sources.mimic_iii.item_filter import ItemFilter
from workflow_scripts.sources.mimic_iii.parallel import map_ahead
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
from workflow_scripts.sources.mimic_iii.vital_rows import ROW, VITAL_CODES, ItemArrays, StayIndex, select_rows
from workflow_scripts.sources.mimic_iii.vital_rules import clean_rows

VITALS_SCHEMA = pa.schema(
    [
        ("subject_id", pa.int64()),
        ("hadm_id", pa.int64()),
        ("icustay_id", pa.int64()),
        ("charttime", pa.timestamp("us")),
        ("vital", pa.string()),
        ("value", pa.float32()),
    ]
)
_NAMES = pa.array(list(VITAL_CODES))
# A bucket of this much input holds about 150,000 kept rows of the release, and at most 700,000
# of a folder that holds little but vital signs.
_BUCKET_BYTES = {".gz": 10 << 20, ".csv": 80 << 20}
_PENDING_ROWS = 400_000
_NEEDED = ["icustay_id", "itemid", "charttime", "valuenum", "error"]
_THREADS = 2

VitalRows: TypeAlias = tuple[np.ndarray, Counter[str]]
"""Kept rows as ROW, and the counts of a batch."""


class VitalSigns:
    """Takes rows of vital signs as they come, and gives them back cleaned and sorted.

    scratch: an existing folder for intermediate files; they take about 18 bytes for each kept row.
    counts: read, dropped_<reason> in the order in which the reasons are applied, derived, and kept.
    """

    def __init__(
        self, chartevents: Path, stays: StayIndex, parameters: ExtractionParameters, scratch: Path
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._stays, self._parameters = stays, parameters
        self._items = ItemArrays.from_dictionary()
        self._choose = ItemFilter(self._items.itemid)
        number = 1 + chartevents.stat().st_size // _BUCKET_BYTES[chartevents.suffix.lower()]
        self._buckets = [scratch / f"bucket-{index}" for index in range(number)]
        self._pending: list[np.ndarray] = []

    def select(self, batch: pa.RecordBatch) -> VitalRows:
        """Choose and convert the vital signs of a batch of chart events; safe to be called in several threads."""
        charted = self._choose(batch, _NEEDED)
        rows, dropped = select_rows(charted, self._stays, self._items, self._parameters)
        other = batch.num_rows - charted.num_rows
        return rows, Counter({"read": batch.num_rows, "dropped_not_a_vital_sign": other, **dropped})

    def add(self, selected: VitalRows) -> None:
        """Take what `select` returned."""
        rows, counts = selected
        self._pending.append(rows)
        self.counts.update(counts)
        if sum(map(len, self._pending)) >= _PENDING_ROWS:
            self._spread()

    def finish(self) -> Iterator[pa.Table]:
        """Yield sorted tables of VITALS_SCHEMA whose concatenation is sorted."""
        self._spread()
        for table, counts in map_ahead(self._finish, self._buckets, _THREADS):
            self.counts.update(counts)
            yield table

    def _finish(self, bucket: Path) -> tuple[pa.Table, Counter[str]]:
        rows = np.fromfile(bucket, dtype=ROW)
        bucket.unlink()
        finished, counts = clean_rows(rows, self._parameters.consistent_blood_pressure)
        stay = finished["stay"]
        arrays = [
            pa.array(self._stays.subject_id[stay]),
            pa.array(self._stays.hadm_id[stay]),
            pa.array(self._stays.icustay_id[stay]),
            pa.array(np.ascontiguousarray(finished["time"])).cast(pa.timestamp("us")),
            _NAMES.take(pa.array(np.ascontiguousarray(finished["vital"]))),
            pa.array(np.ascontiguousarray(finished["value"])),
        ]
        return pa.Table.from_arrays(arrays, schema=VITALS_SCHEMA), counts

    def _spread(self) -> None:
        """Append each pending row to the file of its range of stays."""
        rows = np.concatenate([*self._pending, np.empty(0, dtype=ROW)])
        self._pending.clear()
        target = rows["stay"].astype(np.int64) * len(self._buckets) // len(self._stays)
        order = np.argsort(target, kind="stable")
        ends = np.cumsum(np.bincount(target, minlength=len(self._buckets)))
        for bucket, part in zip(self._buckets, np.split(rows[order], ends[:-1]), strict=True):
            with bucket.open("ab") as file:
                file.write(part.tobytes())
