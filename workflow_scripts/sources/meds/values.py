"""Vital signs of a MEDS data set: codes with a unit, converted, within their stays."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.contract import OUTSIDE
from workflow_scripts.sources.meds.mapping import MappedCode
from workflow_scripts.sources.meds.stays import create_table

if TYPE_CHECKING:
    import duckdb

FAHRENHEIT, CELSIUS = (70, 120), (25, 46)
"""Temperatures that a patient can have; none is in both ranges."""
TWO_UNITS_SHARE = 0.05
"""A larger share of a code's temperatures in the other unit's range is a second unit; a smaller one, wrong entries."""
FEWEST_VALUES = 11


def write_values(
    connection: "duckdb.DuckDBPyConnection",
    codes: Sequence[MappedCode],
    path: Path,
    raw: Path,
    plausible_ranges: bool = True,
) -> dict[str, int]:
    """Write vitals.parquet from `events` and `stays`, sorted by vital sign, stay and time; return counts.

    A value belongs to the subject's stay around its time, from intime to before outtime. Values outside the plausible
    range (with plausible_ranges), and repeated values of one time, are left out.
    Raises UserError where there is no value, and for a code with temperatures in two units.
    """
    numbers = ("factor", "unit_offset", "low", "high", "other_low", "other_high")
    columns = {"code": "VARCHAR", "vital": "VARCHAR", "high_included": "BOOLEAN"} | dict.fromkeys(
        numbers, "DOUBLE"
    )
    rows = [
        (
            *(code.code, code.vital, code.high_included),
            *(code.factor, code.offset, code.low, code.high),
            *_other_unit(code),
        )
        for code in codes
    ]
    create_table(connection, "vital_codes", columns, rows)
    connection.execute(_CHARTED)
    _refuse_two_units(connection, raw)
    read, outside_stays, implausible, other_unit = connection.sql(_COUNTS).fetchall()[0]
    left_out = implausible if plausible_ranges else 0
    if read == outside_stays + left_out:
        raise UserError(
            str(raw / "data"),
            f"{read} values of vital signs, {outside_stays} outside every ICU stay, {implausible} not plausible",
            "values of vital signs within ICU stays",
            "correct the mapping of codes and units (docs/exchange-formats.md)",
        )
    connection.sql(_DISTINCT, params={"every": not plausible_ranges}).write_parquet(str(path))
    kept = pq.read_metadata(path).num_rows
    return {
        "values of vital signs": read,
        "values outside every ICU stay, left out": outside_stays,
        OUTSIDE[plausible_ranges]: implausible,
        "of these, temperatures that look like the other unit": other_unit,
        "repeated values, left out": read - outside_stays - left_out - kept,
    }


def _other_unit(code: MappedCode) -> tuple[float, float] | tuple[None, None]:
    """Return the range of temperatures in the unit that the code does not say; None for other vital signs."""
    if code.vital != "temperature":
        return None, None
    return CELSIUS if code.conversion == "fahrenheit_to_celsius" else FAHRENHEIT


def _refuse_two_units(connection: "duckdb.DuckDBPyConnection", raw: Path) -> None:
    mixed = connection.execute(
        """
        SELECT code FROM charted
        GROUP BY code
        HAVING count(*) >= $fewest AND count_if(in_other_unit) > $share * count(*)
        ORDER BY code
        """,
        {"fewest": FEWEST_VALUES, "share": TWO_UNITS_SHARE},
    ).fetchall()
    if mixed:
        raise UserError(
            str(raw / "data"),
            f"temperatures in °C and in °F under one code: {', '.join(code for (code,) in mixed)}",
            "one unit for each code",
            "write two codes when the data are converted, or correct the unit in the mapping",
        )


# Values are joined to the subject's latest stay that began before them.
_CHARTED = """
CREATE TEMP TABLE charted AS
WITH chosen AS (
    SELECT
        subject_id, time, code, vital, numeric_value::DOUBLE AS charted,
        low, high, high_included, factor, unit_offset, other_low, other_high
    FROM events JOIN vital_codes USING (code)
    WHERE numeric_value IS NOT NULL AND isfinite(numeric_value) AND time IS NOT NULL
)
SELECT
    stays.icustay_id, chosen.time, code, vital,
    (charted * factor + unit_offset)::FLOAT AS value,
    coalesce(chosen.time < stays.outtime, false) AS in_stay,
    (charted > low AND charted < high) OR (high_included AND charted = high) AS is_plausible,
    coalesce(charted BETWEEN other_low AND other_high, false) AS in_other_unit
FROM chosen ASOF LEFT JOIN stays
    ON chosen.subject_id = stays.subject AND chosen.time >= stays.intime
"""

_COUNTS = """
SELECT
    count(*),
    count_if(NOT in_stay),
    count_if(in_stay AND NOT is_plausible),
    count_if(in_stay AND NOT is_plausible AND in_other_unit)
FROM charted
"""

_DISTINCT = """
SELECT DISTINCT icustay_id, time AS charttime, vital, value
FROM charted WHERE in_stay AND (is_plausible OR $every)
ORDER BY vital, icustay_id, charttime, value
"""
