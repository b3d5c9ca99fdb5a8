"""The record of a run, run.json, as one typed model that writes it and reads it (docs/tables.md)."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.events.judging import EventResult
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_json


class RecordPart(BaseModel):
    """A group of a record. Later versions may add keys; those named here must be there when it is read."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ParameterCounts(RecordPart):
    """Parameters of the adapted model; the adapter's own count in the total."""

    total: int
    trainable: int


class WindowGeometry(RecordPart):
    """What holds for every window: unit, values that are 0 and 1 to the model, grid steps of context and horizon."""

    unit: str
    scale_low: float
    scale_high: float
    interval_minutes: int
    context: int
    horizon: int
    split_kind: str
    smoothing: str = "none"
    stratified_by: str = "died_in_hospital"
    subject_kind: str = "patient"
    covariates: list[dict[str, Any]] = []


class Trial(RecordPart):
    """One candidate of learning rate and steps. best_validation_loss: None where training failed; failure says why."""

    learning_rate: float
    steps: int
    best_step: int
    best_validation_loss: float | None
    examples: int
    seconds: float
    failure: str


class TrainingHistory(RecordPart):
    """What the training loop did with the chosen candidate; losses are [step, loss], totals are over all candidates."""

    learning_rate: float
    batch_size: int
    trials: list[Trial]
    steps: int
    best_step: int
    best_validation_loss: float | None
    stopped_early: bool
    train_loss: list[tuple[int, float | None]]
    validation_loss: list[tuple[int, float | None]]
    total_steps: int
    total_examples: int


class MetricValues(RecordPart):
    """The metrics of evaluation/metrics.py; None where one is undefined."""

    mse: float | None
    mape: float | None
    mape_paper: float | None
    dtw: float | None
    mae: float | None
    rmse: float | None
    wql: float | None
    coverage_80: float | None


class MonteCarloErrors(RecordPart):
    """Standard errors of metrics over the random numbers of the forecasts; 0 where nothing is drawn, None without a
    forecast."""

    mse: float | None
    mae: float | None
    wql: float | None


class Record(RecordPart):
    """What the records of runs and transfers share. failure: why there is no forecast, else empty.

    settings: the parameter groups that the result depends on. hashes: SHA-256 of what it was made of and of what was
    written.
    """

    WRITER: ClassVar[str]
    """The step that writes it."""

    failure: str
    windows: WindowGeometry
    metrics: MetricValues
    settings: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    git_commit: str | None
    finished_at: str

    @property
    @abstractmethod
    def folder(self) -> tuple[str, ...]:
        """The last names of the folder that it is in."""

    def write(self, path: Path) -> None:
        """Write the file; it is complete or absent."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record, wherever it is.

        Raises UserError where the file is missing, no JSON, or lacks a part of the record, as one of an older version.
        """
        try:
            return cls.model_validate(json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise cls._refusal(path, "no such file") from None
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
            raise cls._refusal(path, "; ".join(problems)) from None
        except (OSError, ValueError):
            raise cls._refusal(path, "no complete JSON file") from None

    @classmethod
    def read_in_place(cls, path: Path) -> Self:
        """Read a record, and raise UserError as well where it is another job's than its folder says."""
        record = cls.read(path)
        if path.absolute().parts[-1 - len(record.folder) : -1] != record.folder:
            raise cls._refusal(path, f"the record of another job, {'/'.join(record.folder)}")
        return record

    @classmethod
    def _refusal(cls, path: Path, found: str) -> UserError:
        return UserError(
            where=str(path),
            found=found,
            expected=f"the record that {cls.WRITER} of this version writes at its end",
            remedy="delete the folder and start the workflow again: it repeats this job",
        )


class RunKey(RecordPart):
    """What identifies a run."""

    dataset: str
    cohort: str
    vital: str
    model: str
    arm: str
    seed: int


class RunCounts(RecordPart):
    """How much data the run saw, and how many of its forecasts failed."""

    train_windows: int
    validation_windows: int
    test_windows: int
    test_patients: int
    non_finite_windows: int


class RunSeconds(RecordPart):
    """Wall-clock time; total has all of the process."""

    start_up: float
    training: float
    forecast: float
    total: float


class RunMemory(RecordPart):
    """The run's own peaks, MiB; None where there is no such device, and growth where no model is loaded."""

    peak_host_mib: float | None
    growth_host_mib: float | None
    peak_device_mib: float | None


class Cost(RecordPart):
    """Rates and sizes; None where nothing was trained."""

    seconds_per_step: float | None
    examples_per_second: float | None
    forecast_seconds_per_window: float
    adapter_mib: float | None


class RunHashes(RecordPart):
    """A baseline has neither weights nor adapter. source: of the files from outside that the windows come from.

    event_paths: of a run that drew paths for events.
    """

    code: str
    source: str
    windows: str
    weights: str | None
    forecasts: str
    validation_forecasts: str
    event_paths: str | None = None
    adapter: str | None


class RunRecord(Record):
    """run.json, in <cohort>/<vital>/<model>/<arm>/seed<k>/.

    metrics: of the test windows; validation_metrics: of the validation windows, by which an arm is recommended. events:
    empty for a point forecast, and where events are not judged (docs/events.md).
    """

    WRITER = "run_arm"

    key: RunKey
    family: str
    rank: int | None
    parameters: ParameterCounts
    counts: RunCounts
    monte_carlo_errors: MonteCarloErrors
    validation_metrics: MetricValues
    events: list[EventResult]
    training: TrainingHistory | None
    seconds: RunSeconds
    cost: Cost
    memory: RunMemory
    hashes: RunHashes

    @property
    def arm(self) -> Arm:
        """The arm, parsed."""
        return Arm.parse(self.key.arm)

    @property
    def folder(self) -> tuple[str, ...]:
        """The last names of the folder that it is in."""
        key = self.key
        return key.cohort, key.vital, key.model, key.arm, f"seed{key.seed}"
