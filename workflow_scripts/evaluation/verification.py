"""Does a stored run still say what its data say? Hashes and metrics made anew from the files, without training."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.forecasts import read_test_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.run_records import RunRecord, read_run_record
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash, folder_hash
from workflow_scripts.windows.reading import Windows

ROUNDING = 1e-9
"""Relative difference allowed between a metric and its repetition on another machine's arithmetic."""


def verify_run(record: Path, test: Windows, expected: Mapping[str, str | None]) -> list[str]:
    """Return what is wrong with a run; nothing where every figure is reproduced.

    record: its run.json; test: the test split of its windows file; expected: hashes of code, windows and weights
    as they are now. Checked are these three, the forecasts and the adapter by their own hashes, and every metric by
    scoring the stored forecasts against the stored windows.
    """
    try:
        run = read_run_record(record)
    except UserError as error:
        return [error.found]
    problems = [
        f"{name}: recorded {_short(recorded)}, now {_short(expected[name])}"
        for name in ("code", "windows", "weights")
        if (recorded := getattr(run.hashes, name)) != expected[name]
    ]
    forecasts, adapter = record.parent / "forecasts.parquet", record.parent / "adapter"
    if forecasts.is_file() and file_hash(forecasts) != run.hashes.forecasts:
        problems.append("forecasts.parquet is not the file that the run wrote")
    # Snakemake leaves its own .snakemake_timestamp in the folder afterwards.
    found = folder_hash(adapter, ("**/[!.]*",)) if adapter.is_dir() else None
    if found != run.hashes.adapter:
        problems.append("the adapter is not the one that the run wrote" if found else "no adapter")
    try:
        return problems + _metric_problems(run, forecasts, test)
    except UserError as error:
        return [*problems, error.found]


def _metric_problems(run: RunRecord, forecasts: Path, test: Windows) -> list[str]:
    quantiles, levels = read_test_forecasts(forecasts, test)
    metadata = test.metadata
    again = score(test.target, quantiles, levels, metadata.scale_low, metadata.scale_high)
    recorded: dict[str, Any] = vars(run.metrics)
    return [
        f"{name}: recorded {recorded[name]}, scored again {value}"
        for name, value in again.metrics.items()
        if not _same(recorded[name], value)
    ]


def _same(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=ROUNDING)


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
