"""From a MIMIC-III folder to the events tables: the columns and items that are needed, typed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import mark_folder, move_into_place, scratch_folder
from workflow_scripts.sources.mimic_iii.events_file import EventsFile
from workflow_scripts.sources.mimic_iii.item_filter import ItemFilter
from workflow_scripts.sources.mimic_iii.items import clinical_itemids
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
from workflow_scripts.sources.mimic_iii.reading import arrow_schema, empty_table, map_table
from workflow_scripts.sources.mimic_iii.tables import require_tables
from workflow_scripts.sources.mimic_iii.vital_rows import StayIndex
from workflow_scripts.sources.mimic_iii.vitals import VITALS_SCHEMA, VitalRows, VitalSigns

_IDS = ["subject_id", "hadm_id", "icustay_id"]
_ICD = ["subject_id", "hadm_id", "seq_num", "icd9_code"]

KEPT_COLUMNS = {
    "patients": ["subject_id", "gender", "dob", "dod"],
    "admissions": [
        "subject_id",
        "hadm_id",
        "admittime",
        "dischtime",
        "deathtime",
        "admission_type",
        "ethnicity",
        "hospital_expire_flag",
    ],
    "icustays": [*_IDS, "dbsource", "first_careunit", "last_careunit", "intime", "outtime"],
    "services": ["subject_id", "hadm_id", "transfertime", "prev_service", "curr_service"],
    "diagnoses_icd": _ICD,
    "procedures_icd": _ICD,
    "prescriptions": [*_IDS, "startdate", "enddate", "drug_type", "drug", "route"],
    "microbiologyevents": [
        "subject_id",
        "hadm_id",
        "chartdate",
        "charttime",
        "spec_itemid",
        "spec_type_desc",
        "org_name",
    ],
    "labevents": ["subject_id", "hadm_id", "charttime", "itemid", "value", "valuenum", "valueuom"],
    "outputevents": [*_IDS, "charttime", "itemid", "value", "iserror"],
    "inputevents_cv": [*_IDS, "charttime", "itemid", "amount", "amountuom", "rate", "rateuom", "stopped"],
    "inputevents_mv": [
        *_IDS,
        "starttime",
        "endtime",
        "itemid",
        "amount",
        "amountuom",
        "rate",
        "rateuom",
        "statusdescription",
        "patientweight",
    ],
    "procedureevents_mv": [*_IDS, "starttime", "endtime", "itemid", "statusdescription"],
}
"""Table -> columns that are kept of it; where `itemid` is one of them, only the dictionary's items are kept."""

CHART_COLUMNS = [*_IDS, "charttime", "itemid", "value", "valuenum", "error"]
"""What is read of CHARTEVENTS, and kept in `clinical_chart`."""

_PRIMARY_KEYS = {"patients": "subject_id", "admissions": "hadm_id", "icustays": "icustay_id"}
# Tables of one charting system only: a selection of patients may have no row there.
MAY_BE_EMPTY = {"inputevents_cv", "inputevents_mv", "procedureevents_mv"}


def extract_events(raw: Path, events: Path, parameters: ExtractionParameters) -> dict[str, dict[str, int]]:
    """Write the events tables of docs/tables.md and return {table: counts of rows read, kept, dropped}.

    Vital signs are sorted by (subject_id, icustay_id, charttime, vital, value); the other tables keep the
    order of their files. Each file's metadata key `vitalora` holds {"counts": ...} as JSON.
    Raises UserError for missing tables or columns, broken files, empty tables and repeated primary keys;
    then no table is written or changed.
    """
    paths = require_tables(raw, [*KEPT_COLUMNS, "chartevents"])
    counts = {}
    with scratch_folder(events, "extract") as scratch:
        for table in KEPT_COLUMNS:
            counts[table] = _copy_table(paths[table], table, scratch / f"{table}.parquet")
        stays = StayIndex(pq.read_table(scratch / "icustays.parquet"))
        counts |= split_chart(paths["chartevents"], stays, parameters, scratch)
        mark_folder(events)
        for path in sorted(scratch.glob("*.parquet")):
            move_into_place(path, events / path.name)
    return counts


def _copy_table(path: Path, table: str, target: Path) -> dict[str, int]:
    """Write the kept columns, and of a table of items the dictionary's items."""
    columns = KEPT_COLUMNS[table]
    choose = ItemFilter(clinical_itemids(table)) if "itemid" in columns else None

    def select(batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
        return batch.num_rows, batch if choose is None else choose(batch, columns)

    with EventsFile(target, arrow_schema(table, columns)) as file:
        for read, rows in map_table(path, table, columns, select):
            file.write(rows)
            file.counts.update(read=read, kept=rows.num_rows)
            if choose is not None:
                file.counts.update(dropped_other_item=read - rows.num_rows)
        if not file.counts["read"] and table not in MAY_BE_EMPTY:
            raise empty_table(path, table)
    if table in _PRIMARY_KEYS:
        _check_primary_key(path, table, pq.read_table(target, columns=[_PRIMARY_KEYS[table]]))
    return dict(file.counts)


def _check_primary_key(path: Path, table: str, key: pa.Table) -> None:
    (column,), (values,) = key.column_names, key.columns
    repeated = len(values) - pc.count_distinct(values, mode="all").as_py()
    if repeated or values.null_count:
        raise UserError(
            f"table {table.upper()}, {path}",
            f"{repeated} repeated and {values.null_count} empty values of its key {column}",
            "every key once, and none empty",
            "use the table of MIMIC-III v1.4 as released; rows may have been appended twice",
        )


def split_chart(
    path: Path, stays: StayIndex, parameters: ExtractionParameters, scratch: Path
) -> dict[str, dict[str, int]]:
    """Write `clinical_chart` and `vitals` into a folder, in one pass over CHARTEVENTS; return their counts."""
    vitals = VitalSigns(path, stays, parameters, scratch)
    choose_clinical = ItemFilter(clinical_itemids("chartevents"))

    def select(batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch, VitalRows]:
        return batch.num_rows, choose_clinical(batch, CHART_COLUMNS), vitals.select(batch)

    schema = arrow_schema("chartevents", CHART_COLUMNS)
    with EventsFile(scratch / "clinical_chart.parquet", schema) as chart:
        for read, clinical, vital in map_table(path, "chartevents", CHART_COLUMNS, select):
            chart.write(clinical)
            chart.counts.update(
                read=read, kept=clinical.num_rows, dropped_other_item=read - clinical.num_rows
            )
            vitals.add(vital)
        if not chart.counts["read"]:
            raise empty_table(path, "chartevents")
    with EventsFile(scratch / "vitals.parquet", VITALS_SCHEMA) as file:
        for table in vitals.finish():
            file.write(table)
        file.counts = vitals.counts
    return {"clinical_chart": dict(chart.counts), "vitals": dict(vitals.counts)}
