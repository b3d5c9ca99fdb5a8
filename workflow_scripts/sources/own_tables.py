"""Your own data: tables that already are as contract.py says, in a folder below data/raw (docs/own-data.md)."""

from difflib import get_close_matches
from pathlib import Path

from workflow_scripts.runtime.content import files_below, inventory, tables_fingerprint
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.datasets import named_datasets
from workflow_scripts.sources.source import Source


class OwnTables(Source):
    """Vital signs and cohort tables that are used where they are."""

    @property
    def values(self) -> str:
        """The path of the long table of vital signs."""
        return str(self.raw_folder / "vitals.parquet")

    @property
    def cohort(self) -> str:
        """The path of a cohort table, with {cohort} for its name."""
        return str(self.raw_folder / "cohorts" / "{cohort}.parquet")

    @property
    def reading(self) -> None:
        """No file: the windows are made of the tables themselves."""
        return

    def inventory_of(self, cohort: str, memory: Path | None = None) -> dict[str, str]:
        """Return the SHA-256 of the two tables of a cohort, or of their files where a table is a folder of files."""
        files = [*files_below(Path(self.values)), *files_below(Path(self.cohort.format(cohort=cohort)))]
        return inventory(self.raw_folder, files, memory)

    def fingerprint(self, cohort: str) -> str:
        """Return the SHA-256 of the two tables of a cohort, as they are now."""
        return tables_fingerprint(Path(self.values), Path(self.cohort.format(cohort=cohort)))

    def made_raw_files(self) -> list[str]:
        """Return no file: nothing is read but the tables themselves."""
        return []

    def require(self, cohorts: list[str]) -> None:
        """Raise UserError that names every missing table, and the cohorts that are present."""
        name, folder, known = self.dataset.name, self.raw_folder, named_datasets()
        if name in known:  # A rule of the workflow makes its tables.
            return
        if not folder.is_dir():
            close = get_close_matches(name, known, n=1)
            raise UserError(
                f"dataset '{name}'",
                f"no folder {folder}" + (f"; did you mean '{close[0]}'?" if close else ""),
                f"one of {', '.join(known)}, or a folder of your own below data/raw",
                f"name one of these, or link your tables to {folder} (docs/own-data.md)",
            )
        wanted = [
            folder / "vitals.parquet",
            *(folder / "cohorts" / f"{cohort}.parquet" for cohort in cohorts),
        ]
        folders = [str(path) for path in wanted if path.is_dir()]
        if folders:
            raise UserError(
                f"dataset '{name}'",
                f"{', '.join(folders)}: a folder (Spark and partitioned data sets write one)",
                "one Parquet file for each table",
                "write each table as one file (docs/own-data.md)",
            )
        missing = [str(path) for path in wanted if not path.is_file()]
        if missing:
            present = sorted(path.stem for path in (folder / "cohorts").glob("*.parquet"))
            raise UserError(
                f"dataset '{name}'",
                f"no {', no '.join(missing)} (cohorts present: {', '.join(present) or 'none'})",
                "vitals.parquet and cohorts/<cohort>.parquet for every cohort of the study",
                "write the missing tables, or choose other cohorts; docs/own-data.md describes both tables",
            )


SOURCE = OwnTables
