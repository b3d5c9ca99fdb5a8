"""MEDS data sets as a source of patients. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters
from workflow_scripts.sources.datasets import Dataset
from workflow_scripts.sources.meds.diagnoses import CODE_LISTS
from workflow_scripts.sources.meds.files import shard_files
from workflow_scripts.sources.meds.mapping import mapping_file, read_mapping
from workflow_scripts.sources.source import Source

_LIMITS = (
    "Sepsis is known by billing codes alone, without an onset; no ICD-10 lists for Angus are known to be validated.",
    "Pressures are taken as charted: no value is left out because another contradicts it.",
)
_NO_PATIENTS = (
    "The data have no patient identifier: every hospital admission counts as a patient, so two admissions of a person "
    "can be in training and in test, and errors may look smaller than for new patients."
)


class MedsOptions(Parameters):
    """Options of `sources:` for the format meds."""

    mapping: str = Field(
        "mimic-iv",
        description="mapping of codes: mimic-iv, eicu, or a YAML file of your own (docs/exchange-formats.md)",
    )


class Meds(Source):
    """Reads the shards of one data set through a mapping of its codes."""

    cohorts: ClassVar[Mapping[str, str]] = {"all": "true", "explicit": "explicit", "angus": "angus"}
    options_model = MedsOptions
    options: MedsOptions

    def __init__(self, dataset: Dataset) -> None:
        """Raises UserError for a mapping that is not there or cannot be read."""
        super().__init__(dataset)
        self._mapping = read_mapping(self.options.mapping)
        self.limits = (
            *_LIMITS,
            *self._mapping.limits,
            *[_NO_PATIENTS] * (self._mapping.subject == "admission"),
        )

    def raw_files(self) -> list[Path]:
        """Return the shards and the descriptions of the codes."""
        metadata = self.raw_folder / "metadata" / "codes.parquet"
        return shard_files(self.raw_folder) + [metadata] * metadata.is_file()

    def option_files(self) -> list[Path]:
        """Return the mapping and the lists of codes."""
        return [mapping_file(self.options.mapping), CODE_LISTS]

    def write_tables(self, raw: Path, folder: Path) -> dict[str, int]:
        """Write vitals.parquet and stays.parquet, in bounded memory."""
        from workflow_scripts.sources.meds.reading import open_reading
        from workflow_scripts.sources.meds.unmapped import unmapped_by_words
        from workflow_scripts.sources.meds.values import write_values

        with open_reading(raw, self._mapping, folder) as reading:
            found = unmapped_by_words(reading)
            values = write_values(
                reading.connection, reading.mapped, folder / "vitals.parquet", raw, self.plausible_ranges
            )
            stays = reading.connection.sql("SELECT * EXCLUDE (subject) FROM stays ORDER BY icustay_id")
            stays.write_parquet(str(folder / "stays.parquet"))
        return reading.counts | values | {"codes that read like vital signs and are not mapped": len(found)}


SOURCE = Meds
