"""YAIB exports as a source of patients. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import Parameters
from workflow_scripts.sources.source import Source

VITALS = {
    "hr": "heart_rate",
    "sbp": "systolic_blood_pressure",
    "dbp": "diastolic_blood_pressure",
    "map": "mean_blood_pressure",
    "resp": "respiratory_rate",
    "o2sat": "spo2",
    "temp": "temperature",
}
"""Column of dyn.parquet -> vital sign, in the same unit."""

LONGEST_HOUR = 168
"""An export ends with this hour of a stay."""

TASK_OF_COHORT = {
    "sepsis3": "sepsis",
    "aki": "aki",
    "mortality24": "mortality24",
    "icu_deaths": "mortality24",
    "kidney_function": "kidney_function",
}
"""Cohort -> the task whose labels make it."""


class YaibOptions(Parameters):
    """Options of `sources:` for the format yaib."""

    data: str = Field(
        "", description="folder of the data set below each task; empty: the only one that is there"
    )
    los: str = Field("los", description="folder of the task length of stay, which gives the values")
    sepsis: str = Field("sepsis", description="folder of the task sepsis")
    aki: str = Field("aki", description="folder of the task acute kidney injury")
    mortality24: str = Field("mortality24", description="folder of the task ICU mortality after 24 hours")
    kidney_function: str = Field("kidney_function", description="folder of the task kidney function")


class Yaib(Source):
    """Reads the exports of one data set.

    Values are those of the task `los`: the others end early, and their hour 0 also holds the hour before admission.
    """

    cohorts: ClassVar[Mapping[str, str]] = {
        "all": "true",
        "sepsis3": "septic",
        "aki": "aki",
        "mortality24": "died_in_hospital IS NOT NULL",
        "icu_deaths": "died_in_hospital",
        "kidney_function": "kidney_function",
    }
    onsets: ClassVar[Mapping[str, str]] = {"aki": "aki_onset"}
    vitals: ClassVar[tuple[str, ...]] = tuple(VITALS.values())
    described: ClassVar[tuple[str, ...]] = ("age_years", "sex", "stay_days", "died_in_icu")
    limits = (
        "YAIB's export has no patient identifier: every stay counts as a patient, so two stays of a person can be in "
        "training and in test, and errors may look smaller than for new patients.",
        "Deaths are deaths in the ICU, and known only for stays of the task mortality24 (at least 30 hours).",
        "Sepsis and kidney injury are known only for stays of their tasks, which leave out an onset before hour 6.",
        "Values are medians of an hour within ricu's ranges; SpO2 is mixed with laboratory saturation, and in eICU "
        "invasive with cuff pressures.",
        f"A stay's record ends after {LONGEST_HOUR} hours, and the export left out stays of less than 6 hours, of "
        "patients under 18 years, and with a gap of more than 12 hours.",
    )
    options_model = YaibOptions
    options: YaibOptions

    def raw_files(self) -> list[Path]:
        """Return the tables of the tasks that are there."""
        return [path for task in self.tasks(self.raw_folder).values() for path in task.glob("*.parquet")]

    def tasks(self, raw: Path) -> dict[str, Path]:
        """Return the folder of the data set in every task that is there, by the task's name.

        Raises UserError without `los`, and where the folder holds several data sets and the options name none.
        """
        options = self.options.model_dump()
        los = raw / options["los"]
        if not los.is_dir():
            present = sorted(path.name for path in raw.iterdir() if path.is_dir()) if raw.is_dir() else []
            raise UserError(
                str(raw),
                f"no folder {options['los']} (folders: {', '.join(present) or 'none'})",
                "YAIB's export: <task>/<data set>/{dyn,sta,outc}.parquet, with the task los, which has every value",
                "export the task los too, or name the folders in `sources:` (docs/exchange-formats.md)",
            )
        data = options.pop("data") or _only_data_set(los)
        if not (los / data).is_dir():
            raise UserError(
                str(los),
                f"no folder {data}",
                "the data set's folder below the task",
                "correct `data` in `sources:`",
            )
        folders = {task: raw / folder / data for task, folder in options.items()}
        return {task: folder for task, folder in folders.items() if folder.is_dir()}

    def require(self, cohorts: list[str]) -> None:
        """Raise UserError where the task that a cohort needs is not there."""
        if (
            not self.raw_folder.is_dir()
        ):  # Restored tables need no raw files; the reading itself refuses a wrong folder.
            return
        present = self.tasks(self.raw_folder)
        missing = sorted({TASK_OF_COHORT[name] for name in cohorts if name in TASK_OF_COHORT} - set(present))
        if missing:
            raise UserError(
                str(self.raw_folder),
                f"no {', no '.join(missing)} of this data set (tasks present: {', '.join(present)})",
                "the export of every task that a cohort of the study needs",
                "export these tasks, or choose other cohorts",
            )

    def write_tables(self, raw: Path, folder: Path) -> dict[str, int]:
        """Write vitals.parquet and stays.parquet."""
        from workflow_scripts.sources.yaib.tables import write_tables

        return write_tables(self.tasks(raw), folder, self.plausible_ranges)


SOURCE = Yaib


def _only_data_set(task: Path) -> str:
    names = sorted(path.name for path in task.iterdir() if path.is_dir())
    if len(names) != 1:
        raise UserError(
            str(task),
            f"{len(names)} data sets: {', '.join(names)}" if names else "no data set",
            "one folder, or `data` in `sources:`, which names one",
            "name the data set's folder (docs/exchange-formats.md)",
        )
    return names[0]
