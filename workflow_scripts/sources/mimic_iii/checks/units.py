"""Units by distribution: whether an item's values look like its stated unit, or like another one."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.checks.collectors import integers, positions
from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level
from workflow_scripts.sources.mimic_iii.items import load_clinical_measures, load_vital_signs

MINIMUM_VALUES = 100
_MIXED_SHARE = 0.005
_BINS_PER_DECADE = 100
_EDGES = 10.0 ** (np.arange(-3 * _BINS_PER_DECADE, 6 * _BINS_PER_DECADE + 1) / _BINS_PER_DECADE)


@dataclass(frozen=True)
class OtherUnit:
    """A unit that a value can be in by mistake.

    values: open interval that values in this unit fill and values in the stated unit (practically) never reach,
    or None where the two overlap; median: where the median of many values lies in this unit.
    """

    name: str
    values: tuple[float, float] | None
    median: tuple[float, float]


@dataclass(frozen=True)
class Quantity:
    """The stated unit, where the median of many adults' values lies in it, and units it is mistaken for."""

    unit: str
    median: tuple[float, float]
    others: tuple[OtherUnit, ...] = ()


_KILOPASCAL = OtherUnit("kPa", None, (4, 20))
_FRACTION = OtherUnit("fraction", (0.2, 1.0001), (0.2, 1.0001))
_PERCENT = OtherUnit("%", (20.9, 100.0001), (20.9, 100.0001))
_POUNDS = OtherUnit("pounds", None, (120, 250))

# Own bounds, wide enough for any adult ICU; the conversions behind the other units are exact.
QUANTITIES: dict[tuple[str, str], Quantity] = {
    ("heart_rate", "bpm"): Quantity("bpm", (55, 130)),
    ("systolic_blood_pressure", "mmHg"): Quantity("mmHg", (85, 160), (_KILOPASCAL,)),
    ("diastolic_blood_pressure", "mmHg"): Quantity("mmHg", (40, 95), (_KILOPASCAL,)),
    ("mean_blood_pressure", "mmHg"): Quantity("mmHg", (55, 115), (_KILOPASCAL,)),
    ("respiratory_rate", "breaths/min"): Quantity("breaths/min", (10, 35)),
    ("spo2", "%"): Quantity("%", (88, 100.0001), (_FRACTION,)),
    ("temperature", "degC"): Quantity(
        "degree Celsius", (32, 39.5), (OtherUnit("degree Fahrenheit", (85, 115), (85, 115)),)
    ),
    ("temperature", "degF"): Quantity(
        "degree Fahrenheit", (92, 103), (OtherUnit("degree Celsius", (25, 45), (25, 45)),)
    ),
    ("admission_weight", "kg"): Quantity("kg", (50, 115), (_POUNDS,)),
    ("daily_weight", "kg"): Quantity("kg", (50, 115), (_POUNDS,)),
    ("pao2", "mmHg"): Quantity("mmHg", (50, 250), (_KILOPASCAL,)),
    ("fio2", "%"): Quantity("%", (21, 100.0001), (_FRACTION,)),
    ("platelets", "10^9/L"): Quantity("10^9/L", (50, 500), (OtherUnit("per uL", (10_000, 1e6), (5e4, 5e5)),)),
    ("bilirubin", "mg/dL"): Quantity("mg/dL", (0.2, 6), (OtherUnit("umol/L", None, (8, 100)),)),
    ("creatinine", "mg/dL"): Quantity("mg/dL", (0.4, 4), (OtherUnit("umol/L", (45, 2000), (45, 350)),)),
    ("lactate", "mmol/L"): Quantity("mmol/L", (0.7, 6), (OtherUnit("mg/dL", None, (9, 60)),)),
}
"""(concept, charted unit) -> what its values look like."""

_FIO2_PERCENT = Quantity("%", (21, 100.0001), (_FRACTION,))
_PER_KG, _PER_MINUTE = "mcg/kg/min", "mcg/min"
_CATECHOLAMINE = Quantity(_PER_KG, (0.01, 0.9), (OtherUnit(_PER_MINUTE, None, (1, 60)),))
_CATECHOLAMINE_PER_MINUTE = Quantity(_PER_MINUTE, (1, 60), (OtherUnit(_PER_KG, None, (0.01, 0.9)),))
_PHENYLEPHRINE = Quantity(_PER_KG, (0.1, 6), (OtherUnit(_PER_MINUTE, None, (10, 400)),))
_DOPAMINE = Quantity(_PER_KG, (1, 25), (OtherUnit(_PER_MINUTE, None, (80, 2000)),))

