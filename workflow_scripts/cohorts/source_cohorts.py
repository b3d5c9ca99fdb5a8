"""Cohorts of a source that gives stays and vital signs: the same inclusion steps as for definitions over events."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.cohorts.events import MEMORY_LIMIT
from workflow_scripts.cohorts.labelling import AttritionRow, label_stays
from workflow_scripts.cohorts.parameters import CohortParameters
from workflow_scripts.runtime.tables import Columns, read_table
from workflow_scripts.sources.contract import COHORT_COLUMNS, OPTIONAL_STAY_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_OPTIONAL = {
    "hadm_id": "BIGINT",
    "age_years": "DOUBLE",
    "sex": "VARCHAR",
    "icu_type": "VARCHAR",
}
"""Columns of stays.parquet that a source may leave out, with their types."""

NOT_INCLUDED = "not_included_by_the_table"
"""Why a stay of your own cohort table is excluded."""


def label_source_cohort(
    values: Path,
    stays: Path,
    cohort: str,
    condition: str,
    onset: str,
    parameters: CohortParameters,
    vitals: list[str],
    threads: int = 1,
) -> tuple["pa.Table", list[AttritionRow]]:
    """Return the cohort table and its attrition, as labelling.label_cohort does for events.

    values, stays: the two tables of sources/contract.py. condition: the SQL condition on the columns of stays that
    makes the cohort; onset: the column of its onset; of this project, never of a user. Columns of the source's own
    follow those of every cohort table.
    Raises UserError for a cohort without any stay.
    """
    import duckdb

    with duckdb.connect(config={"threads": threads, "memory_limit": MEMORY_LIMIT}) as connection:
        connection.read_parquet(str(values)).create_view("vitals")
        source = connection.read_parquet(str(stays))
        source.create_view("source")
        absent = ", ".join(
            f"NULL::{kind} AS {name}" for name, kind in _OPTIONAL.items() if name not in source.columns
        )
        connection.execute(f"""
            CREATE TEMP TABLE stays AS
            SELECT
                *{", " + absent if absent else ""},
                (epoch_us(outtime) - epoch_us(intime)) / 3600e6 AS stay_hours,
                row_number() OVER (PARTITION BY subject_id ORDER BY intime, icustay_id) = 1 AS is_first_stay
            FROM (SELECT * EXCLUDE (onset) FROM source)
        """)
        connection.execute(
            f"CREATE TEMP TABLE defined AS SELECT icustay_id, {onset} AS onset FROM source WHERE {condition}"
        )
        table, attrition = label_stays(
            connection, cohort, parameters, vitals, ages_known="age_years" in source.columns
        )
        own = [name for name in source.columns if name not in table.column_names]
        further = connection.sql("FROM source ORDER BY icustay_id").to_arrow_table()
    for name in own:
        table = table.append_column(name, further[name])
    return table, attrition


def describe_source_stays(cohort: Path, described: Sequence[str]) -> "pd.DataFrame":
    """Return one row per stay of the cohort table, in its order, with what Table 1 says of it; of your own tables too.

    described: the columns that the data set can tell (Source.described); stay_days is made of intime and outtime.
    Columns: subject_id, hadm_id, excluded_at, group (included or excluded), and the described ones, of which those
    without any value are left out; a death is yes, no or None.
    """
    optional: Columns = {**OPTIONAL_STAY_COLUMNS, "excluded_at": "text"}
    remedy = "make the cohort table again (label_source_cohort), or correct your own"
    stays = read_table(cohort, COHORT_COLUMNS, remedy, optional).to_pandas()
    stays["included"] = stays["included"].fillna(False).astype(bool)
    if "excluded_at" not in stays:  # Your own tables say who is included, not why another is not.
        stays["excluded_at"] = stays["included"].map({True: None, False: NOT_INCLUDED})
    if "hadm_id" not in stays:
        stays["hadm_id"] = None
    stays["stay_days"] = (stays["outtime"] - stays["intime"]).dt.total_seconds() / 86400
    stays["group"] = stays["included"].map({True: "included", False: "excluded"})
    for name in ("died_in_hospital", "died_in_icu"):
        if name in stays:
            stays[name] = stays[name].map({True: "yes", False: "no"})
    told = [name for name in described if name in stays and stays[name].notna().any()]
    return stays[["subject_id", "hadm_id", "excluded_at", "group", *told]]
