"""All checks of a folder, in one pass over each table, with all findings in one report."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.progress import progress
from workflow_scripts.sources.mimic_iii.canaries import FIRST_YEAR, LAST_YEAR
from workflow_scripts.sources.mimic_iii.checks.collectors import (
    Census,
    Collector,
    KnownItems,
    References,
    RowIds,
    Years,
)
from workflow_scripts.sources.mimic_iii.checks.dictionary import (
    check_dictionary,
    check_recorded,
    wanted_itemids,
)
from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level, Report
from workflow_scripts.sources.mimic_iii.checks.people import KEYS, check_people, read_census
from workflow_scripts.sources.mimic_iii.checks.reading import count_damage
from workflow_scripts.sources.mimic_iii.checks.releases import (
    RELEASE_ROWS,
    SIMULATED,
    UNKNOWN,
    foreign_folder,
    recognise_release,
)
from workflow_scripts.sources.mimic_iii.checks.units import VALUE_COLUMNS, Units, unit_items
from workflow_scripts.sources.mimic_iii.extraction import CHART_COLUMNS, KEPT_COLUMNS, MAY_BE_EMPTY
from workflow_scripts.sources.mimic_iii.reading import arrow_schema, read_header, stream_table
from workflow_scripts.sources.mimic_iii.tables import TABLES, find_table, foreign_database

_DICTIONARIES = ("d_items", "d_labitems")
_KEPT_TABLES = (*KEYS, *_DICTIONARIES)
_KEPT_TEXT = {
    "icustays": ["dbsource"],
    "d_items": ["label", "dbsource", "linksto"],
    "d_labitems": ["label"],
}
# What the extraction reads: without it nothing runs.
_NEEDED = {**KEPT_COLUMNS, "chartevents": CHART_COLUMNS}
_LARGE_BYTES = 50_000_000
_REAL_YEARS, _SIMULATED_YEARS = (2100, 2219), (FIRST_YEAR, LAST_YEAR)
# Times of birth and death may lie centuries away, or be dates of the registry.
_YEAR_COLUMNS = {"admittime", "intime", "charttime", "chartdate", "starttime", "startdate", "transfertime"}


def check_folder(folder: Path) -> Report:
    """Read every table of a MIMIC-III folder once and return everything that is not as in the release.

    Memory stays bounded whatever the size: a table streams by, and only aggregates are kept of it, besides the
    identifiers and times of patients, admissions and ICU stays. The report holds nothing of a single patient.
    Raises UserError where there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(
            f"MIMIC-III folder {folder}",
            "no such folder",
            "a folder that holds TABLE.csv or TABLE.csv.gz files",
            "name the folder of the tables; `snakemake --cores 1 fetch_mimic_demo` fetches the open demo",
        )
    return _FolderCheck(folder).run()


