"""Runs a definition and the concepts that it needs, and holds their results against the contract."""

from typing import TYPE_CHECKING

from workflow_scripts.cohorts.definitions import Query, needed_queries
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Hour of a stay to which a moment belongs; hour 0 ends at `origin`, and a full hour belongs to the one it ends.
_STAY_HOUR = """
CREATE OR REPLACE TEMP MACRO stay_hour(moment, origin) AS
    CAST(ceil((epoch_us(moment) - epoch_us(origin)) / 3600e6) AS INTEGER)
"""


def create_definition(
    connection: "duckdb.DuckDBPyConnection", definition: Query, choices: dict[str, str | int]
) -> None:
    """Create the table `defined` (icustay_id, onset) from a definition, and every table that it needs.

    choices: values that the SQL reads by getvariable('name').
    Raises UserError for SQL that fails, is more than one SELECT, or gives another result than the contract's.
    """
    create_with_needs(connection, "defined", definition, choices)
    _refuse_wrong_columns(connection, definition)
    _refuse_wrong_rows(connection, definition)


def create_with_needs(
    connection: "duckdb.DuckDBPyConnection", table: str, query: Query, choices: dict[str, str | int]
) -> None:
    """Create a temporary table of what a query gives.

    What it needs is created before and dropped after its last use.
    """
    connection.execute(_STAY_HOUR)
    for name, value in choices.items():
        connection.execute(f'SET VARIABLE "{name}" = ?', [value])
    queries = [*needed_queries(query), query]
    last_use = {name: number for number, asker in enumerate(queries) for name in asker.needs}
    for number, asker in enumerate(queries):
        create_table(connection, table if asker is query else asker.name, asker)
        # Tables of all hours of all stays are large: each goes when nothing needs it any more.
        for name in asker.needs:
            if last_use[name] == number:
                connection.execute(f'DROP TABLE "{name}"')


def create_table(connection: "duckdb.DuckDBPyConnection", table: str, query: Query) -> None:
    """Create a temporary table of what one SELECT gives."""
    import duckdb

    expected = "one SELECT over the events tables and the tables that the line '-- Needs:' asks for"
    remedy = "correct this SQL file (docs/cohorts.md says what it may use)"
    try:
        statements = connection.extract_statements(query.text)
        kinds = [statement.type.name for statement in statements]
        if kinds != ["SELECT"]:
            raise UserError(str(query.path), f"statements: {', '.join(kinds) or 'none'}", expected, remedy)
        connection.execute(f'CREATE TEMP TABLE "{table}" AS {statements[0].query}')
    except duckdb.PermissionException:
        raise UserError(
            str(query.path), "SQL that asks for a file, the network or an extension", expected, remedy
        ) from None
    except duckdb.Error as error:
        # The text of a conversion error can hold a value of a patient's row; a name error cannot.
        safe = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
        found = str(error).splitlines()[0] if safe else type(error).__name__
        raise UserError(str(query.path), found, expected, remedy) from None


_CONTRACT = "the columns icustay_id (integer) and onset (timestamp without zone)"
_REMEDY = "correct this SQL file; docs/cohorts.md has its contract"


def _refuse_wrong_columns(connection: "duckdb.DuckDBPyConnection", definition: Query) -> None:
    schema = connection.sql("FROM defined LIMIT 0").to_arrow_table().schema
    if not _obeys_contract(schema):
        found = "columns " + ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise UserError(str(definition.path), found, _CONTRACT, _REMEDY)


def _obeys_contract(schema: "pa.Schema") -> bool:
    import pyarrow as pa

    types = dict(zip(schema.names, schema.types, strict=True))
    return (
        sorted(schema.names) == ["icustay_id", "onset"]
        and pa.types.is_integer(types["icustay_id"])
        and pa.types.is_timestamp(types["onset"])
        and types["onset"].tz is None
    )


def _refuse_wrong_rows(connection: "duckdb.DuckDBPyConnection", definition: Query) -> None:
    repeated, unknown, without = connection.execute("""
        SELECT
            (SELECT count(*) FROM (SELECT icustay_id FROM defined GROUP BY icustay_id HAVING count(*) > 1)),
            (SELECT count(*) FROM defined ANTI JOIN icustays USING (icustay_id)),
            (SELECT count(*) FROM defined WHERE onset IS NULL)
    """).fetchall()[0]
    problems = []
    if repeated:
        problems.append(f"{repeated} stays returned more than once")
    if unknown:
        problems.append(f"{unknown} rows with a stay that is not in icustays")
    if without and definition.onset_required:
        problems.append(f"{without} stays without an onset")
    if problems:
        expected = "one row for each stay that meets the definition, and only stays of icustays"
        expected += ", each with its onset" * definition.onset_required
        raise UserError(str(definition.path), ", ".join(problems), expected, _REMEDY)