# Items whose concept has no single unit.
QUANTITIES_OF_ITEMS: dict[int, Quantity] = {
    190: Quantity("fraction", (0.2, 1.0001), (_PERCENT,)),
    **dict.fromkeys((3420, 3422, 223835), _FIO2_PERCENT),
    **dict.fromkeys((30044, 30047), _CATECHOLAMINE_PER_MINUTE),
    **dict.fromkeys((30119, 30120, 30309, 221289, 221906), _CATECHOLAMINE),
    30127: Quantity(_PER_MINUTE, (10, 400), (OtherUnit(_PER_KG, None, (0.1, 6)),)),
    **dict.fromkeys((30128, 221749), _PHENYLEPHRINE),
    **dict.fromkeys((30042, 30043, 30306, 30307, 221653, 221662), _DOPAMINE),
}
"""ITEMID -> what its values look like; of infusions, their rates."""

VALUE_COLUMNS = {
    "chartevents": "valuenum",
    "labevents": "valuenum",
    "inputevents_cv": "rate",
    "inputevents_mv": "rate",
}
"""Events table -> the column whose unit is looked at."""


@dataclass(frozen=True)
class UnitItem:
    """An item whose values are looked at."""

    itemid: int
    label: str
    quantity: Quantity


def unit_items(table: str) -> list[UnitItem]:
    """Return the items of an events table whose unit can be told by their values, sorted by ITEMID."""
    found = []
    if table == "chartevents":
        for concept in load_vital_signs().values():
            for item in concept.items:
                unit = "degF" if item.conversion == "fahrenheit_to_celsius" else concept.unit
                if quantity := QUANTITIES.get((concept.name, unit)):
                    found.append(UnitItem(item.itemid, item.label, quantity))
    for clinical in load_clinical_measures().values():
        for entry in clinical.items if clinical.table == table else ():
            quantity = QUANTITIES.get((clinical.name, clinical.unit or "")) or QUANTITIES_OF_ITEMS.get(
                entry.itemid
            )
            if quantity:
                found.append(UnitItem(entry.itemid, entry.label, quantity))
    return sorted(found, key=lambda item: item.itemid)


@dataclass
class Units:
    """Histograms of the items' positive values on logarithmic bins, and counts of values in other units."""

    items: list[UnitItem]
    value_column: str = "valuenum"
    values: np.ndarray = field(init=False)
    histogram: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.itemids = np.array([item.itemid for item in self.items], dtype=np.int64)
        self.histogram = np.zeros((len(self.items), len(_EDGES) + 1), dtype=np.int64)
        most = max((len(item.quantity.others) for item in self.items), default=0)
        self.bounds = np.full((len(self.items), most, 2), np.nan)
        for row, item in enumerate(self.items):
            for column, other in enumerate(item.quantity.others):
                if other.values:
                    self.bounds[row, column] = other.values
        self.in_other = np.zeros((len(self.items), most), dtype=np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the batch's values."""
        place = positions(self.itemids, integers(batch, "itemid"))
        value = pc.fill_null(batch[self.value_column], np.nan).to_numpy(zero_copy_only=False)
        if "error" in batch.schema.names:
            place[integers(batch, "error") == 1] = -1
        keep = (place >= 0) & (value > 0) & np.isfinite(value)
        place, value = place[keep], value[keep]
        np.add.at(self.histogram, (place, np.searchsorted(_EDGES, value)), 1)
        for column in range(self.bounds.shape[1]):
            low, high = self.bounds[place, column].T
            inside = place[(value > low) & (value < high)]
            self.in_other[:, column] += np.bincount(inside, minlength=len(self.items))

    def findings(self, table: str, rows: int) -> list[Finding]:  # noqa: ARG002
        """Report items whose values look like another unit, and items with an unusual median."""
        found = []
        for row, item in enumerate(self.items):
            total = int(self.histogram[row].sum())
            if total >= MINIMUM_VALUES:
                found += self._judge(table, row, item, total)
        return found

    def _judge(self, table: str, row: int, item: UnitItem, total: int) -> list[Finding]:
        name = f"item {item.itemid} ({item.label})"
        quantity = item.quantity
        convert = (
            "convert these values before the extraction, or leave the item out of the concept dictionary"
        )
        for other, count in zip(quantity.others, self.in_other[row], strict=False):
            if count > _MIXED_SHARE * total:
                most = count > 0.5 * total
                found = f"{name}: {count / total:.1%} of {total:,} values look like {other.name}"
                remedy = (
                    convert
                    if most
                    else "nothing where they are implausible in the stated unit: they are dropped"
                )
                level: Level = "error" if most else "warning"
                return [Finding(level, "unit", table, found, f"values in {quantity.unit}", remedy)]
        middle = int(np.searchsorted(np.cumsum(self.histogram[row]), total / 2))
        median = float(_EDGES[min(max(middle, 1), len(_EDGES) - 1)])
        low, high = quantity.median
        if low <= median <= high:
            return []
        likely = [other.name for other in quantity.others if other.median[0] <= median <= other.median[1]]
        expected = f"{quantity.unit}, with a median between {low:g} and {high:g}"
        if likely:
            found = f"{name}: the median of {total:,} values, about {median:.2g}, looks like {likely[0]}"
            return [Finding("error", "unit", table, found, expected, convert)]
        found = f"{name}: the median of {total:,} values is about {median:.2g}"
        return [Finding("warning", "unit", table, found, expected, "check this item's unit")]
