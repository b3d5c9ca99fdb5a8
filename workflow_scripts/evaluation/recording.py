"""Makes a run's record, run.json: what was done, what it cost and how good it is (docs/tables.md)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.runtime.machine import peak_host_mib
from workflow_scripts.windows.reading import Windows


@dataclass
class Outcome:
    """What a run found and what it cost.

    quantiles: float32 [test windows, levels, horizon], natural units, all NaN where the run failed.
    parameters: total and trainable. training: what the training did, None where nothing was trained.
    seconds: start_up, training and forecast. growth_host_mib: by how much the process grew beyond its libraries and the
    loaded model. failure: why there is no forecast; empty where there is one.
    """

    quantiles: NDArray[np.float32]
    parameters: dict[str, int]
    seconds: dict[str, float]
    training: dict[str, Any] | None = None
    growth_host_mib: float | None = None
    peak_device_mib: float | None = None
    adapter_mib: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class Subject:
    """What a run is about. key: dataset, cohort, vital, model, arm, seed."""

    key: Mapping[str, Any]
    family: str
    rank: int | None
    test: Windows
    development_windows: Mapping[str, int] = field(default_factory=dict)


def run_record(subject: Subject, outcome: Outcome, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Score the forecasts and return the record, without its provenance and its total time.

    settings: parameter groups of the run; `forecast.quantiles` names the levels.
    """
    test, metadata = subject.test, subject.test.metadata
    scores = score(
        test.target,
        outcome.quantiles,
        settings["forecast"]["quantiles"],
        metadata.scale_low,
        metadata.scale_high,
    )
    return {
        "key": dict(subject.key),
        "family": subject.family,
        "rank": subject.rank,
        "failure": outcome.failure,
        "parameters": outcome.parameters,
        "counts": {
            "train_windows": subject.development_windows.get("train", 0),
            "validation_windows": subject.development_windows.get("validation", 0),
            "test_windows": len(test),
            "test_patients": len(np.unique(test.subject_id)),
            "non_finite_windows": scores.non_finite_windows,
        },
        "windows": {name: value for name, value in asdict(metadata).items() if name != "vital"},
        "training": outcome.training,
        "metrics": scores.metrics,
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "cost": _cost(outcome, len(test)),
        "memory": {
            "peak_host_mib": round(peak_host_mib(), 1),
            "growth_host_mib": None if outcome.growth_host_mib is None else round(outcome.growth_host_mib, 1),
            "peak_device_mib": outcome.peak_device_mib,
        },
        "settings": dict(settings),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cost(outcome: Outcome, windows: int) -> dict[str, float | None]:
    """Rates and sizes; None where nothing was trained. A step's time holds its share of the evaluations."""
    training, seconds = outcome.training or {}, outcome.seconds["training"]
    steps, examples = training.get("total_steps", 0), training.get("total_examples", 0)
    trained = steps > 0 and seconds > 0
    return {
        "seconds_per_step": round(seconds / steps, 6) if trained else None,
        "examples_per_second": round(examples / seconds, 3) if trained else None,
        "forecast_seconds_per_window": round(outcome.seconds["forecast"] / max(1, windows), 6),
        "adapter_mib": outcome.adapter_mib,
    }
