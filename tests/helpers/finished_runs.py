"""A study's finished runs on disk: records with made-up numbers, adapters of a few bytes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    rank = int(arm.rpartition("-r")[2]) if "-r" in arm else None
    training = None
    if loss is not None:
        training = {
            "steps": 20,
            "best_step": 20,
            "best_validation_loss": loss,
            "train_loss": [[10, 3.0], [20, 2.0]],
            "validation_loss": [[0, loss + 1], [20, loss]],
        }
        (run / "adapter").mkdir(parents=True, exist_ok=True)
        (run / "adapter" / "adapter_model.safetensors").write_bytes(arm.encode())
        (run / "adapter" / ".snakemake_timestamp").touch()
    run.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "key": {
            "dataset": dataset,
            "model": MODEL,
            "arm": arm,
            "vital": VITAL,
            "cohort": COHORT,
            "seed": seed,
        },
        "family": "chronos",
        "rank": rank,
        "failure": failure,
        "parameters": {"total": 100, "trainable": 10 * (rank or 0)},
        "counts": {"train_windows": 9, "test_windows": 7, "test_patients": 3, "non_finite_windows": 0},
        "windows": {"unit": "bpm"},
        "training": training,
        "metrics": {"mse": None if failure else mse, "mae": None if failure else 5.0, "mape": None},
        "seconds": {"training": 2.0, "total": 4.0},
        "memory": {"peak_host_mib": 100.0, "growth_host_mib": 20.0, "peak_device_mib": None},
        "settings": {"training": {"steps": 20}},
        "finished_at": finished_at,
        "hashes": {"code": "c" * 64, "windows": "d" * 64, "weights": None},
        "git_commit": None,
    }
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
