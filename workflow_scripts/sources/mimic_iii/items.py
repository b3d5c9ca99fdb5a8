"""The dictionary of items.yaml as typed values. Imports nothing heavy."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    import numpy as np

DERIVED_PRESSURE = "mean_blood_pressure_derived"

CONVERSIONS = {"none": (1.0, 0.0), "fahrenheit_to_celsius": (5 / 9, -160 / 9)}
"""Conversion -> (factor, offset): value in the sign's unit = charted value * factor + offset."""


@dataclass(frozen=True)
class PlausibleRange:
    """An open interval of values a living patient can have; the upper end may belong to it."""

    low: float
    high: float
    high_included: bool = False

    def holds(self, value: float) -> bool:
        """Whether the value is plausible."""
        return self.low < value < self.high or (self.high_included and value == self.high)

    def holds_all(self, values: "np.ndarray") -> "np.ndarray":
        """Whether each value is plausible."""
        return (values > self.low) & ((values < self.high) | (self.high_included & (values == self.high)))


@dataclass(frozen=True)
class Item:
    """One ITEMID of CHARTEVENTS; `plausible` is in the charted unit, before the conversion."""

    itemid: int
    label: str
    system: str
    device: str | None
    conversion: str
    plausible: PlausibleRange


@dataclass(frozen=True)
class VitalSign:
    """One vital sign. `unit`, `plausible` and the scale hold after conversion."""

    name: str
    label: str
    unit: str
    plausible: PlausibleRange
    scale_low: float
    scale_high: float
    scale_source: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class ClinicalItem:
    """One ITEMID of D_ITEMS or D_LABITEMS; system: carevue, metavision or laboratory."""

    itemid: int
    label: str
    system: str


@dataclass(frozen=True)
class ClinicalMeasure:
    """Something that cohorts need, in one table; `plausible` is in `unit`, and extraction does not apply it."""

    name: str
    label: str
    table: str
    unit: str | None
    citation: str
    plausible: PlausibleRange | None
    items: tuple[ClinicalItem, ...]


def _item(itemid: int, entry: dict[str, Any], sign_range: dict[str, Any]) -> Item:
    return Item(
        itemid=itemid,
        label=entry["label"],
        system=entry["system"],
        device=entry.get("device"),
        conversion=entry.get("conversion", "none"),
        plausible=PlausibleRange(**entry.get("plausible", sign_range)),
    )


def _vital_sign(name: str, entry: dict[str, Any]) -> VitalSign:
    low, high = entry["scale"]
    return VitalSign(
        name=name,
        label=entry["label"],
        unit=entry["unit"],
        plausible=PlausibleRange(**entry["plausible"]),
        scale_low=low,
        scale_high=high,
        scale_source=entry["scale_source"],
        items=tuple(_item(itemid, item, entry["plausible"]) for itemid, item in entry["items"].items()),
    )


def _clinical_measure(name: str, entry: dict[str, Any]) -> ClinicalMeasure:
    plausible = entry.get("plausible")
    return ClinicalMeasure(
        name=name,
        label=entry["label"],
        table=entry["table"],
        unit=entry["unit"],
        citation=entry["citation"],
        plausible=None if plausible is None else PlausibleRange(**plausible),
        items=tuple(ClinicalItem(itemid, **item) for itemid, item in entry["items"].items()),
    )


@cache
def _read() -> tuple[dict[str, VitalSign], dict[str, ClinicalMeasure]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    parts = yaml.load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), Loader=loader)
    vital_signs = {name: _vital_sign(name, entry) for name, entry in parts["vital_signs"].items()}
    clinical = {name: _clinical_measure(name, entry) for name, entry in parts["clinical_items"].items()}
    return vital_signs, clinical


def load_vital_signs() -> dict[str, VitalSign]:
    """Return every vital sign by name, in the dictionary's order."""
    return dict(_read()[0])


def vital_sign(name: str) -> VitalSign:
    """Return a vital sign by name. Raises UserError for a name that the dictionary does not have."""
    signs = load_vital_signs()
    if name not in signs:
        raise UserError(
            f"vital sign '{name}'",
            "not in the dictionary of items",
            f"one of {', '.join(signs)}",
            "choose one of these, or add it to workflow_scripts/sources/mimic_iii/items.yaml",
        )
    return signs[name]


def vital_names() -> list[str]:
    """Return the names of all vital signs, in the dictionary's order."""
    return list(_read()[0])


def load_clinical_measures() -> dict[str, ClinicalMeasure]:
    """Return every clinical measure by name, in the dictionary's order."""
    return dict(_read()[1])


def clinical_itemids(table: str) -> list[int]:
    """Return the sorted ITEMIDs that clinical measures take from a table of MIMIC-III."""
    measures = load_clinical_measures().values()
    return sorted({item.itemid for measure in measures if measure.table == table for item in measure.items})
