"""A study's finished runs on disk: records with made-up numbers, adapters of a few bytes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.evaluation.study_records import run_record

COHORT, VITAL, MODEL = "explicit", "heart_rate", "chronos-t5-nano"


def finished_run(
    folder: Path,
    arm: str,
    seed: int = 0,
    dataset: str = "simulated",
    loss: float | None = None,
    mse: float = 0.25,
    finished_at: str = "2024-05-16T12:00:00+00:00",
    failure: str = "",
) -> Path:
    """Write run.json, and an adapter where there is a validation loss; return the record's path."""
    run = folder / "runs" / COHORT / VITAL / MODEL / arm / f"seed{seed}"
    record: dict[str, Any] = run_record(
        model=MODEL, arm=arm, seed=seed, mse=mse, failure=failure, finished_at=finished_at, git_commit=None
    )
    record["key"]["dataset"] = dataset
    record["seconds"]["total"] = 4.0
    # What an arm is recommended by; where nothing was trained it is worse than any loss here.
    record["validation_metrics"]["wql"] = None if failure else 9.0 if loss is None else loss
    if failure:
        record["metrics"] = dict.fromkeys(record["metrics"])
    if record["training"]:
        record["training"] |= {"steps": 20, "best_step": 20, "best_validation_loss": loss}
        record["training"]["validation_loss"] = [[0, loss + 1], [20, loss]] if loss is not None else []
    if loss is not None:
        (run / "adapter").mkdir(parents=True, exist_ok=True)
        (run / "adapter" / "adapter_model.safetensors").write_bytes(arm.encode())
        (run / "adapter" / ".snakemake_timestamp").touch()
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps(record))
    return run / "run.json"


def tracking_settings(
    uri: str, paths: Sequence[Path], dataset: str = "simulated", private: bool = False
) -> dict[str, Any]:
    """The parameters of sync_tracking's settings file."""
    return {
        "dataset": dataset,
        "tracking": {"uri": uri, "private": private},
        "runs": [str(path) for path in paths],
    }
