"""What the workflow asks a source of patients. docs/adding-a-source.md says how to add one."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from workflow_scripts.runtime.content import files_below, fingerprint, inventory
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import Parameters
from workflow_scripts.sources.datasets import Dataset, dataset_of, formats
from workflow_scripts.sources.parameters import SourceParameters


class NoOptions(Parameters):
    """The options of a format that has none."""


class Source:
    """Reads one data set into the two tables of contract.py: vital signs and stays.

    A source is one module: a subclass that it calls SOURCE, with `cohorts` and `write_tables`, and one entry in
    datasets.yaml for each of its data sets. The other members are for sources that differ from that.
    """

    cohorts: ClassVar[Mapping[str, str]] = {}
    """Cohort -> the SQL condition on the columns of stays.parquet that a stay must meet."""
    labels_cohorts: ClassVar[bool] = False
    """Whether cohorts are SQL definitions over events (cohorts/definitions)."""
    vitals: ClassVar[tuple[str, ...]] = ()
    """The vital signs that the format has; empty: any of items.yaml."""
    onsets: ClassVar[Mapping[str, str]] = {}
    """Cohort -> the column of stays.parquet that holds its onset, where it is not `onset`."""
    limits: tuple[str, ...] = ()
    """What the data cannot tell, a sentence each: the log and the report say them."""
    described: ClassVar[tuple[str, ...]] = ("age_years", "sex", "icu_type", "stay_days", "died_in_hospital")
    """What Table 1 says of a stay, as far as the data tell it."""
    plausible_ranges: bool = True
    """Whether values outside the plausible range are left out while reading (extraction.plausible_ranges)."""
    options_model: ClassVar[type[Parameters]] = NoOptions
    """The options that `sources:` in params.yaml may hold for the format, with their defaults."""

    def __init__(self, dataset: Dataset) -> None:
        """Raises UserError for options that the format does not have, or values that it cannot have."""
        self.dataset = dataset
        self.options = _checked(self.options_model, dataset)

    @property
    def raw_folder(self) -> Path:
        """The raw files: a folder, or one archive."""
        return self.dataset.raw_folder

    @property
    def values(self) -> str:
        """The path of the long table of vital signs."""
        return f"data/{self.dataset.name}/vitals.parquet"

    @property
    def cohort(self) -> str:
        """The path of a cohort table, with {cohort} for its name."""
        return f"data/{self.dataset.name}/cohorts/{{cohort}}.parquet"

    @property
    def reading(self) -> str | None:
        """The path of the JSON file that says what was read; None where the windows are made of the raw files."""
        return f"data/{self.dataset.name}/reading.json"

    def made_raw_files(self) -> list[str] | None:
        """Return the raw files that a rule of this workflow makes; None where they come from outside."""
        return None

    def raw_files(self) -> list[Path]:
        """Return the raw files that are read."""
        return files_below(self.raw_folder)

    def option_files(self) -> list[Path]:
        """Return the files besides the raw ones that are read: a change of their content reads the data set again."""
        return []

    def inventory(self, memory: Path | None = None) -> dict[str, str]:
        """Return the SHA-256 of every raw file by its name. memory: as `runtime.content.content_hashes` has it."""
        return inventory(self.raw_folder, self.raw_files(), memory)

    def fingerprint(self, cohort: str) -> str:  # noqa: ARG002
        """Return the SHA-256 of all that the windows of a cohort come from, as it is now: of all raw files."""
        return fingerprint(self.inventory())

    def require(self, cohorts: list[str]) -> None:
        """Raise UserError where a study of these cohorts cannot start. Called before any job."""

    def write_tables(self, raw: Path, folder: Path) -> Mapping[str, int]:  # noqa: ARG002
        """Write vitals.parquet and stays.parquet (contract.py) into an empty folder.

        raw: the raw files, as `raw_folder`. Return what was found and what was done about it, as words and how often,
        for the log and the report. Raises UserError for raw files that cannot be read.
        """
        raise TypeError(f"{self.dataset.name} has rules of its own that write its tables")


def source_of(dataset: str, declared: SourceParameters | None = None) -> Source:
    """Return the source of a data set; its module is imported only now.

    declared: the data set's entry in `sources:` of params.yaml. Raises UserError where the entry names an unknown
    format or option.
    """
    described = dataset_of(dataset, declared)
    if described.format not in formats():
        raise UserError(
            f"sources.{dataset}.format",
            repr(described.format),
            f"one of {', '.join(formats())}",
            "name one of these (docs/data.md)",
        )
    module = import_module(f"workflow_scripts.sources.{module_of(described.format)}")
    return module.SOURCE(described)


def module_of(data_format: str) -> str:
    """Return the module of a format: `yaib` for yaib, `mimic_iii.source` for mimic-iii, which is a package."""
    name = data_format.replace("-", "_")
    return f"{name}.source" if (Path(__file__).parent / name).is_dir() else name


def _checked(model: type[Parameters], dataset: Dataset) -> Parameters:
    try:
        return model(**dataset.options)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise UserError(
            f"sources.{dataset.name}",
            "; ".join(problems),
            f"format, path, and of {dataset.format}: {', '.join(model.model_fields) or 'no further option'}",
            "correct this entry of params.yaml (docs/data.md)",
        ) from None
