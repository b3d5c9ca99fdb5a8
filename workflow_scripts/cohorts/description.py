"""The stays of a cohort table with what Table 1 says of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.cohorts.definitions import read_definition
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.parameters import Sepsis3Parameters
from workflow_scripts.cohorts.queries import create_with_needs
from workflow_scripts.runtime.tables import ColumnKind, check_columns

if TYPE_CHECKING:
    import pandas as pd

QUERY = Path(__file__).with_suffix(".sql")

_COHORT_COLUMNS: dict[str, ColumnKind] = {
    "subject_id": "integer",
    "hadm_id": "integer",
    "icustay_id": "integer",
    "intime": "timestamp without zone",
    "outtime": "timestamp without zone",
    "age_years": "number",
    "sex": "text",
    "icu_type": "text",
    "died_in_hospital": "true/false",
    "included": "true/false",
    "excluded_at": "text",
}


def describe_stays(
    events_folder: Path, cohort: Path, sepsis3: Sepsis3Parameters, threads: int = 1
) -> "pd.DataFrame":
    """Return one row per stay of the cohort table, in its order.

    Columns: subject_id, hadm_id, excluded_at, group (included or excluded), age_years, sex, icu_type, sofa (of the
    first day), stay_days (NaN where the stay has no end), died_in_hospital (yes or no).
    Raises UserError where a table or column is missing.
    """
    check_columns(cohort, _COHORT_COLUMNS, "label the cohort again (label_cohort)")
    with open_events(events_folder, threads, clinical=True, further=(cohort,)) as connection:
        create_with_needs(connection, "described", read_definition("description", QUERY), sepsis3.choices())
        return connection.execute(
            """
            SELECT
                cohort.subject_id, cohort.hadm_id, excluded_at,
                CASE WHEN included THEN 'included' ELSE 'excluded' END AS "group",
                age_years, sex, icu_type, sofa,
                (epoch_us(outtime) - epoch_us(intime)) / 86400e6 AS stay_days,
                CASE WHEN died_in_hospital THEN 'yes' ELSE 'no' END AS died_in_hospital
            FROM read_parquet($cohort) AS cohort
            LEFT JOIN described USING (icustay_id)
            ORDER BY icustay_id
            """,
            {"cohort": str(cohort)},
        ).df()
