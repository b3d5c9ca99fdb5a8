"""The MIMIC-III v1.4 schema as data, and the way from a folder to its table files."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.runtime.errors import UserError

_SCHEMA = """
patients: row_id integer, subject_id integer, gender text, dob time, dod time, dod_hosp time, dod_ssn time,
    expire_flag integer
admissions: row_id integer, subject_id integer, hadm_id integer, admittime time, dischtime time,
    deathtime time, admission_type text, admission_location text, discharge_location text, insurance text,
    language text, religion text, marital_status text, ethnicity text, edregtime time, edouttime time,
    diagnosis text, hospital_expire_flag integer, has_chartevents_data integer
icustays: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, dbsource text,
    first_careunit text, last_careunit text, first_wardid integer, last_wardid integer, intime time,
    outtime time, los number
chartevents: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, itemid integer,
    charttime time, storetime time, cgid integer, value text, valuenum number, valueuom text,
    warning integer, error integer, resultstatus text, stopped text
diagnoses_icd: row_id integer, subject_id integer, hadm_id integer, seq_num integer, icd9_code text
procedures_icd: row_id integer, subject_id integer, hadm_id integer, seq_num integer, icd9_code text
d_items: row_id integer, itemid integer, label text, abbreviation text, dbsource text, linksto text,
    category text, unitname text, param_type text, conceptid integer
d_labitems: row_id integer, itemid integer, label text, fluid text, category text, loinc_code text
labevents: row_id integer, subject_id integer, hadm_id integer, itemid integer, charttime time, value text,
    valuenum number, valueuom text, flag text
microbiologyevents: row_id integer, subject_id integer, hadm_id integer, chartdate time, charttime time,
    spec_itemid integer, spec_type_desc text, org_itemid integer, org_name text, isolate_num integer,
    ab_itemid integer, ab_name text, dilution_text text, dilution_comparison text, dilution_value number,
    interpretation text
prescriptions: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, startdate time,
    enddate time, drug_type text, drug text, drug_name_poe text, drug_name_generic text,
    formulary_drug_cd text, gsn text, ndc text, prod_strength text, dose_val_rx text, dose_unit_rx text,
    form_val_disp text, form_unit_disp text, route text
outputevents: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, charttime time,
    itemid integer, value number, valueuom text, storetime time, cgid integer, stopped text,
    newbottle integer, iserror integer
inputevents_cv: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, charttime time,
    itemid integer, amount number, amountuom text, rate number, rateuom text, storetime time, cgid integer,
    orderid integer, linkorderid integer, stopped text, newbottle integer, originalamount number,
    originalamountuom text, originalroute text, originalrate number, originalrateuom text, originalsite text
inputevents_mv: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, starttime time,
    endtime time, itemid integer, amount number, amountuom text, rate number, rateuom text, storetime time,
    cgid integer, orderid integer, linkorderid integer, ordercategoryname text,
    secondaryordercategoryname text, ordercomponenttypedescription text, ordercategorydescription text,
    patientweight number, totalamount number, totalamountuom text, isopenbag integer,
    continueinnextdept integer, cancelreason integer, statusdescription text, comments_editedby text,
    comments_canceledby text, comments_date time, originalamount number, originalrate number
procedureevents_mv: row_id integer, subject_id integer, hadm_id integer, icustay_id integer, starttime time,
    endtime time, itemid integer, value number, valueuom text, location text, locationcategory text,
    storetime time, cgid integer, orderid integer, linkorderid integer, ordercategoryname text,
    secondaryordercategoryname text, ordercategorydescription text, isopenbag integer,
    continueinnextdept integer, cancelreason integer, statusdescription text, comments_editedby text,
    comments_canceledby text, comments_date time
services: row_id integer, subject_id integer, hadm_id integer, transfertime time, prev_service text,
    curr_service text
d_icd_diagnoses: row_id integer, icd9_code text, short_title text, long_title text
d_icd_procedures: row_id integer, icd9_code text, short_title text, long_title text
"""


def _parse_schema(text: str) -> dict[str, dict[str, str]]:
    schema = {}
    for entry in text.replace("\n    ", " ").strip().splitlines():
        table, _, columns = entry.partition(": ")
        pairs = (column.split() for column in columns.split(","))
        schema[table] = {name: kind for name, kind in pairs}
    return schema


TABLES = _parse_schema(_SCHEMA)
"""Table -> column -> kind (integer, number, text, time), in the order of the release.

