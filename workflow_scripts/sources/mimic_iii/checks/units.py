"""Units by distribution: whether an item's values look like its stated unit, or like another one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflow_scripts.sources.counts import SMALLEST_GROUP
from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level
from workflow_scripts.sources.mimic_iii.items import load_clinical_measures, load_vital_signs

if TYPE_CHECKING:
    import numpy as np

MINIMUM_VALUES = 100
_MIXED_SHARE = 0.005
BINS_PER_DECADE = 100
"""Values are counted on logarithmic bins: bin k ends at 10 ** (k / BINS_PER_DECADE)."""


@dataclass(frozen=True)
class OtherUnit:
    """A unit that a value can be in by mistake.

    values: open interval that values in this unit fill and values in the stated unit (practically) never reach,
    or None where the two overlap; median: where the median of many values is in this unit.
    """

    name: str
    values: tuple[float, float] | None
    median: tuple[float, float]


@dataclass(frozen=True)
class Quantity:
    """The stated unit, where the median of many adults' values is, and the unit it is mistaken for."""

    unit: str
    median: tuple[float, float]
    other: OtherUnit | None = None


_KILOPASCAL = OtherUnit("kPa", None, (4, 20))
_FRACTION = OtherUnit("fraction", (0.2, 1.0001), (0.2, 1.0001))
_PERCENT = OtherUnit("%", (20.9, 100.0001), (20.9, 100.0001))
_POUNDS = OtherUnit("pounds", None, (120, 250))

# Own bounds, wide enough for any adult ICU; the conversions behind the other units are exact.
QUANTITIES: dict[tuple[str, str], Quantity] = {
    ("heart_rate", "bpm"): Quantity("bpm", (55, 130)),
    ("systolic_blood_pressure", "mmHg"): Quantity("mmHg", (85, 160), _KILOPASCAL),
    ("diastolic_blood_pressure", "mmHg"): Quantity("mmHg", (40, 95), _KILOPASCAL),
    ("mean_blood_pressure", "mmHg"): Quantity("mmHg", (55, 115), _KILOPASCAL),
    ("respiratory_rate", "breaths/min"): Quantity("breaths/min", (10, 35)),
    ("spo2", "%"): Quantity("%", (88, 100.0001), _FRACTION),
    ("temperature", "degC"): Quantity(
        "degree Celsius", (32, 39.5), OtherUnit("degree Fahrenheit", (85, 115), (85, 115))
    ),
    ("temperature", "degF"): Quantity(
        "degree Fahrenheit", (92, 103), OtherUnit("degree Celsius", (25, 45), (25, 45))
    ),
    ("admission_weight", "kg"): Quantity("kg", (50, 115), _POUNDS),
    ("daily_weight", "kg"): Quantity("kg", (50, 115), _POUNDS),
    ("pao2", "mmHg"): Quantity("mmHg", (50, 250), _KILOPASCAL),
    ("fio2", "%"): Quantity("%", (21, 100.0001), _FRACTION),
    ("platelets", "10^9/L"): Quantity("10^9/L", (50, 500), OtherUnit("per uL", (10_000, 1e6), (5e4, 5e5))),
    ("bilirubin", "mg/dL"): Quantity("mg/dL", (0.2, 6), OtherUnit("umol/L", None, (8, 100))),
    ("creatinine", "mg/dL"): Quantity("mg/dL", (0.4, 4), OtherUnit("umol/L", (45, 2000), (45, 350))),
    ("lactate", "mmol/L"): Quantity("mmol/L", (0.7, 6), OtherUnit("mg/dL", None, (9, 60))),
}
"""(vital sign or measure, charted unit) -> what its values look like."""

_FIO2_PERCENT = Quantity("%", (21, 100.0001), _FRACTION)
_PER_KG, _PER_MINUTE = "mcg/kg/min", "mcg/min"
_CATECHOLAMINE = Quantity(_PER_KG, (0.01, 0.9), OtherUnit(_PER_MINUTE, None, (1, 60)))
_CATECHOLAMINE_PER_MINUTE = Quantity(_PER_MINUTE, (1, 60), OtherUnit(_PER_KG, None, (0.01, 0.9)))
_PHENYLEPHRINE = Quantity(_PER_KG, (0.1, 6), OtherUnit(_PER_MINUTE, None, (10, 400)))
_DOPAMINE = Quantity(_PER_KG, (1, 25), OtherUnit(_PER_MINUTE, None, (80, 2000)))

