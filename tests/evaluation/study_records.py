"""Writes run.json files as docs/architecture.md describes them, for tests."""

import json
from pathlib import Path


def run_record(vital="heart_rate", model="chronos-t5-nano", arm="lora-r2", seed=0, mse=8e-4, **changes):
    """A whole record; `changes` replace its top-level parts."""
    rank = int(arm.rpartition("-r")[2]) if "-r" in arm else None
    trains = arm not in ("baseline", "zero-shot")
    high = 300 if vital == "heart_rate" else 190
    record = {
        "key": {
            "dataset": "simulated",
            "cohort": "explicit",
            "vital": vital,
            "model": model,
            "arm": arm,
            "seed": seed,
        },
        "family": "naive" if arm == "baseline" else model.split("-")[0],
        "rank": rank,
        "failure": "",
        "parameters": {
            "total": 300_000,
            "trainable": 1536 * rank if rank else (300_000 if arm == "full" else 0),
        },
        "counts": {
            "train_windows": 900,
            "validation_windows": 110,
            "test_windows": 120,
            "test_patients": 41,
            "non_finite_windows": 0,
        },
        "validation_metrics": {
            "mse": mse,
            "mape": 6.5,
            "mape_paper": 6.4,
            "dtw": 14e-3,
            "mae": 0.8 * mse**0.5 * high,
            "rmse": mse**0.5 * high,
            "wql": 0.05,
            "coverage_80": 0.78,
        },
        "monte_carlo_errors": {"mse": 0.0, "mae": 0.0, "wql": 0.0},
        "events": [],
        "windows": {
            "unit": "bpm" if vital == "heart_rate" else "mmHg",
            "scale_low": 0.0,
            "scale_high": float(high),
            "interval_minutes": 60,
            "context": 24,
            "horizon": 12,
            "split_kind": "by_patient",
            "covariates": [],
        },
        "training": {
            "learning_rate": 1e-3,
            "batch_size": 32,
            "total_steps": 120,
            "total_examples": 3840,
            "trials": [
                {
                    "learning_rate": 1e-3,
                    "steps": 120,
                    "best_step": 100,
                    "best_validation_loss": 3.25,
                    "examples": 3840,
                    "seconds": 11.5,
                    "failure": "",
                }
            ],
            "steps": 120,
            "best_step": 100,
            "best_validation_loss": 3.25,
            "stopped_early": True,
            "train_loss": [[1, 4.5], [120, 3.1]],
            "validation_loss": [[0, 4.6], [100, 3.25], [120, 3.3]],
        }
        if trains
        else None,
        "metrics": {
            "mse": mse,
            "mape": 6.5 * (mse / 8e-4) ** 0.5,
            "mape_paper": 6.4 * (mse / 8e-4) ** 0.5,
            "dtw": 14e-3 * (mse / 8e-4) ** 0.5,
            "mae": 0.8 * mse**0.5 * high,
            "rmse": mse**0.5 * high,
            "wql": 0.05,
            "coverage_80": 0.77,
        },
        "seconds": {"start_up": 4.25, "training": 11.5 if trains else 0.0, "forecast": 2.5, "total": 19.0},
        "cost": {
            "seconds_per_step": 0.095 if trains else None,
            "examples_per_second": 333.9 if trains else None,
            "forecast_seconds_per_window": 0.0208,
            "adapter_mib": 0.031 if trains else None,
        },
        "memory": {"peak_host_mib": 612.5, "growth_host_mib": 40.0, "peak_device_mib": None},
        "settings": {"training": {"steps": 200}},
        "hashes": {
            "code": "c0de" * 16,
            "source": "50ce" * 16,
            "windows": "da7a" * 16,
            "weights": None if arm == "baseline" else "ba5e" * 16,
            "forecasts": "f04e" * 16,
            "validation_forecasts": "7a1f" * 16,
            "adapter": "ada9" * 16 if trains else None,
        },
        "versions": {"python": "3.11.7", "torch": "2.13.0", "vitalora": "0.1.0"},
        "machine": {"system": "Linux", "cores": 2, "device": "cpu"},
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "finished_at": "2026-01-02T03:04:05+00:00",
    }
    return record | changes


def failed_record(**key):
    """A record of a run whose forecasts were not finite in three windows."""
    record = run_record(**key)
    record["counts"]["non_finite_windows"] = 3
    record["metrics"] = dict.fromkeys(record["metrics"])
    return record


def write_record(runs: Path, record) -> Path:
    """Write a record where its key says, and return the path of its run.json."""
    key = record["key"]
    path = runs.joinpath(
        key["cohort"], key["vital"], key["model"], key["arm"], f"seed{key['seed']}", "run.json"
    )
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    return path
