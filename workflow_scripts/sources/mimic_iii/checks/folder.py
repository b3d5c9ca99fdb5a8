"""All checks of a folder, in one pass over each table, with all findings in one report."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.progress import progress
from workflow_scripts.sources.mimic_iii.canaries import FIRST_YEAR, LAST_YEAR
from workflow_scripts.sources.mimic_iii.checks.assertions import (
    event_assertions,
    item_assertion,
    small_table_assertions,
    year_assertions,
)
from workflow_scripts.sources.mimic_iii.checks.database import (
    KEYS,
    SMALL_TABLES,
    check_key,
    check_oldest,
    count_events,
    count_wrong,
    open_tables,
)
from workflow_scripts.sources.mimic_iii.checks.dictionary import (
    check_charted,
    check_dictionary,
    create_wanted,
)
from workflow_scripts.sources.mimic_iii.checks.findings import Finding, Level, Report
from workflow_scripts.sources.mimic_iii.checks.reading import count_damage
from workflow_scripts.sources.mimic_iii.checks.releases import (
    RELEASE_ROWS,
    SIMULATED,
    UNKNOWN,
    foreign_folder,
    recognise_release,
)
from workflow_scripts.sources.mimic_iii.checks.row_ids import RowIds
from workflow_scripts.sources.mimic_iii.checks.units import VALUE_COLUMNS, judge_units, unit_items
from workflow_scripts.sources.mimic_iii.extraction import CHART_COLUMNS, KEPT_COLUMNS, MAY_BE_EMPTY
from workflow_scripts.sources.mimic_iii.reading import arrow_schema, read_header, stream_table
from workflow_scripts.sources.mimic_iii.tables import TABLES, find_table, foreign_database

if TYPE_CHECKING:
    import duckdb

_KEPT_TEXT = {
    "icustays": ["dbsource"],
    "d_items": ["label", "dbsource", "linksto"],
    "d_labitems": ["label"],
}
# What the extraction reads: without it nothing runs.
_NEEDED = {**KEPT_COLUMNS, "chartevents": CHART_COLUMNS}
_LARGE_BYTES = 50_000_000
_REAL_YEARS, _SIMULATED_YEARS = (2100, 2219), (FIRST_YEAR, LAST_YEAR)


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
    """The state of one check: the report that grows, and what is known of the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = Report(str(folder))
        self.paths: dict[str, Path] = {}
        self.columns: dict[str, list[str]] = {}

    def run(self) -> Report:
        """Headers first, then the small tables that the others refer to, then the others."""
        self._find_tables()
        small = {table: self._load(table) for table in SMALL_TABLES if table in self.columns}
        with open_tables(small) as connection:
            create_wanted(connection)
            self._check_small(connection)
            items = {
                table: self._check_events(connection, table)
                for table in self.columns
                if table not in SMALL_TABLES
            }
            self.report.findings += check_charted(connection, self.report.rows, items)
        self._compare_rows()
        return self.report

    @property
    def years(self) -> tuple[int, int]:
        """The first and last year of the folder's admissions."""
        return _SIMULATED_YEARS if self.report.release == SIMULATED else _REAL_YEARS

    def _load(self, table: str) -> pa.Table:
        """Read a small table whole; of a broken file, what comes before the damage."""
        return pa.Table.from_batches(self._batches(table), arrow_schema(table, self.columns[table]))

    def _check_small(self, connection: "duckdb.DuckDBPyConnection") -> None:
        for table, key in KEYS.items():
            if key in self.columns.get(table, []):
                self.report.findings += check_key(connection, table, key)
        lowest = connection.execute("SELECT min(subject_id) FROM patients").fetchall()[0][0]
        self.report.release = recognise_release(self.report.rows, lowest)
        assertions = small_table_assertions()
        for table in ("admissions", "icustays"):
            assertions += year_assertions(table, self.columns.get(table, []), *self.years)
        present = {f"{table}.{column}" for table in KEYS for column in self.columns.get(table, [])}
        for assertion in assertions:
            if present.issuperset(assertion.reads):
                self.report.findings += assertion.findings(*count_wrong(connection, assertion))
        self.report.findings += check_oldest(connection)
        for dictionary in ("d_items", "d_labitems"):
            if {"itemid", "label"} <= set(self.columns.get(dictionary, [])):
                simulated = self.report.release == SIMULATED
                self.report.findings += check_dictionary(connection, dictionary, simulated)

    def _check_events(self, connection: "duckdb.DuckDBPyConnection", table: str) -> dict[int | None, int]:
        """Check a table as it streams by; return the number of rows of each of its items."""
        columns = self.columns[table]
        assertions = event_assertions(table, columns)
        if assertions:
            assertions += year_assertions(table, columns, *self.years)
        value = VALUE_COLUMNS.get(table)
        units = unit_items(table) if value in columns and "itemid" in columns else []
        reader = pa.RecordBatchReader.from_batches(arrow_schema(table, columns), self._batches(table))
        counts = count_events(connection, reader, assertions, value if units else None, units)
        rows = self.report.rows[table]
        for assertion, wrong in zip(assertions, counts.wrong, strict=True):
            self.report.findings += assertion.findings(wrong, rows)
        if assertions and "itemid" in columns:
            self.report.findings += self._check_items(connection, table, counts.items)
        self.report.findings += judge_units(table, units, counts.bins, counts.in_other)
        return counts.items

    def _check_items(
        self, connection: "duckdb.DuckDBPyConnection", table: str, items: dict[int | None, int]
    ) -> list[Finding]:
        """Return the finding for rows of items that no dictionary explains, where there is a dictionary."""
        dictionary = "d_labitems" if table == "labevents" else "d_items"
        known = {row[0] for row in connection.execute(f"SELECT itemid FROM {dictionary}").fetchall()}
        if not known:
            return []
        unknown = sum(rows for itemid, rows in items.items() if itemid is None or itemid not in known)
        return item_assertion(table, dictionary).findings(unknown, self.report.rows[table])

    def _find_tables(self) -> None:
        missing = []
        for table in TABLES:
            try:
                path = find_table(self.folder, table)
            except UserError as error:
                self._error("file", table, error.found, error.expected, error.remedy)
                continue
            if path is None:
                missing.append(table)
            else:
                self.paths[table] = path
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

    def _batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows, check its ROW_IDs and count it; a broken file ends its own checks only."""
        path, columns = self.paths[table], self.columns[table]
        row_ids = RowIds()
        rows = 0
        try:
            batches = stream_table(path, table, columns)
            large = path.stat().st_size > _LARGE_BYTES
            for batch in progress(batches, f"Read {table.upper()}", unit="block") if large else batches:
                rows += batch.num_rows
                if "row_id" in columns:
                    row_ids.add(batch)
                yield batch
        except UserError as error:
            damage = count_damage(path, table, read_header(path, table))
            found = f"{error.found}; in the whole table {damage}" if damage else error.found
            self._error(
                "file", table, f"{found}; its other checks are not complete", error.expected, error.remedy
            )
        self.report.rows[table] = rows
        if rows == 0:
            remedy = "put the complete table of MIMIC-III v1.4 there"
            level: Level = "error" if table in _NEEDED and table not in MAY_BE_EMPTY else "warning"
            self._add(level, "rows", table, "a header and no row", "at least one row", remedy)
        self.report.findings += row_ids.findings(table, rows)

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