# Items whose measure has no single unit.
QUANTITIES_OF_ITEMS: dict[int, Quantity] = {
    190: Quantity("fraction", (0.2, 1.0001), _PERCENT),
    **dict.fromkeys((3420, 3422, 223835), _FIO2_PERCENT),
    **dict.fromkeys((30044, 30047), _CATECHOLAMINE_PER_MINUTE),
    **dict.fromkeys((30119, 30120, 30309, 221289, 221906), _CATECHOLAMINE),
    30127: Quantity(_PER_MINUTE, (10, 400), OtherUnit(_PER_KG, None, (0.1, 6))),
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
        for sign in load_vital_signs().values():
            for item in sign.items:
                unit = "degF" if item.conversion == "fahrenheit_to_celsius" else sign.unit
                if quantity := QUANTITIES.get((sign.name, unit)):
                    found.append(UnitItem(item.itemid, item.label, quantity))
    for clinical in load_clinical_measures().values():
        for entry in clinical.items if clinical.table == table else ():
            quantity = QUANTITIES.get((clinical.name, clinical.unit or "")) or QUANTITIES_OF_ITEMS.get(
                entry.itemid
            )
            if quantity:
                found.append(UnitItem(entry.itemid, entry.label, quantity))
    return sorted(found, key=lambda item: item.itemid)


def judge_units(
    table: str, items: list[UnitItem], bins: Mapping[int, Mapping[int, int]], in_other: Mapping[int, int]
) -> list[Finding]:
    """Report items whose values look like another unit, and items with an unusual median.

    bins: ITEMID -> bin -> number of positive values; in_other: ITEMID -> those within the other unit's `values`.
    """
    found = []
    for item in items:
        counts = bins.get(item.itemid) or {}
        if sum(counts.values()) >= MINIMUM_VALUES:
            name, other = f"item {item.itemid} ({item.label})", in_other.get(item.itemid, 0)
            found += _judge(table, name, item.quantity, sum(counts.values()), _median(counts), other)
    return found


def judge_vital_sign(name: str, unit: str, values: "np.ndarray") -> list[Finding]:
    """Report where the values of a vital sign look like another unit, or have an unusual median.

    name, unit: as items.yaml has them; values: float [N]. Fewer than MINIMUM_VALUES are not judged.
    """
    import numpy as np

    quantity = QUANTITIES.get((name.removesuffix("_derived"), unit))
    if quantity is None or len(values) < MINIMUM_VALUES:
        return []
    low, high = quantity.other.values if quantity.other and quantity.other.values else (np.inf, np.inf)
    in_other = int(((values > low) & (values < high)).sum())
    # A small count is not told.
    in_other = in_other if in_other >= SMALLEST_GROUP else 0
    return _judge(name, "the export", quantity, len(values), float(np.median(values)), in_other)


def _judge(
    table: str, name: str, quantity: Quantity, total: int, median: float, in_other: int
) -> list[Finding]:
    """Judge one item of a table. total: of its values; in_other: how many are in the other unit's `values`."""
    other = quantity.other
    convert = "convert these values before they are read, or leave them out"
    if other and in_other > _MIXED_SHARE * total:
        most = in_other > 0.5 * total
        found = f"{name}: {in_other / total:.1%} of {total:,} values look like {other.name}"
        level: Level = "error" if most else "warning"
        few = "nothing where they are implausible in the stated unit: they are dropped"
        return [Finding(level, "unit", table, found, f"values in {quantity.unit}", convert if most else few)]
    low, high = quantity.median
    if low <= median <= high:
        return []
    expected = f"{quantity.unit}, with a median between {low:g} and {high:g}"
    if other and other.median[0] <= median <= other.median[1]:
        found = f"{name}: the median of {total:,} values, about {median:.2g}, looks like {other.name}"
        return [Finding("error", "unit", table, found, expected, convert)]
    found = f"{name}: the median of {total:,} values is about {median:.2g}"
    return [Finding("warning", "unit", table, found, expected, "check this item's unit")]


def _median(counts: Mapping[int, int]) -> float:
    """The upper end of the bin in which the median is."""
    half = sum(counts.values()) / 2
    below = 0
    for middle in sorted(counts):
        below += counts[middle]
        if below >= half:
            return 10.0 ** (middle / BINS_PER_DECADE)
    raise ValueError("no counts")
