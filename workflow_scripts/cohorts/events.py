"""The extracted events tables as DuckDB views."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import scratch_folder
from workflow_scripts.runtime.tables import ColumnKind, check_columns

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1GiB"
"""Of the query engine; the whole step stays below twice that at the full size of MIMIC-III."""

# What labelling and the definitions by diagnosis read of each table.
NEEDED_COLUMNS: dict[str, dict[str, ColumnKind]] = {
    "patients": {"subject_id": "integer", "gender": "text", "dob": "timestamp without zone"},
    "admissions": {"hadm_id": "integer", "hospital_expire_flag": "number"},
    "icustays": {
        "subject_id": "integer",
        "hadm_id": "integer",
        "icustay_id": "integer",
        "first_careunit": "text",
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

# What the concepts read besides.
CLINICAL_COLUMNS: dict[str, dict[str, ColumnKind]] = {
    "admissions": {
        "subject_id": "integer",
        "hadm_id": "integer",
        "admittime": "timestamp without zone",
        "dischtime": "timestamp without zone",
        "hospital_expire_flag": "number",
    },
    "clinical_chart": {
        "hadm_id": "integer",
        "icustay_id": "integer",
        "charttime": "timestamp without zone",
        "itemid": "integer",
        "value": "text",
        "valuenum": "number",
        "error": "integer",
    },
    "labevents": {
        "subject_id": "integer",
        "hadm_id": "integer",
        "charttime": "timestamp without zone",
        "itemid": "integer",
        "value": "text",
        "valuenum": "number",
    },
    "outputevents": {
        "icustay_id": "integer",
        "charttime": "timestamp without zone",
        "itemid": "integer",
        "value": "number",
        "iserror": "integer",
    },
    "inputevents_cv": {
        "icustay_id": "integer",
        "charttime": "timestamp without zone",
        "itemid": "integer",
        "rate": "number",
        "stopped": "text",
    },
    "inputevents_mv": {
        "icustay_id": "integer",
        "starttime": "timestamp without zone",
        "endtime": "timestamp without zone",
        "itemid": "integer",
        "rate": "number",
        "statusdescription": "text",
    },
    "procedureevents_mv": {
        "icustay_id": "integer",
        "starttime": "timestamp without zone",
        "itemid": "integer",
    },
    "prescriptions": {
        "hadm_id": "integer",
        "startdate": "timestamp without zone",
        "drug_type": "text",
        "drug": "text",
        "route": "text",
    },
    "microbiologyevents": {
        "hadm_id": "integer",
        "chartdate": "timestamp without zone",
        "charttime": "timestamp without zone",
    },
}


@contextmanager
def open_events(
    folder: Path, threads: int, clinical: bool, further: tuple[Path, ...] = ()
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Give an in-process DuckDB connection with one view, named as its file, per Parquet file.

    Its SQL reads these files and nothing else. clinical: whether the tables of the concepts are needed.
    further: files beside the events that may be read too.
    Raises UserError where a needed table or column is missing or has another type, or the folder cannot be
    written to.
    """
    import duckdb

    for table, columns in (NEEDED_COLUMNS | CLINICAL_COLUMNS if clinical else NEEDED_COLUMNS).items():
        check_columns(folder / f"{table}.parquet", columns, "extract the events again (extract_events)")
    with (
        _spill_folder(folder) as spill,
        duckdb.connect(
            config={"threads": threads, "memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)}
        ) as connection,
    ):
        for path in sorted(folder.glob("*.parquet")):
            name = path.stem.replace('"', '""')
            connection.execute(f'CREATE VIEW "{name}" AS FROM read_parquet({_quoted(path)})')
        _lock(connection, folder, further)
        yield connection


def _lock(connection: "duckdb.DuckDBPyConnection", folder: Path, further: tuple[Path, ...]) -> None:
    """From now on, no other file, no network and no extension; and nothing unlocks this."""
    connection.execute(f"SET allowed_directories = [{_quoted(folder)}]")
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, further))}]")
    for setting in ("enable_external_access", "autoinstall_known_extensions", "autoload_known_extensions"):
        connection.execute(f"SET {setting} = false")
    connection.execute("SET lock_configuration = true")


def _quoted(path: Path) -> str:
    escaped = str(path).replace("'", "''")
    return f"'{escaped}'"


@contextmanager
def _spill_folder(folder: Path) -> Iterator[Path]:
    """A folder for what does not fit into memory: beside the events, and readable by their owner alone."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(scratch_folder(folder, "query"))
        except OSError as error:
            raise UserError(
                str(folder),
                f"no temporary folder can be made there: {error.strerror}",
                "an events folder that can be written to, on a disk with space",
                "make room or give yourself the right to write there",
            ) from None
        yield made
