"""CHARTEVENTS to the long table of vital signs, in bounded memory.

As rows come in, what is not wanted is dropped, units are converted, and the kept rows are spread over files
of stays ("buckets") on disk; each bucket then fits into memory, where duplicates and inconsistent pressures go, the
derived mean pressure is added, and rows are sorted. Buckets hold rising ranges of (subject_id, icustay_id),
so that their concatenation is sorted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.mimic.concepts import DERIVED_PRESSURE
from workflow_scripts.mimic.parameters import ExtractionParameters
from workflow_scripts.mimic.vital_rows import ROW, VITAL_CODES, ItemArrays, Stays, select_rows

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


class VitalSigns:
    """Takes rows of vital signs as they come, and gives them back cleaned and sorted.

    scratch: an existing folder for intermediate files; they take about 18 bytes for each kept row.
    counts: read, kept, derived, and dropped_<reason>, in the order in which the reasons are applied.
    """

    def __init__(
        self, chartevents: Path, stays: Stays, parameters: ExtractionParameters, scratch: Path
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._stays, self._parameters = stays, parameters
        self._items = ItemArrays.from_dictionary()
        number = 1 + chartevents.stat().st_size // _BUCKET_BYTES[chartevents.suffix.lower()]
        self._buckets = [scratch / f"bucket-{index}" for index in range(number)]
        self._pending: list[np.ndarray] = []

    @property
    def itemids(self) -> np.ndarray:
        """The ITEMIDs of all vital signs."""
        return self._items.itemid

    def add(self, rows: pa.RecordBatch, read: int) -> None:
        """Add chart events of vital signs, and the number of all chart events among which they were."""
        self.counts["read"] += read
        self.counts["dropped_not_a_vital_sign"] += read - rows.num_rows
        self._pending.append(select_rows(rows, self._stays, self._items, self._parameters, self.counts))
        if sum(map(len, self._pending)) >= _PENDING_ROWS:
            self._spread()

    def finish(self) -> Iterator[pa.Table]:
        """Yield sorted tables of VITALS_SCHEMA whose concatenation is sorted."""
        self._spread()
        for bucket in self._buckets:
            rows = np.fromfile(bucket, dtype=ROW)
            bucket.unlink()
            yield _finish(rows, self._stays, self._parameters, self.counts)

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


_INCONSISTENT = "systolic <= diastolic + 4 or systolic <= mean or diastolic >= mean"
_CHARTED_SQL = "create temp table charted as select distinct stay, time, vital, device, value from bucket"
_DISTINCT_SQL = "select count(*) from (select distinct stay, time, vital, value from charted)"
_FINISH_SQL = f"""
with pressures as (
    select stay, time, device,
        median(value) filter (vital = $systolic) as systolic,
        median(value) filter (vital = $diastolic) as diastolic,
        median(value) filter (vital = $mean) as mean
    from charted where device >= 0 group by stay, time, device
),
inconsistent as (select stay, time, device from pressures where $drop and ({_INCONSISTENT})),
consistent as (select * from charted anti join inconsistent using (stay, time, device)),
derived as (
    select stay, time, $derived as vital, cast(diastolic + (systolic - diastolic) / 3 as float) as value
    from pressures anti join inconsistent using (stay, time, device)
    where systolic is not null and diastolic is not null
)
select distinct stay, time, vital, value, false as is_derived from consistent
union all
select distinct stay, time, vital, value, true from derived
order by stay, time, vital, value
"""


def _finish(
    rows: np.ndarray, stays: Stays, parameters: ExtractionParameters, counts: Counter[str]
) -> pa.Table:
    """Drop duplicates and inconsistent pressures, derive the mean pressure, sort, and add identifiers.

    Several values of one pressure, time and device are represented by their median when pressures are
    compared and combined; each of them stays in the table.
    """
    import duckdb

    bucket = pa.table({name: np.ascontiguousarray(rows[name]) for name in ROW.names or ()})
    codes = {
        "systolic": VITAL_CODES["systolic_blood_pressure"],
        "diastolic": VITAL_CODES["diastolic_blood_pressure"],
        "mean": VITAL_CODES["mean_blood_pressure"],
        "derived": VITAL_CODES[DERIVED_PRESSURE],
    }
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.register("bucket", bucket)
        connection.execute(_CHARTED_SQL)
        connection.unregister("bucket")
        del bucket
        distinct_rows = connection.execute(_DISTINCT_SQL).fetchall()[0][0]
        values = {**codes, "drop": parameters.consistent_blood_pressure}
        finished = connection.sql(_FINISH_SQL, params=values).to_arrow_table()
    derived = pc.sum(finished["is_derived"]).as_py() or 0
    counts["dropped_duplicate"] += len(rows) - distinct_rows
    counts["dropped_inconsistent_blood_pressure"] += distinct_rows - (finished.num_rows - derived)
    counts["derived"] += derived
    counts["kept"] += finished.num_rows
    stay = finished["stay"].to_numpy()
    arrays = [
        pa.array(stays.subject_id[stay]),
        pa.array(stays.hadm_id[stay]),
        pa.array(stays.icustay_id[stay]),
        finished["time"].cast(pa.timestamp("us")),
        _NAMES.take(finished["vital"].combine_chunks()),
        finished["value"].cast(pa.float32()),
    ]
    return pa.Table.from_arrays(arrays, schema=VITALS_SCHEMA)
