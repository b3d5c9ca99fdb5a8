"""MIMIC-III folders as a source: events tables, and cohorts that SQL labels. Imports nothing heavy."""

from pathlib import Path
from typing import ClassVar

from workflow_scripts.sources.mimic_iii.tables import TABLES, table_files
from workflow_scripts.sources.source import Source


class MimicFolder(Source):
    """A folder of MIMIC-III v1.4, simulated or real."""

    labels_cohorts: ClassVar[bool] = True

    @property
    def values(self) -> str:
        """The path of the long table of vital signs."""
        return f"data/{self.dataset.name}/events/vitals.parquet"

    @property
    def reading(self) -> str:
        """The path of the JSON file that says what was read."""
        return f"data/{self.dataset.name}/events/reading.json"

    def made_raw_files(self) -> list[str] | None:
        """Return the simulator's tables; None for a folder from outside."""
        if self.dataset.patients != "simulated":
            return None
        return [str(self.raw_folder / f"{table.upper()}.csv.gz") for table in TABLES]

    def raw_files(self) -> list[Path]:
        """Return the table files of the folder."""
        return table_files(self.raw_folder)


SOURCE = MimicFolder
