"""Chart events to compact rows of vital signs: which are kept, under which stay, in which unit."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.items import CONVERSIONS, Item, load_vital_signs, vital_names
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters

VITAL_CODES = {name: code for code, name in enumerate(sorted(vital_names()))}
"""Vital sign -> small number, in alphabetical order, so that sorting by number sorts by name."""

ROW = np.dtype([("stay", "<i4"), ("time", "<i8"), ("vital", "i1"), ("device", "i1"), ("value", "<f4")])
"""stay: position in StayIndex; time: microseconds since 1970; device: -1 for signs other than pressures."""


@dataclass(frozen=True)
class ItemArrays:
    """The items of the vital signs as parallel arrays, sorted by ITEMID."""

    itemid: np.ndarray
    vital: np.ndarray
    device: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    high_included: np.ndarray

    @classmethod
    def from_dictionary(cls) -> "ItemArrays":
        pairs = [(item, name) for name, sign in load_vital_signs().items() for item in sign.items]
        pairs.sort(key=lambda pair: pair[0].itemid)
        items = [item for item, _ in pairs]
        devices = sorted({item.device for item in items if item.device is not None})
        return cls(
            itemid=np.array([item.itemid for item in items]),
            vital=np.array([VITAL_CODES[name] for _, name in pairs], dtype=np.int8),
            device=np.array([_device_code(item, devices) for item in items], dtype=np.int8),
            factor=np.array([CONVERSIONS[item.conversion][0] for item in items]),
            offset=np.array([CONVERSIONS[item.conversion][1] for item in items]),
            low=np.array([item.plausible.low for item in items]),
            high=np.array([item.plausible.high for item in items]),
            high_included=np.array([item.plausible.high_included for item in items]),
        )


def _device_code(item: Item, devices: list[str]) -> int:
    return -1 if item.device is None else devices.index(item.device)


class StayIndex:
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


def select_rows(
    batch: pa.RecordBatch,
    stays: StayIndex,
    items: ItemArrays,
    parameters: ExtractionParameters,
) -> tuple[np.ndarray, Counter[str]]:
    """Return a batch of vital signs' chart events as ROW, and the counts of dropped rows by reason.

    Patient and admission follow from the ICU stay.
    A row that could be dropped for several reasons counts under the first.
    """
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
    counts: Counter[str] = Counter()
    keep = np.ones(len(value), dtype=bool)
    for reason, mask in bad.items():
        counts[f"dropped_{reason}"] += int(np.count_nonzero(keep & mask))
        keep &= ~mask
    rows = np.empty(int(np.count_nonzero(keep)), dtype=ROW)
    item = item[keep]
    rows["stay"], rows["time"] = stay[keep], time[keep]
    rows["vital"], rows["device"] = items.vital[item], items.device[item]
    rows["value"] = value[keep] * items.factor[item] + items.offset[item]
    return rows, counts
