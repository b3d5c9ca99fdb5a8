"""The extracted events tables as DuckDB views."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.runtime.tables import ColumnKind, check_columns

if TYPE_CHECKING:
    import duckdb

# What labelling and the definitions read of each table.
NEEDED_COLUMNS: dict[str, dict[str, ColumnKind]] = {
    "patients": {"subject_id": "integer", "dob": "timestamp without zone"},
    "admissions": {"hadm_id": "integer", "hospital_expire_flag": "number"},
    "icustays": {
        "subject_id": "integer",
        "hadm_id": "integer",
        "icustay_id": "integer",
        "intime": "timestamp without zone",
        "outtime": "timestamp without zone",
    },
    "diagnoses_icd": {"hadm_id": "integer", "icd9_code": "text"},
    "procedures_icd": {"hadm_id": "integer", "icd9_code": "text"},
    "vitals": {
        "icustay_id": "integer",
        "charttime": "timestamp without zone",
        "vital": "text",
        "value": "number",
    },
}


@contextmanager
def open_events(folder: Path, threads: int) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Give an in-process DuckDB connection with one view, named as its file, per Parquet file.

    Raises UserError where a needed table or column is missing or has another type.
    """
    import duckdb

    for table, columns in NEEDED_COLUMNS.items():
        check_columns(folder / f"{table}.parquet", columns, "extract the events anew (extract_events)")
    # Without a folder for temporary files no row of a patient is ever spilled into the working folder.
    with duckdb.connect(config={"threads": threads, "temp_directory": ""}) as connection:
        for path in sorted(folder.glob("*.parquet")):
            name = path.stem.replace('"', '""')
            source = str(path).replace("'", "''")
            connection.execute(f"CREATE VIEW \"{name}\" AS FROM read_parquet('{source}')")
        yield connection