Source: https://mimic.mit.edu/docs/iii/tables/ and the PostgreSQL build scripts of MIT-LCP/mimic-code.
"""

EVENT_TABLES = (
    "patients",
    "admissions",
    "icustays",
    "services",
    "diagnoses_icd",
    "procedures_icd",
    "prescriptions",
    "microbiologyevents",
    "labevents",
    "outputevents",
    "inputevents_cv",
    "inputevents_mv",
    "procedureevents_mv",
    "clinical_chart",
    "vitals",
)
"""The tables that the extraction writes; `clinical_chart` and `vitals` come from CHARTEVENTS."""

_SUFFIXES = (".csv", ".csv.gz")


def table_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are tables by their name, in alphabetical order."""
    return sorted(
        path for path in folder.glob("*") if path.name.lower().endswith(_SUFFIXES) and path.is_file()
    )


def find_table(folder: Path, table: str) -> Path | None:
    """Return the file TABLE.csv or TABLE.csv.gz in any letter case, or None.

    Raises UserError where there are several: nobody knows which of them is meant.
    """
    wanted = {f"{table}{suffix}".lower() for suffix in _SUFFIXES}
    found = sorted(path for path in folder.iterdir() if path.name.lower() in wanted and path.is_file())
    if len(found) > 1:
        raise UserError(
            f"MIMIC-III folder {folder}",
            f"several files of one table: {', '.join(path.name for path in found)}",
            f"one file {table.upper()}.csv or {table.upper()}.csv.gz",
            "move the one that is not meant out of the folder",
        )
    return found[0] if found else None


def require_tables(folder: Path, tables: Iterable[str]) -> dict[str, Path]:
    """Return the file of every table.

    Raises UserError that lists all missing tables at once, or says that the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(
            f"MIMIC-III folder {folder}",
            "no such folder",
            "a folder that holds TABLE.csv or TABLE.csv.gz files",
            "set MIMIC_DIR (MIMIC_DEMO_DIR for the demo) to the folder of the tables, or link it there; "
            "`snakemake --cores 1 fetch_mimic_demo` fetches the open demo",
        )
    found = {table: find_table(folder, table) for table in tables}
    missing = [table.upper() for table, path in found.items() if path is None]
    if missing:
        present = [path.name for path in table_files(folder)]
        raise UserError(
            f"MIMIC-III folder {folder}",
            f"no file for {', '.join(missing)} (tables present: {', '.join(present) or 'none'})",
            "MIMIC-III v1.4 tables as TABLE.csv or TABLE.csv.gz, in any letter case",
            "add the missing files to the folder, or name the right folder",
        )
    return {table: path for table, path in found.items() if path is not None}


# Columns that the other database has in these tables and MIMIC-III has not.
_FOREIGN_COLUMNS = {
    "MIMIC-IV": {
        *("stay_id", "anchor_age", "anchor_year", "icd_code", "icd_version", "caregiver_id", "race"),
        *("lownormalvalue", "labevent_id", "microevent_id", "pharmacy_id", "admit_provider_id"),
    },
    "MIMIC-II": {"realtime", "cuid", "value1num", "value1uom", "elemid", "admit_dt", "disch_dt", "sex"},
    "eICU": {"patientunitstayid", "patienthealthsystemstayid", "uniquepid"},
}


def foreign_database(table: str, columns: Iterable[str]) -> tuple[str, list[str]] | None:
    """Return the other database that a header in small letters belongs to, with the columns that show it, or None."""
    names = set(columns) - set(TABLES[table])
    for database, telling in _FOREIGN_COLUMNS.items():
        if shown := sorted(names & telling):
            return database, shown
    return None


def match_columns(path: Path, table: str, header: list[str], needed: Iterable[str]) -> dict[str, str]:
    """Return {schema name: name in the file} for the needed columns, whatever their letter case.

    Raises UserError for a table of another database, and one that lists all missing, or all repeated, columns.
    """
    needed = list(needed)
    where = f"table {table.upper()}, {path}"
    cleaned = [name.strip().lower() for name in header]
    if foreign := foreign_database(table, cleaned):
        raise UserError(
            where,
            f"a table of {foreign[0]}: it has the columns {', '.join(foreign[1])}",
            "the table of MIMIC-III v1.4",
            "use MIMIC-III v1.4 as released; docs/own-data.md says how values of other databases come in",
        )
    names = dict(zip(cleaned, header, strict=True))
    missing = [column for column in needed if column not in names]
    repeated = [column for column in needed if cleaned.count(column) > 1]
    if missing or repeated:
        problem = f"no column {', '.join(missing)}" if missing else f"repeated column {', '.join(repeated)}"
        # Only names of the schema are quoted: a file without a header line starts with a patient's row.
        known = [name for name in cleaned if name in TABLES[table]]
        others = len(header) - len(known)
        raise UserError(
            where,
            f"{problem} (known columns there: {', '.join(known) or 'none'}; others: {others})",
            f"the columns of MIMIC-III v1.4: {', '.join(TABLES[table])}",
            "use the table of MIMIC-III v1.4 as released, with its header line",
        )
    return {column: names[column] for column in needed}
