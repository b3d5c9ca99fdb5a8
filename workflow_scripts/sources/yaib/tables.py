"""The two tables of a YAIB export."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.sources.contract import OUTSIDE
from workflow_scripts.sources.mimic_iii.items import load_vital_signs
from workflow_scripts.sources.yaib.source import LONGEST_HOUR, VITALS
from workflow_scripts.sources.yaib.tasks import TaskFolder, refuse_foreign_stays

HOURS_BEFORE_ONSET = 6
"""Labels of sepsis and aki are true from 6 hours before the onset to 6 hours after it (aki.R: window = c(6L, 6L))."""


def write_tables(folders: Mapping[str, Path], folder: Path, plausible_ranges: bool = True) -> dict[str, int]:
    """Write vitals.parquet and stays.parquet; the calendar begins with each stay at 1970-01-01. Return counts.

    folders: task -> its folder, with `los`. plausible_ranges: whether values outside them are left
    out. Raises UserError for tables that are not as tasks.py says.
    """
    tasks = {name: TaskFolder(name, path) for name, path in folders.items()}
    for task in tasks.values():
        task.check(list(VITALS) if task.name == "los" else [])
    stays, counts = _stays(tasks)
    pq.write_table(stays, folder / "stays.parquet")
    return counts | _write_values(tasks["los"], folder / "vitals.parquet", plausible_ranges)


def _stays(tasks: Mapping[str, TaskFolder]) -> tuple[pa.Table, dict[str, int]]:
    """Return a row for each stay of `los`, with what the other tasks say of it, and counts."""
    last = tasks["los"].hours().group_by("stay_id").aggregate([("hour", "max")])
    static = tasks["los"].static()
    refuse_foreign_stays(tasks["los"].folder, "dyn", last["stay_id"], static["stay_id"])
    table = static.join(last, "stay_id", join_type="inner").sort_by("stay_id")
    stay = table["stay_id"]
    counts = {
        "stays": len(table),
        f"stays whose record the export ended after {LONGEST_HOUR} hours": _number(
            pc.greater_equal(table["hour_max"], LONGEST_HOUR)
        ),
    }
    columns: dict[str, pa.ChunkedArray] = {
        "subject_id": stay,
        "icustay_id": stay,
        "subject_kind": pa.chunked_array([pa.repeat("stay", len(stay))]),
        "intime": _moment(pc.multiply(table["hour_max"], 0)),
        "outtime": _moment(pc.add(table["hour_max"], 1)),
        "died_in_hospital": (died := _label(tasks, "mortality24", stay)),
        "died_in_icu": died,
        "age_years": table["age"].cast(pa.float64()),
        "sex": pc.utf8_lower(table["sex"].cast(pa.string())),
    }
    for column, onset, task in (("septic", "onset", "sepsis"), ("aki", "aki_onset", "aki")):
        columns[column], columns[onset] = _event(tasks, task, stay)
        if task in tasks:
            known = len(table) - columns[column].null_count
            counts[f"stays of the task {task}, of which an onset is known or that there is none"] = known
            counts[f"of these, with an onset of {task}"] = _number(columns[column])
    members = tasks["kidney_function"].static()["stay_id"] if "kidney_function" in tasks else stay[:0]
    columns["kidney_function"] = pc.is_in(stay, value_set=members.combine_chunks())
    counts["stays whose survival of the ICU is known"] = len(table) - died.null_count
    counts["of these, deaths in the ICU"] = _number(died)
    return pa.table(columns), counts


def _label(tasks: Mapping[str, TaskFolder], task: str, stay: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a task's label of each stay; null where the task does not have the stay."""
    if task not in tasks:
        return pa.chunked_array([pa.nulls(len(stay), pa.bool_())])
    outcome = tasks[task].outcomes()
    refuse_foreign_stays(tasks[task].folder, "outc", outcome["stay_id"], stay)
    row = pc.index_in(stay, value_set=outcome["stay_id"].combine_chunks())
    return outcome["label"].take(row)


def _event(
    tasks: Mapping[str, TaskFolder], task: str, stay: pa.ChunkedArray
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return whether each stay has the event of an hourly label, null where the task left the stay out, and its onset.

    Left out are also stays whose onset is before hour 6: that they have no label says nothing.
    """
    if task not in tasks:
        unknown, nothing = (pa.nulls(len(stay), kind) for kind in (pa.bool_(), pa.timestamp("us")))
        return pa.chunked_array([unknown]), pa.chunked_array([nothing])
    outcome = tasks[task].hourly_outcomes()
    refuse_foreign_stays(tasks[task].folder, "outc", outcome["stay_id"], stay)
    first = outcome.filter(outcome["label"]).group_by("stay_id").aggregate([("hour", "min")])
    row = pc.index_in(stay, value_set=first["stay_id"].combine_chunks())
    # True already at hour 0 is an onset at hour 6: YAIB-cohorts left out earlier ones.
    onset = _moment(pc.add(first["hour_min"], HOURS_BEFORE_ONSET)).take(row)
    is_known = pc.is_in(stay, value_set=outcome["stay_id"].unique())
    return pc.if_else(is_known, pc.is_valid(onset), pa.scalar(None, pa.bool_())), onset


def _write_values(task: TaskFolder, path: Path, plausible_ranges: bool) -> dict[str, int]:
    """Write the long table of vital signs, one vital sign after the other, so that memory holds one."""
    read = outside = 0
    schema = pa.schema(
        [
            ("icustay_id", pa.int64()),
            ("charttime", pa.timestamp("us")),
            ("vital", pa.string()),
            ("value", pa.float64()),
        ]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for table, plausible in _values(task):
            kept = table.filter(plausible) if plausible_ranges else table
            writer.write_table(kept.cast(schema))
            read, outside = read + len(table), outside + _number(pc.invert(plausible))
    return {"values": read, OUTSIDE[plausible_ranges]: outside}


def _values(task: TaskFolder) -> Iterator[tuple[pa.Table, pa.ChunkedArray]]:
    """Yield the values of each vital sign, and whether each is plausible."""
    signs = load_vital_signs()
    for column, vital in VITALS.items():
        table = task.values(column)
        table = table.filter(pc.is_finite(table[column]))
        bounds, value = signs[vital].plausible, table[column]
        below = pc.less_equal if bounds.high_included else pc.less
        columns = {
            "icustay_id": table["stay_id"],
            "charttime": _moment(table["hour"]),
            "vital": pa.repeat(vital, len(table)),
            "value": value,
        }
        yield pa.table(columns), pc.and_(pc.greater(value, bounds.low), below(value, bounds.high))


def _moment(hours: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.multiply(hours, 3_600_000_000).cast(pa.timestamp("us"))


def _number(condition: pa.ChunkedArray) -> int:
    return int(pc.sum(condition).as_py() or 0)
