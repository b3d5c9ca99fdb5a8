"""Scores forecasts and makes the records of runs and transfers: what was done, what it cost and how good it is."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.events.judging import judge_run_events
from workflow_scripts.evaluation.events.run_paths import Joint
from workflow_scripts.evaluation.events.run_probabilities import Forecasts
from workflow_scripts.evaluation.metrics import Scores, score
from workflow_scripts.evaluation.monte_carlo import MEASURED, monte_carlo_errors
from workflow_scripts.evaluation.run_record import (
    Cost,
    MetricValues,
    MonteCarloErrors,
    ParameterCounts,
    RunCounts,
    RunHashes,
    RunKey,
    RunMemory,
    RunRecord,
    RunSeconds,
    TrainingHistory,
    Trial,
    WindowGeometry,
)
from workflow_scripts.evaluation.transfer_record import (
    TransferCounts,
    TransferHashes,
    TransferKey,
    TransferMemory,
    TransferRecord,
    TransferSeconds,
)
from workflow_scripts.models.registry import family_of
from workflow_scripts.runtime.machine import git_commit, machine, peak_host_mib, versions
from workflow_scripts.windows.reading import WindowMetadata, Windows

if TYPE_CHECKING:
    from workflow_scripts.training.run import Outcome
    from workflow_scripts.training.tuning import Tuned


@dataclass(frozen=True)
class Provenance:
    """What a result was made with."""

    versions: dict[str, str]
    machine: dict[str, Any]
    git_commit: str | None


def collect_provenance(**further: Any) -> Provenance:
    """Versions, machine and commit now. further: what else is to be said of the machine."""
    return Provenance(versions(), machine() | further, git_commit(Path(__file__).parent))


def record_run(
    key: RunKey,
    outcome: "Outcome",
    settings: Mapping[str, Any],
    hashes: RunHashes,
    provenance: Provenance,
    started: float,
    joint: tuple[Joint | None, Joint | None] = (None, None),
) -> RunRecord:
    """Score the forecasts of a run, also by the vital sign's events, and return the record.

    settings: parameter groups of the run; `forecast.quantiles` names the levels. started: when the process began, on
    the clock of `time.perf_counter`. joint: event probabilities of test and validation windows from the model's paths.
    """
    test = outcome.test
    levels = settings["forecast"]["quantiles"]
    scores = _score(test, outcome.quantiles, levels)
    validation = _score(outcome.validation, outcome.validation_quantiles, levels)
    growth = outcome.growth_host_mib
    return RunRecord(
        key=key,
        family=family_of(key.model),
        rank=Arm.parse(key.arm).rank,
        failure=outcome.failure,
        parameters=ParameterCounts(**outcome.parameters),
        counts=RunCounts(
            train_windows=outcome.train_windows,
            validation_windows=len(outcome.validation),
            test_windows=len(test),
            test_patients=len(np.unique(test.subject_id)),
            non_finite_windows=scores.non_finite_windows,
        ),
        windows=_geometry(test.metadata),
        training=training_history(outcome.tuned) if outcome.tuned else None,
        metrics=MetricValues(**scores.metrics),
        monte_carlo_errors=_monte_carlo_errors(outcome, scores, levels),
        validation_metrics=MetricValues(**validation.metrics),
        events=judge_run_events(
            key.model,
            Arm.parse(key.arm),
            Forecasts(test, outcome.quantiles, levels, joint[0]),
            Forecasts(outcome.validation, outcome.validation_quantiles, levels, joint[1]),
        ),
        seconds=RunSeconds(
            start_up=round(outcome.start_up, 3),
            training=round(outcome.training_seconds, 3),
            forecast=round(outcome.forecast_seconds, 3),
            total=_seconds_since(started),
        ),
        cost=_cost(outcome, len(test)),
        memory=RunMemory(
            peak_host_mib=round(peak_host_mib(), 1),
            growth_host_mib=None if growth is None else round(growth, 1),
            peak_device_mib=outcome.peak_device_mib,
        ),
        settings=dict(settings),
        hashes=hashes,
        **vars(provenance),
        finished_at=_now(),
    )


def training_history(tuned: "Tuned") -> TrainingHistory:
    """The chosen candidate's history, and all candidates. A run that failed has no best loss."""
    history = asdict(tuned.history)
    if tuned.failure:
        history["best_validation_loss"] = None
    return TrainingHistory(
        **history,
        learning_rate=tuned.chosen.learning_rate,
        batch_size=tuned.chosen.batch_size,
        total_steps=sum(trial.steps for trial in tuned.trials),
        total_examples=sum(trial.examples for trial in tuned.trials),
        trials=[Trial(**vars(trial)) for trial in tuned.trials],
    )


def record_transfer(
    key: TransferKey,
    test: Windows,
    quantiles: NDArray[np.float32],
    settings: Mapping[str, Any],
    hashes: TransferHashes,
    provenance: Provenance,
    started: float,
    forecast_seconds: float,
    failure: str = "",
) -> TransferRecord:
    """Score an adapter's forecasts of another cohort's windows and return the record.

    quantiles: float32 [windows, levels, horizon], natural units, all NaN where the adapter could not be trained;
    failure says why. settings, started: as `record_run` has them.
    """
    scores = _score(test, quantiles, settings["forecast"]["quantiles"])
    return TransferRecord(
        key=key,
        failure=failure,
        counts=TransferCounts(
            test_windows=len(test),
            test_patients=len(np.unique(test.subject_id)),
            non_finite_windows=scores.non_finite_windows,
        ),
        windows=_geometry(test.metadata),
        metrics=MetricValues(**scores.metrics),
        seconds=TransferSeconds(forecast=round(forecast_seconds, 3), total=_seconds_since(started)),
        memory=TransferMemory(peak_host_mib=round(peak_host_mib(), 1)),
        settings=dict(settings),
        hashes=hashes,
        **vars(provenance),
        finished_at=_now(),
    )


def _score(test: Windows, quantiles: NDArray[np.float32], levels: list[float]) -> Scores:
    metadata = test.metadata
    return score(test.target, quantiles, levels, metadata.scale_low, metadata.scale_high)


def _monte_carlo_errors(outcome: "Outcome", scores: Scores, levels: list[float]) -> MonteCarloErrors:
    if outcome.failure:
        return MonteCarloErrors(**dict.fromkeys(MEASURED))
    if outcome.again is None:
        return MonteCarloErrors(**dict.fromkeys(MEASURED, 0.0))
    return MonteCarloErrors(**monte_carlo_errors(outcome.test, scores, *outcome.again, levels))


def _geometry(metadata: WindowMetadata) -> WindowGeometry:
    return WindowGeometry.model_validate(asdict(metadata))


def _cost(outcome: "Outcome", windows: int) -> Cost:
    """Rates and sizes; None where nothing was trained. A step's time holds its share of the evaluations."""
    trials, seconds = (outcome.tuned.trials if outcome.tuned else []), outcome.training_seconds
    steps, examples = sum(trial.steps for trial in trials), sum(trial.examples for trial in trials)
    trained = steps > 0 and seconds > 0
    return Cost(
        seconds_per_step=round(seconds / steps, 6) if trained else None,
        examples_per_second=round(examples / seconds, 3) if trained else None,
        forecast_seconds_per_window=round(outcome.forecast_seconds / max(1, windows), 6),
        adapter_mib=outcome.adapter_mib,
    )


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
