"""The concept dictionary against D_ITEMS and D_LABITEMS, and against what is charted."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level
from workflow_scripts.sources.mimic_iii.items import load_clinical_measures, load_vital_signs

_MOST_NAMED = 12
_STAYS_THAT_CHART = 20


@dataclass(frozen=True)
class WantedItem:
    """An item that the concept dictionary needs; system: carevue, metavision or laboratory."""

    concept: str
    table: str
    itemid: int
    label: str
    system: str


def dictionary_items() -> list[WantedItem]:
    """Return all items of the concept dictionary."""
    vital = [
        WantedItem(concept.name, "chartevents", item.itemid, item.label, item.system)
        for concept in load_vital_signs().values()
        for item in concept.items
    ]
    clinical = [
        WantedItem(concept.name, concept.table, item.itemid, item.label, item.system)
        for concept in load_clinical_measures().values()
        for item in concept.items
    ]
    return vital + clinical


def wanted_itemids(table: str) -> np.ndarray:
    """Return the sorted ITEMIDs that the concept dictionary takes from an events table."""
    return np.unique(
        np.array([item.itemid for item in dictionary_items() if item.table == table], dtype=np.int64)
    )


def check_dictionary(tables: dict[str, pa.RecordBatch], simulated: bool) -> list[Finding]:
    """Return the items that the release's dictionaries lack or describe otherwise.

    A simulated folder's dictionaries hold only what the simulator charts, so nothing is missing there.
    """
    found = []
    for table in ("d_items", "d_labitems"):
        batch = tables.get(table)
        if batch is None or not {"itemid", "label"} <= set(batch.schema.names):
            continue
        known = {row["itemid"]: row for row in batch.to_pylist()}
        wanted = [
            item for item in dictionary_items() if (item.system == "laboratory") == (table == "d_labitems")
        ]
        missing = [_name(item) for item in wanted if item.itemid not in known]
        if missing and not simulated:
            found.append(_finding("error", table, missing, "are not there"))
        there = [(item, known[item.itemid]) for item in wanted if item.itemid in known]
        relabelled = [_name(item) for item, row in there if not _same(row["label"], item.label)]
        if relabelled:
            found.append(_finding("error", table, relabelled, "have another label"))
        moved = [
            _name(item)
            for item, row in there
            if table == "d_items"
            and not (_same(row.get("dbsource"), item.system) and _same(row.get("linksto"), item.table))
        ]
        if moved:
            found.append(_finding("error", table, moved, "have another source system or events table"))
    return found


def _name(item: WantedItem) -> str:
    return f"{item.itemid} ({item.label}; {item.system}, {item.table})"


def _same(left: str | None, right: str) -> bool:
    return left is not None and left.strip().casefold() == right.strip().casefold()


def _finding(level: Level, table: str, items: list[str], problem: str) -> Finding:
    items = list(dict.fromkeys(items))
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return Finding(
        level,
        "items",
        table,
        f"{len(items)} items of the concept dictionary {problem}: {', '.join(items[:_MOST_NAMED])}{more}",
        "the items of mimic/concepts.yaml, with their labels and source systems",
        f"use {table.upper()} of MIMIC-III v1.4",
    )


def check_recorded(
    counts: dict[str, dict[int, int]], stays_of_system: dict[str, int], rows: dict[str, int]
) -> list[Finding]:
    """Return the concepts that a source system never charted, although many stays are of that system.

    counts: table -> ITEMID -> rows; stays_of_system: DBSOURCE -> ICU stays; rows: of each table that was read.
    """
    total: dict[tuple[str, str, str], int] = defaultdict(int)
    for item in dictionary_items():
        if rows.get(item.table):
            total[item.table, item.system, item.concept] += counts.get(item.table, {}).get(item.itemid, 0)
    silent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (table, system, concept), count in total.items():
        stays = sum(stays_of_system.values()) if system == "laboratory" else stays_of_system.get(system, 0)
        if count == 0 and stays >= _STAYS_THAT_CHART:
            silent[table, system].append(concept)
    return [
        Finding(
            "warning",
            "items",
            table,
            f"not one row, from {system}, of {', '.join(concepts)}",
            "rows of every concept, where many stays are of that system",
            "check that the file is whole; without these rows, cohorts that need them lose stays or organ scores",
        )
        for (table, system), concepts in silent.items()
    ]
