"""The Challenge 2019 as a source. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.challenge_2019.records import archives, psv_files
from workflow_scripts.sources.source import Source

_BY_HOSPITAL = {"": "true", "_hospital_a": "hospital = 'A'", "_hospital_b": "hospital = 'B'"}


class Challenge2019(Source):
    """A folder or archive of the PhysioNet/CinC Challenge 2019."""

    cohorts: ClassVar[Mapping[str, str]] = {
        f"{cohort}{ending}": f"{condition} AND {where}"
        for cohort, condition in (("sepsis3", "septic"), ("all", "true"))
        for ending, where in _BY_HOSPITAL.items()
    }
    vitals: ClassVar[tuple[str, ...]] = (
        "heart_rate",
        "spo2",
        "temperature",
        "systolic_blood_pressure",
        "mean_blood_pressure",
        "diastolic_blood_pressure",
        "respiratory_rate",
    )
    limits = (
        "Deaths are not in the data: patients are split by whether they have sepsis, not by whether they died.",
        "The end of the ICU stay is not in the data: records with sepsis end three hours after its onset, so no "
        "window begins after it; others of hospital A end by 59 hours. A record's length is no length of stay, and "
        "tells who has sepsis.",
        "A person's several stays cannot be told from those of several persons.",
        "Hospital A is Beth Israel Deaconess, as MIMIC's: its patients may be in MIMIC too.",
    )
    described: ClassVar[tuple[str, ...]] = ("age_years", "sex", "icu_type", "hospital")

    def raw_files(self) -> list[Path]:
        """Return the archives, or the psv files where they are unpacked. Raises UserError where there is neither."""
        if not self.raw_folder.exists():
            raise UserError(
                str(self.raw_folder),
                "no such file or folder",
                "PhysioNet's archive or folder of the Challenge 2019",
                "fetch the data: snakemake --cores 1 fetch_challenge_2019; or name the place of yours (docs/data.md)",
            )
        return self._unpacked() or archives(self.raw_folder)

    def _unpacked(self) -> list[Path]:
        return [Path(entry.path) for entry in psv_files(self.raw_folder)] if self.raw_folder.is_dir() else []

    def write_tables(self, raw: Path, folder: Path) -> dict[str, int]:
        """Write vitals.parquet and stays.parquet."""
        from workflow_scripts.sources.challenge_2019.tables import write_tables

        return write_tables(raw, folder, self.plausible_ranges)


SOURCE = Challenge2019
