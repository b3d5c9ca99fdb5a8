"""CHARTEVENTS to the long table of vital signs, in bounded memory.

One pass over the file drops what is not wanted, converts units and spreads the kept rows over files of stays
("buckets") on disk; each bucket then fits into memory, where duplicates and inconsistent pressures go, the
derived mean pressure is added, and rows are sorted. Buckets hold rising ranges of (subject_id, icustay_id),
so that their concatenation is sorted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.mimic.concepts import CONVERSIONS, DERIVED_PRESSURE, Item, load_concepts, vital_names
from workflow_scripts.mimic.parameters import ExtractionParameters
from workflow_scripts.mimic.reading import empty_table, stream_table

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
_CODES = {name: code for code, name in enumerate(sorted(vital_names()))}
_NAMES = pa.array(sorted(vital_names()))
_ROW = np.dtype([("stay", "<i4"), ("time", "<i8"), ("vital", "i1"), ("device", "i1"), ("value", "<f4")])
_COLUMNS = ["icustay_id", "itemid", "charttime", "valuenum", "error"]
# A bucket of this much input holds about one million kept rows of the release.
_BUCKET_BYTES = {".gz": 64 << 20, ".csv": 512 << 20}


@dataclass(frozen=True)
class _ItemArrays:
    """The concept dictionary's items as parallel arrays, sorted by ITEMID."""

    itemid: np.ndarray
    vital: np.ndarray
    device: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    high_included: np.ndarray

    @classmethod
    def from_dictionary(cls) -> "_ItemArrays":
        pairs = [(item, name) for name, concept in load_concepts().items() for item in concept.items]
        pairs.sort(key=lambda pair: pair[0].itemid)
        items = [item for item, _ in pairs]
        devices = sorted({item.device for item in items if item.device is not None})
        return cls(
            itemid=np.array([item.itemid for item in items]),
            vital=np.array([_CODES[name] for _, name in pairs], dtype=np.int8),
            device=np.array([_device_code(item, devices) for item in items], dtype=np.int8),
            factor=np.array([CONVERSIONS[item.conversion][0] for item in items]),
            offset=np.array([CONVERSIONS[item.conversion][1] for item in items]),
            low=np.array([item.plausible.low for item in items]),
            high=np.array([item.plausible.high for item in items]),
            high_included=np.array([item.plausible.high_included for item in items]),
        )


def _device_code(item: Item, devices: list[str]) -> int:
    return -1 if item.device is None else devices.index(item.device)


class Stays:
    """ICU stays in the order of the output; a row of CHARTEVENTS gets its identifiers from here."""

    def __init__(self, icustays: pa.Table) -> None:
        ordered = icustays.sort_by([("subject_id", "ascending"), ("icustay_id", "ascending")])
        self.subject_id, self.hadm_id, self.icustay_id = (
            ordered[name].to_numpy() for name in ("subject_id", "hadm_id", "icustay_id")
        )
        self._by_id = np.argsort(self.icustay_id, kind="stable")
        self._sorted_ids = self.icustay_id[self._by_id]

    def __len__(self) -> int:
        return len(self.icustay_id)

    def positions(self, icustay_ids: np.ndarray) -> np.ndarray:
        """Return each identifier's position in the output's order, -1 where ICUSTAYS lacks it."""
        place = np.searchsorted(self._sorted_ids, icustay_ids).clip(max=len(self) - 1)
        return np.where(self._sorted_ids[place] == icustay_ids, self._by_id[place], -1)


def extract_vitals(
    chartevents: Path, stays: Stays, parameters: ExtractionParameters, scratch: Path, counts: Counter[str]
) -> Iterator[pa.Table]:
    """Yield sorted tables of VITALS_SCHEMA whose concatenation is sorted; add to the counts of rows.

    scratch: an existing folder for intermediate files; they take about 18 bytes for each kept row.
    counts: read, kept, derived, and dropped_<reason>, in the order in which the reasons are applied.
    Raises UserError as `reading.stream_table` does, and where the table is empty.
    """
    bytes_per_bucket = _BUCKET_BYTES[chartevents.suffix.lower()]
    number = 1 + chartevents.stat().st_size // bytes_per_bucket
    buckets = [scratch / f"bucket-{index}" for index in range(number)]
    _spread(chartevents, stays, parameters, buckets, counts)
    if counts["read"] == 0:
        raise empty_table(chartevents, "chartevents")
    for bucket in buckets:
        rows = np.fromfile(bucket, dtype=_ROW)
        bucket.unlink()
        yield _finish(rows, stays, parameters, counts)