class _FolderCheck:
    """The state of one check: the report that grows, and what later tables need of earlier ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = Report(str(folder))
        self.paths: dict[str, Path] = {}
        self.columns: dict[str, list[str]] = {}
        self.kept: dict[str, pa.RecordBatch] = {}
        self.item_rows: dict[str, dict[int, int]] = {}

    def run(self) -> Report:
        """Headers first, then the small tables that the others refer to, then the others."""
        self._find_tables()
        for table in _KEPT_TABLES:
            if table in self.columns:
                self._scan(table, [])
        self.report.findings += check_people(self.kept)
        self.report.release = recognise_release(self.report.rows, self._lowest_subject())
        simulated = self.report.release == SIMULATED
        years = _SIMULATED_YEARS if simulated else _REAL_YEARS
        self.report.findings += check_dictionary(self.kept, simulated)
        for table in ("admissions", "icustays"):
            if table in self.kept:
                check = self._years(table, years)
                check.add(self.kept[table])
                self.report.findings += check.findings(table, self.report.rows[table])
        census = read_census(self.kept)
        for table in self.columns:
            if table not in _KEPT_TABLES:
                self._scan(table, self._collectors(table, census, years))
        self.report.findings += check_recorded(self.item_rows, self._stays_of_system(), self.report.rows)
        self._compare_rows()
        return self.report

    def _find_tables(self) -> None:
        self.paths = {table: path for table in TABLES if (path := find_table(self.folder, table)) is not None}
        missing = [table for table in TABLES if table not in self.paths]
        for table in missing:
            remedy = "add TABLE.csv or TABLE.csv.gz of MIMIC-III v1.4, in any letter case"
            expected = f"{table.upper()}.csv or {table.upper()}.csv.gz"
            self._add("error" if table in _NEEDED else "warning", "table", table, "no file", expected, remedy)
        if missing and (foreign := foreign_folder(self.folder)):
            database, names = foreign
            remedy = "give the folder of MIMIC-III v1.4; this project reads no other database's raw tables"
            self._error("version", "folder", f"files of {database}: {', '.join(names)}", "MIMIC-III", remedy)
        for table, path in self.paths.items():
            try:
                self._check_header(table, read_header(path, table))
            except UserError as error:
                self._error("file", table, error.found, error.expected, error.remedy)

    def _check_header(self, table: str, header: list[str]) -> None:
        names = [name.strip().lower() for name in header]
        known = [name for name in names if name in TABLES[table]]
        missing = [name for name in TABLES[table] if name not in names]
        foreign = foreign_database(table, names)
        if foreign is not None:
            found = f"a table of {foreign[0]}: it has the columns {', '.join(foreign[1])}"
            self._error("version", table, found, "the table of MIMIC-III v1.4", "use MIMIC-III v1.4's file")
            return
        if missing:
            # Names that are not the schema's are not quoted: without a header line they are a patient's row.
            found = f"no column {', '.join(missing)} ({len(known)} known columns, {len(names) - len(known)} others)"
            remedy = "use the table as released, with its header line"
            level: Level = "error" if set(missing) & set(_NEEDED.get(table, [])) else "warning"
            self._add(level, "columns", table, found, "the columns of MIMIC-III v1.4", remedy)
        elif len(names) != len(known) or len(set(known)) != len(known):
            found = f"{len(names) - len(set(known))} further or repeated columns"
            remedy = "nothing, where they were added on purpose: they are not read"
            self._add("warning", "columns", table, found, "the columns of MIMIC-III v1.4", remedy)
        kept_text = _KEPT_TEXT.get(table, [])
        usable = [c for c in known if known.count(c) == 1 and (TABLES[table][c] != "text" or c in kept_text)]
        if usable:
            self.columns[table] = usable

    def _scan(self, table: str, collectors: list[Collector]) -> None:
        """Stream one table through its collectors; a broken file ends its own checks only."""
        columns = self.columns[table]
        if "row_id" in columns:
            collectors = [RowIds(), *collectors]
        batches: list[pa.RecordBatch] = []
        rows = 0
        try:
            for batch in self._batches(table, columns):
                rows += batch.num_rows
                for collector in collectors:
                    collector.add(batch)
                if table in _KEPT_TABLES:
                    batches.append(batch)
        except UserError as error:
            damage = count_damage(self.paths[table], table, read_header(self.paths[table], table))
            found = f"{error.found}; in the whole table {damage}" if damage else error.found
            self._error(
                "file", table, f"{found}; its other checks are not complete", error.expected, error.remedy
            )
        self.report.rows[table] = rows
        if rows == 0:
            remedy = "put the complete table of MIMIC-III v1.4 there"
            level: Level = "error" if table in _NEEDED and table not in MAY_BE_EMPTY else "warning"
            self._add(level, "rows", table, "a header and no row", "at least one row", remedy)
        if table in _KEPT_TABLES:
            schema = arrow_schema(table, columns)
            self.kept[table] = (
                pa.concat_batches(batches) if batches else pa.RecordBatch.from_pylist([], schema)
            )
        for collector in collectors:
            self.report.findings += collector.findings(table, rows)
            if isinstance(collector, KnownItems):
                self.item_rows[table] = dict(
                    zip(collector.wanted.tolist(), collector.counts.tolist(), strict=True)
                )

    def _batches(self, table: str, columns: list[str]) -> Iterable[pa.RecordBatch]:
        batches = stream_table(self.paths[table], table, columns)
        large = self.paths[table].stat().st_size > _LARGE_BYTES
        return progress(batches, f"Read {table.upper()}", unit="block") if large else batches

    def _collectors(self, table: str, census: Census, years: tuple[int, int]) -> list[Collector]:
        columns = self.columns[table]
        collectors: list[Collector] = []
        ids = tuple(column for column in ("subject_id", "hadm_id", "icustay_id") if column in columns)
        if ids:
            collectors += [References(census, ids), self._years(table, years)]
        if ids and "itemid" in columns:
            dictionary = "d_labitems" if table == "labevents" else "d_items"
            collectors.append(KnownItems(self._known_items(dictionary), wanted_itemids(table), dictionary))
            value_column = VALUE_COLUMNS.get(table)
            if value_column in columns and (items := unit_items(table)):
                collectors.append(Units(items, value_column))
        return collectors

    def _years(self, table: str, years: tuple[int, int]) -> Years:
        return Years(*years, tuple(c for c in self.columns[table] if c in _YEAR_COLUMNS))

    def _known_items(self, dictionary: str) -> np.ndarray:
        batch = self.kept.get(dictionary)
        if batch is None or "itemid" not in batch.schema.names:
            return np.array([], dtype=np.int64)
        return np.unique(batch["itemid"].drop_null().to_numpy(zero_copy_only=False))

    def _lowest_subject(self) -> int | None:
        batch = self.kept.get("patients")
        if batch is None or "subject_id" not in batch.schema.names:
            return None
        return pc.min(batch["subject_id"]).as_py()

    def _stays_of_system(self) -> dict[str, int]:
        batch = self.kept.get("icustays")
        if batch is None or "dbsource" not in batch.schema.names:
            return {}
        return {entry["values"]: entry["counts"] for entry in pc.value_counts(batch["dbsource"]).to_pylist()}

    def _compare_rows(self) -> None:
        if self.report.release == UNKNOWN:
            found = "row counts of neither MIMIC-III v1.4 nor its open demo"
            expected = ", ".join(
                f"{release}: {rows['icustays']:,} ICU stays" for release, rows in RELEASE_ROWS.items()
            )
            remedy = (
                "nothing, where the folder is a selection made on purpose; otherwise get the release again"
            )
            self._add("warning", "rows", "folder", found, expected, remedy)
        self.report.expected_rows = RELEASE_ROWS.get(self.report.release, {})
        for table, expected_rows in self.report.expected_rows.items():
            rows = self.report.rows.get(table)
            if rows is not None and rows != expected_rows:
                remedy = "get the file again, and compare its SHA-256 with the release's SHA256SUMS.txt"
                expected = f"{expected_rows:,} rows, as {self.report.release} has"
                self._error("rows", table, f"{rows:,} rows", expected, remedy)

    def _error(self, check: str, table: str, found: str, expected: str, remedy: str) -> None:
        self._add("error", check, table, found, expected, remedy)

    def _add(self, level: Level, check: str, table: str, found: str, expected: str, remedy: str) -> None:
        self.report.findings.append(Finding(level, check, table, found, expected, remedy))
