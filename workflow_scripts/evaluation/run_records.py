"""Reads a run's record, run.json, and refuses what is no such record."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from workflow_scripts.runtime.errors import UserError


class _Part(BaseModel):
    """Later versions may add keys; what the tables read must be there."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class RunKey(_Part):
    """What tells a run from all others."""

    dataset: str
    cohort: str
    vital: str
    model: str
    arm: str
    seed: int


class ParameterCounts(_Part):
    """Parameters of the adapted model."""

    total: int
    trainable: int


class Counts(_Part):
    """How much data the run saw, and how many of its forecasts failed."""

    train_windows: int
    validation_windows: int
    test_windows: int
    test_patients: int
    non_finite_windows: int


class Trial(_Part):
    """One candidate of learning rate and steps."""

    learning_rate: float
    steps: int
    best_step: int
    best_validation_loss: float | None
    examples: int
    seconds: float
    failure: str


class TrainingHistory(_Part):
    """What the training loop did with the chosen candidate; losses are [step, loss]."""

    learning_rate: float
    trials: list[Trial]
    steps: int
    best_step: int
    best_validation_loss: float | None
    stopped_early: bool
    train_loss: list[tuple[int, float | None]]
    validation_loss: list[tuple[int, float | None]]


class MetricValues(_Part):
    """The metrics of evaluation/metrics.py; None where one is undefined."""

    mse: float | None
    mape: float | None
    mape_paper: float | None
    dtw: float | None
    mae: float | None
    rmse: float | None
    wql: float | None
    coverage_80: float | None


class Seconds(_Part):
    """Wall-clock time of the run's parts."""

    start_up: float
    training: float
    forecast: float
    total: float


class Memory(_Part):
    """The run's own peaks; None where there is no such device, and growth where no model is loaded."""

    peak_host_mib: float | None
    growth_host_mib: float | None
    peak_device_mib: float | None


class Cost(_Part):
    """Rates and sizes; None where nothing was trained."""

    seconds_per_step: float | None
    examples_per_second: float | None
    forecast_seconds_per_window: float
    adapter_mib: float | None


class Hashes(_Part):
    """Of what the result depends on, and of what the run wrote; a baseline has neither weights nor adapter."""

    code: str
    windows: str
    weights: str | None
    forecasts: str
    adapter: str | None


class RunRecord(_Part):
    """run.json, as docs/tables.md describes it."""

    key: RunKey
    family: str
    rank: int | None
    failure: str
    parameters: ParameterCounts
    counts: Counts
    training: TrainingHistory | None
    metrics: MetricValues
    seconds: Seconds
    cost: Cost
    memory: Memory
    settings: dict[str, Any]
    hashes: Hashes
    versions: dict[str, str]
    machine: dict[str, Any] | str
    git_commit: str | None
    finished_at: str


def read_run_record(path: Path) -> RunRecord:
    """Read one run.json that lies in <cohort>/<vital>/<model>/<arm>/seed<k>/.

    Raises UserError where the file is missing, no JSON, lacks a part of the record, or is another run's.
    """
    try:
        record = RunRecord.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise _refusal(path, "no such file") from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
        raise _refusal(path, "; ".join(problems)) from None
    except ValueError:
        raise _refusal(path, "no complete JSON file") from None
    key = record.key
    folder = (key.cohort, key.vital, key.model, key.arm, f"seed{key.seed}")
    if path.absolute().parts[-6:-1] != folder:
        raise _refusal(path, f"the record of another run, {'/'.join(folder)}")
    return record


def _refusal(path: Path, found: str) -> UserError:
    return UserError(
        where=str(path),
        found=found,
        expected="the record that run_arm writes at the end of this folder's run",
        remedy="delete the run's folder and start the workflow again: it repeats this run",
    )