def _spread(
    chartevents: Path,
    stays: Stays,
    parameters: ExtractionParameters,
    buckets: list[Path],
    counts: Counter[str],
) -> None:
    items = _ItemArrays.from_dictionary()
    wanted = pa.array(items.itemid)
    files = [bucket.open("wb") for bucket in buckets]
    try:
        for batch in stream_table(chartevents, "chartevents", _COLUMNS):
            vitals = batch.filter(pc.is_in(batch["itemid"], wanted))
            counts["read"] += batch.num_rows
            counts["dropped_not_a_vital_sign"] += batch.num_rows - vitals.num_rows
            rows = _select(vitals, stays, items, parameters, counts)
            target = rows["stay"].astype(np.int64) * len(files) // len(stays)
            for index in np.unique(target):
                rows[target == index].tofile(files[index])
    finally:
        for file in files:
            file.close()


def _select(
    batch: pa.RecordBatch,
    stays: Stays,
    items: _ItemArrays,
    parameters: ExtractionParameters,
    counts: Counter[str],
) -> np.ndarray:
    value = pc.fill_null(batch["valuenum"], np.nan).to_numpy(zero_copy_only=False)
    time = pc.fill_null(batch["charttime"].cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    stay = stays.positions(pc.fill_null(batch["icustay_id"], -1).to_numpy(zero_copy_only=False))
    item = np.searchsorted(items.itemid, batch["itemid"].to_numpy())
    below_high = (value < items.high[item]) | (items.high_included[item] & (value == items.high[item]))
    bad = {
        "marked_as_error": pc.fill_null(batch["error"], 0).to_numpy(zero_copy_only=False) == 1,
        "no_value": ~np.isfinite(value),
        "no_time": pc.is_null(batch["charttime"]).to_numpy(zero_copy_only=False),
        "no_icu_stay": pc.is_null(batch["icustay_id"]).to_numpy(zero_copy_only=False),
        "unknown_icu_stay": stay < 0,
    }
    if parameters.plausible_ranges:
        bad["implausible"] = ~((value > items.low[item]) & below_high)
    keep = np.ones(len(value), dtype=bool)
    for reason, mask in bad.items():
        counts[f"dropped_{reason}"] += int(np.count_nonzero(keep & mask))
        keep &= ~mask
    rows = np.empty(int(np.count_nonzero(keep)), dtype=_ROW)
    item = item[keep]
    rows["stay"], rows["time"] = stay[keep], time[keep]
    rows["vital"], rows["device"] = items.vital[item], items.device[item]
    rows["value"] = value[keep] * items.factor[item] + items.offset[item]
    return rows


_INCONSISTENT = "systolic <= diastolic + 4 or systolic <= mean or diastolic >= mean"
_FINISH_SQL = f"""
with charted as (select distinct stay, time, vital, device, value from bucket),
pressures as (
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

    bucket = pa.table({name: np.ascontiguousarray(rows[name]) for name in _ROW.names or ()})
    codes = {
        "systolic": _CODES["systolic_blood_pressure"],
        "diastolic": _CODES["diastolic_blood_pressure"],
        "mean": _CODES["mean_blood_pressure"],
        "derived": _CODES[DERIVED_PRESSURE],
    }
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.register("bucket", bucket)
        values = {**codes, "drop": parameters.consistent_blood_pressure}
        finished = connection.sql(_FINISH_SQL, params=values).to_arrow_table()
        unique = connection.execute(
            "select count(*) from (select distinct stay, time, vital, value from bucket)"
        )
        distinct_rows = unique.fetchall()[0][0]
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
