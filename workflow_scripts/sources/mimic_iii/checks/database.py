"""The tables of a folder in an in-process database: the small ones loaded, the large ones streaming by once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from workflow_scripts.sources.mimic_iii.checks.assertions import Assertion
from workflow_scripts.sources.mimic_iii.checks.findings import Finding
from workflow_scripts.sources.mimic_iii.checks.units import BINS_PER_DECADE, UnitItem
from workflow_scripts.sources.mimic_iii.reading import arrow_schema
from workflow_scripts.sources.mimic_iii.tables import TABLES

if TYPE_CHECKING:
    import duckdb

SMALL_TABLES = ("patients", "admissions", "icustays", "d_items", "d_labitems")
"""The tables that others refer to."""

KEYS = {"patients": "subject_id", "admissions": "hadm_id", "icustays": "icustay_id"}
"""Table -> its key."""

# Each identifier once, whatever is damaged, so that a join never adds rows.
_KNOWN = """
CREATE TABLE known_patients AS
    SELECT subject_id, first(dob) AS dob FROM patients WHERE subject_id IS NOT NULL GROUP BY subject_id;
CREATE TABLE known_admissions AS
    SELECT hadm_id, first(subject_id) AS subject_id, first(admittime) AS admittime, first(dischtime) AS dischtime
    FROM admissions WHERE hadm_id IS NOT NULL GROUP BY hadm_id;
CREATE TABLE known_stays AS
    SELECT
        icustay_id, first(hadm_id) AS hadm_id,
        first(intime) - INTERVAL 24 HOURS AS day_before, first(outtime) + INTERVAL 24 HOURS AS day_after
    FROM icustays WHERE icustay_id IS NOT NULL GROUP BY icustay_id;
CREATE VIEW ages AS
    SELECT (epoch_us(admittime) - epoch_us(dob)) / (365.2425 * 86400e6) AS years
    FROM admissions JOIN known_patients USING (subject_id);
"""


@contextmanager
def open_tables(tables: Mapping[str, pa.Table]) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Give a connection that holds the small tables of a folder; those that are not given are empty.

    Columns that are not given are empty too. known_patients, known_admissions and known_stays hold each identifier
    once.
    """
    import duckdb

    with duckdb.connect(config={"threads": 1, "memory_limit": "512MB"}) as connection:
        # A table that streams by must stay on the left of a join, or all of it would be kept.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        for name in SMALL_TABLES:
            connection.register("given", _complete(name, tables.get(name)))
            connection.execute(f"CREATE TABLE {name} AS FROM given")
            connection.unregister("given")
        connection.execute(_KNOWN)
        yield connection


def _complete(name: str, table: pa.Table | None) -> pa.Table:
    """The table with all columns of the schema."""
    schema = arrow_schema(name, list(TABLES[name]))
    if table is None:
        return schema.empty_table()
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.schema.names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def count_wrong(connection: "duckdb.DuckDBPyConnection", assertion: Assertion) -> tuple[int, int]:
    """Return the number of wrong rows and of all rows of an assertion on the small tables."""
    query = (
        f"SELECT count(*) FILTER ({assertion.wrong}), count(*) FROM {assertion.relation or assertion.table}"
    )
    wrong, rows = connection.execute(query).fetchall()[0]
    return int(wrong), int(rows)


def check_key(connection: "duckdb.DuckDBPyConnection", table: str, key: str) -> list[Finding]:
    """Return the finding for repeated and empty values of a table's key, or nothing."""
    query = f"SELECT count({key}) - count(DISTINCT {key}), count(*) - count({key}), count(*) FROM {table}"
    repeated, empty, rows = connection.execute(query).fetchall()[0]
    if not repeated and not empty:
        return []
    found = f"{repeated:,} repeated and {empty:,} empty values of {rows:,}"
    remedy = "rows may have been appended twice: get the file again"
    return [Finding("error", f"key {key}", table, found, "every key once, and none empty", remedy)]


