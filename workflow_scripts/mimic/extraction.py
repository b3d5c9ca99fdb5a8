"""From a MIMIC-III folder to the events tables: the columns and items that are needed, typed."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.mimic.parameters import ExtractionParameters
from workflow_scripts.mimic.reading import read_table
from workflow_scripts.mimic.tables import require_tables
from workflow_scripts.mimic.vital_rows import Stays
from workflow_scripts.mimic.vitals import VITALS_SCHEMA, extract_vitals
from workflow_scripts.runtime.errors import UserError

SMALL_TABLES = {
    "patients": ["subject_id", "gender", "dob", "dod"],
    "admissions": [
        "subject_id",
        "hadm_id",
        "admittime",
        "dischtime",
        "deathtime",
        "ethnicity",
        "hospital_expire_flag",
    ],
    "icustays": ["subject_id", "hadm_id", "icustay_id", "dbsource", "first_careunit", "intime", "outtime"],
    "diagnoses_icd": ["subject_id", "hadm_id", "seq_num", "icd9_code"],
    "procedures_icd": ["subject_id", "hadm_id", "seq_num", "icd9_code"],
}
"""Table -> columns that are kept of it."""

_PRIMARY_KEYS = {"patients": "subject_id", "admissions": "hadm_id", "icustays": "icustay_id"}
_ROW_GROUP_ROWS = 1 << 18


def extract_events(raw: Path, events: Path, parameters: ExtractionParameters) -> dict[str, int]:
    """Write the six events tables of docs/architecture.md and return the counts of chart events.

    Vital signs are sorted by (subject_id, icustay_id, charttime, vital, value); their file's metadata key
    `vitalora` holds {"counts": ...} as JSON. The other tables keep the order of their files.
    Raises UserError for missing tables or columns, broken files, empty tables and repeated primary keys;
    then no table is written or changed.
    """
    paths = require_tables(raw, [*SMALL_TABLES, "chartevents"])
    events.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".extract.", suffix=".part", dir=events) as name:
        scratch = Path(name)
        small = {table: read_table(paths[table], table, columns) for table, columns in SMALL_TABLES.items()}
        for table, column in _PRIMARY_KEYS.items():
            _check_primary_key(paths[table], table, column, small[table][column])
        for table, rows in small.items():
            pq.write_table(rows, scratch / f"{table}.parquet", compression="zstd")
        counts = _write_vitals(paths["chartevents"], Stays(small["icustays"]), parameters, scratch)
        for path in sorted(scratch.glob("*.parquet")):
            path.replace(events / path.name)
    return counts


def _check_primary_key(path: Path, table: str, column: str, values: pa.ChunkedArray) -> None:
    repeated = len(values) - pc.count_distinct(values, mode="all").as_py()
    if repeated or values.null_count:
        raise UserError(
            f"table {table.upper()}, {path}",
            f"{repeated} repeated and {values.null_count} empty values of its key {column}",
            "every key once, and none empty",
            "use the table of MIMIC-III v1.4 as released; rows may have been appended twice",
        )


def _write_vitals(
    chartevents: Path, stays: Stays, parameters: ExtractionParameters, scratch: Path
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    # The counts are known only at the end; without a stored Arrow schema, readers take the file's key and
    # values for the schema's metadata.
    with pq.ParquetWriter(
        scratch / "vitals.parquet", VITALS_SCHEMA, compression="zstd", store_schema=False
    ) as writer:
        for rows in extract_vitals(chartevents, stays, parameters, scratch, counts):
            writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)
        writer.add_key_value_metadata({"vitalora": json.dumps({"counts": counts})})
    return dict(counts)
