"""A handmade ward: events tables of any content, typed as extraction writes them."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.sources.mimic_iii.extraction import CHART_COLUMNS, KEPT_COLUMNS
from workflow_scripts.sources.mimic_iii.reading import arrow_schema
from workflow_scripts.sources.mimic_iii.vitals import VITALS_SCHEMA

ADMITTED = pd.Timestamp("2100-01-01 10:00:00")
"""Every stay begins here, so that its hour h ends h hours later."""

SCHEMAS = {table: arrow_schema(table, columns) for table, columns in KEPT_COLUMNS.items()}
SCHEMAS["clinical_chart"] = arrow_schema("chartevents", CHART_COLUMNS)
SCHEMAS["vitals"] = VITALS_SCHEMA
TIME_COLUMNS = {
    "prescriptions": "startdate",
    "inputevents_mv": "starttime",
    "procedureevents_mv": "starttime",
}  # else charttime


class Ward:
    """Stay n is the only one of patient n and of admission n + 1000."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def admit(self, stay: int, hours: float = 48) -> "Ward":
        keys = {"subject_id": stay, "hadm_id": stay + 1000}
        leaves = ADMITTED + pd.Timedelta(hours=hours)
        self.rows["patients"].append({"subject_id": stay, "gender": "F", "dob": pd.Timestamp("2050-01-01")})
        self.rows["admissions"].append(
            {**keys, "admittime": ADMITTED, "dischtime": leaves, "hospital_expire_flag": 0}
        )
        self.rows["icustays"].append({**keys, "icustay_id": stay, "intime": ADMITTED, "outtime": leaves})
        return self

    def add(self, table: str, stay: int, hour: float, **values: Any) -> "Ward":
        """Add a row of a stay at a time, in hours after its admission; times in `values` are hours as well."""
        row = {
            "subject_id": stay,
            "hadm_id": stay + 1000,
            "icustay_id": stay,
            TIME_COLUMNS.get(table, "charttime"): hour,
        }
        row |= values
        for name, kind in zip(SCHEMAS[table].names, SCHEMAS[table].types, strict=True):
            if pa.types.is_timestamp(kind) and row.get(name) is not None:
                row[name] = ADMITTED + pd.Timedelta(hours=row[name])
        self.rows[table].append({name: row.get(name) for name in SCHEMAS[table].names})
        return self

    def chart(self, stay: int, hour: float, itemid: int, value: float | str, **others: Any) -> "Ward":
        number = value if isinstance(value, int | float) else None
        text = {"itemid": itemid, "value": str(value), "valuenum": number}
        return self.add("clinical_chart", stay, hour, **(text | others))

    def lab(self, stay: int, hour: float, itemid: int, value: float | str) -> "Ward":
        number = value if isinstance(value, int | float) else None
        return self.add("labevents", stay, hour, itemid=itemid, value=str(value), valuenum=number)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for table, schema in SCHEMAS.items():
            rows = pa.Table.from_pylist(self.rows[table], schema=schema)
            pq.write_table(rows, folder / f"{table}.parquet")
        return folder