def check_oldest(connection: "duckdb.DuckDBPyConnection") -> list[Finding]:
    """Return the finding for a folder in which nobody has the shifted age of patients above 89, or nothing."""
    admissions, oldest = connection.execute("SELECT count(years), max(years) FROM ages").fetchall()[0]
    if admissions < 100 or oldest > 150:
        return []
    found = "no age of about 300 years: the shift of patients older than 89 is missing"
    expected = "ages up to 89 years, or about 300 for patients who were older"
    remedy = "nothing for a selection of younger patients; otherwise use the release's dates of birth"
    return [Finding("warning", "ages", "patients", found, expected, remedy)]


@dataclass
class Counts:
    """What was counted of one events table.

    wrong: rows that meet each assertion's condition; items: ITEMID (or None) -> rows; bins and in_other: as
    judge_units takes them.
    """

    wrong: list[int]
    items: dict[int | None, int] = field(default_factory=dict)
    bins: dict[int, dict[int, int]] = field(default_factory=dict)
    in_other: dict[int, int] = field(default_factory=dict)


def count_events(
    connection: "duckdb.DuckDBPyConnection",
    events: pa.RecordBatchReader,
    assertions: Sequence[Assertion],
    value_column: str | None = None,
    items: Iterable[UnitItem] = (),
) -> Counts:
    """Count in one pass over an events table. Memory does not depend on its number of rows.

    value_column: of the values whose unit is judged, for `items`.
    """
    names = events.schema.names
    columns = [f"count(*) FILTER ({assertion.wrong}) AS wrong_{n}" for n, assertion in enumerate(assertions)]
    joins = [
        f"LEFT JOIN {known} USING ({key})"
        for known, key in (
            ("known_patients AS patient", "subject_id"),
            ("known_admissions AS admission", "hadm_id"),
            ("known_stays AS stay", "icustay_id"),
        )
        if key in names
    ]
    if value_column:
        _create_units(connection, items)
        value = f"event.{value_column}"
        judged = "unit.itemid IS NOT NULL"
        if "error" in names:
            judged += " AND event.error IS DISTINCT FROM 1"
        bin_of = f"ceil({BINS_PER_DECADE} * log10({value}))::SMALLINT"
        countable = f"{value} > 1e-9 AND {value} < 1e12"
        columns += [
            f"histogram(CASE WHEN {judged} AND {countable} THEN {bin_of} END) AS bins",
            f"count(*) FILTER ({value} > unit.low AND {value} < unit.high AND {judged}) AS in_other",
        ]
        joins.append("LEFT JOIN unit USING (itemid)")
    key = "event.itemid" if "itemid" in names else "NULL"
    connection.register("streamed", events)
    result = connection.execute(
        f"SELECT {', '.join([f'{key} AS itemid', 'count(*) AS n', *columns])} "
        f"FROM streamed AS event {' '.join(joins)} GROUP BY {key}"
    ).fetchall()
    connection.unregister("streamed")
    return _counts(result, len(assertions), bool(value_column))


def _create_units(connection: "duckdb.DuckDBPyConnection", items: Iterable[UnitItem]) -> None:
    connection.execute("CREATE OR REPLACE TABLE unit (itemid BIGINT, low DOUBLE, high DOUBLE)")
    for item in items:
        other = item.quantity.other
        bounds = other.values if other and other.values else (None, None)
        connection.execute("INSERT INTO unit VALUES (?, ?, ?)", [item.itemid, *bounds])


def _counts(rows: list[tuple], assertions: int, with_values: bool) -> Counts:
    found = Counts([sum(row[2 + n] for row in rows) for n in range(assertions)])
    for row in rows:
        found.items[row[0]] = row[1]
        if with_values and row[0] is not None:
            found.bins[row[0]], found.in_other[row[0]] = row[-2] or {}, row[-1]
    return found
