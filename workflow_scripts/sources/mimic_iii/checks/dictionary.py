"""The items of items.yaml against D_ITEMS and D_LABITEMS, and against what is charted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow_scripts.sources.mimic_iii.checks.findings import Finding
from workflow_scripts.sources.mimic_iii.items import (
    ClinicalItem,
    Item,
    load_clinical_measures,
    load_vital_signs,
)

if TYPE_CHECKING:
    import duckdb

_MISSING = "are not there"
_MOST_NAMED = 12
_STAYS_THAT_CHART = 20

# For each item that is wanted of a dictionary: what is wrong with it, or nothing.
_PROBLEMS = """
    SELECT
        format('{} ({}; {}, {})', itemid, wanted.label, wanted.system, wanted.source) AS name,
        first(entry.itemid) IS NULL AS "are not there",
        bool_or(lower(trim(entry.label)) IS DISTINCT FROM lower(wanted.label)) AS "have another label",
        bool_or(
            wanted.system <> 'laboratory' AND (
                lower(trim(entry.dbsource)) IS DISTINCT FROM wanted.system
                OR lower(trim(entry.linksto)) IS DISTINCT FROM wanted.source
            )
        ) AS "have another source system or events table"
    FROM wanted LEFT JOIN {dictionary} AS entry USING (itemid)
    WHERE (wanted.system = 'laboratory') = ('{dictionary}' = 'd_labitems')
    GROUP BY ALL
    ORDER BY min(wanted.place)
"""

# Measures of which a charting system with many stays has no row.
_SILENT = """
    WITH stays AS (
        SELECT dbsource AS system, count(*) AS stays FROM icustays GROUP BY dbsource
        UNION ALL SELECT 'laboratory', count(*) FROM icustays
    ),
    silent AS (
        SELECT source, system, measure, min(place) AS place
        FROM wanted JOIN read_tables USING (source) LEFT JOIN charted USING (source, itemid)
        GROUP BY source, system, measure
        HAVING coalesce(sum(charted.n), 0) = 0
    )
    SELECT source, system, string_agg(measure, ', ' ORDER BY place)
    FROM silent JOIN stays USING (system)
    WHERE stays >= ?
    GROUP BY source, system
    ORDER BY min(place)
"""


def create_wanted(connection: "duckdb.DuckDBPyConnection") -> None:
    """Create the table `wanted`: every item of items.yaml (measure, source, itemid, label, system, place)."""
    items: list[tuple[str, str, Item | ClinicalItem]] = []
    for sign in load_vital_signs().values():
        items += [(sign.name, "chartevents", item) for item in sign.items]
    for measure in load_clinical_measures().values():
        items += [(measure.name, measure.table, item) for item in measure.items]
    connection.execute(
        "CREATE TABLE wanted (measure TEXT, source TEXT, itemid BIGINT, label TEXT, system TEXT, place INT)"
    )
    connection.executemany(
        "INSERT INTO wanted VALUES (?, ?, ?, ?, ?, ?)",
        [
            (name, source, item.itemid, item.label, item.system, n)
            for n, (name, source, item) in enumerate(items)
        ],
    )


def check_dictionary(
    connection: "duckdb.DuckDBPyConnection", dictionary: str, simulated: bool
) -> list[Finding]:
    """Return the items that d_items or d_labitems lacks or describes otherwise.

    A simulated folder's dictionaries hold only what the simulator charts, so nothing is missing there.
    """
    query = _PROBLEMS.replace("{dictionary}", dictionary)
    if dictionary == "d_labitems":  # It has neither column.
        query = query.replace("entry.dbsource", "NULL").replace("entry.linksto", "NULL")
    result = connection.execute(query)
    problems = [column[0] for column in result.description][1:]
    items = result.fetchall()
    found = []
    for place, problem in enumerate(problems, 1):
        if simulated and problem == _MISSING:
            continue
        # An item that is missing has no other problem.
        wrong = [item[0] for item in items if item[place] and (problem == _MISSING or not item[1])]
        if wrong:
            found.append(_finding(dictionary, list(dict.fromkeys(wrong)), problem))
    return found


def _finding(table: str, items: list[str], problem: str) -> Finding:
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return Finding(
        "error",
        "items",
        table,
        f"{len(items)} items of items.yaml {problem}: {', '.join(items[:_MOST_NAMED])}{more}",
        "the items of workflow_scripts/sources/mimic_iii/items.yaml, with their labels and source systems",
        f"use {table.upper()} of MIMIC-III v1.4",
    )


def check_charted(
    connection: "duckdb.DuckDBPyConnection",
    rows: Mapping[str, int],
    items: Mapping[str, Mapping[int | None, int]],
) -> list[Finding]:
    """Return the measures that a source system never charted, although many stays are of that system.

    rows: of each table that was read; items: table -> ITEMID -> rows.
    """
    connection.execute("CREATE TABLE read_tables (source TEXT)")
    connection.execute("CREATE TABLE charted (source TEXT, itemid BIGINT, n BIGINT)")
    for table, counts in items.items():
        if rows.get(table):
            connection.execute("INSERT INTO read_tables VALUES (?)", [table])
            connection.execute(
                "INSERT INTO charted SELECT ?, unnest(?), unnest(?)",
                [table, list(counts), list(counts.values())],
            )
    return [
        Finding(
            "warning",
            "items",
            table,
            f"not one row, from {system}, of {measures}",
            "rows of every measure, where many stays are of that system",
            "check that the file is whole; without these rows, cohorts that need them lose stays or organ scores",
        )
        for table, system, measures in connection.execute(_SILENT, [_STAYS_THAT_CHART]).fetchall()
    ]
