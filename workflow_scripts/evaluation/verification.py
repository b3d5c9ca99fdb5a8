"""Does a stored run still say what its data say? Hashes and metrics made anew from the files, without training."""

import math
from collections.abc import Mapping
from pathlib import Path

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.events.judging import judge_run_events
from workflow_scripts.evaluation.events.run_paths import EVENT_PATHS, read_path_probabilities
from workflow_scripts.evaluation.events.run_probabilities import Forecasts
from workflow_scripts.evaluation.forecasts import FORECASTS, VALIDATION_FORECASTS, read_forecasts_of
from workflow_scripts.evaluation.metrics import METRIC_NAMES, score
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.evaluation.transfer_record import TransferRecord
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash, folder_hash
from workflow_scripts.windows.reading import Windows

ROUNDING = 1e-9
"""Relative difference allowed between a metric and its repetition on another machine's arithmetic."""

Hashes = Mapping[str, str | None]


def verify_run(record: Path, test: Windows, validation: Windows, expected: Hashes) -> list[str]:
    """Return what is wrong with a run; nothing where every figure is reproduced.

    record: its run.json; test, validation: these splits of its windows file; expected: hashes of code, windows and
    weights as they are now. Checked are these three, the forecasts and the adapter by their own hashes, and every
    metric and every figure of events by scoring the stored forecasts against the stored windows.
    """
    try:
        run = RunRecord.read_in_place(record)
    except UserError as error:
        return [error.found]
    problems = _outdated(vars(run.hashes), expected)
    found = adapter_hash(record.parent / "adapter")
    if found != run.hashes.adapter:
        problems.append("the adapter is not the one that the run wrote" if found else "no adapter")
    folder = record.parent
    problems += _forecast_problems(folder / FORECASTS, run.hashes.forecasts, vars(run.metrics), test)
    problems += _forecast_problems(
        folder / VALIDATION_FORECASTS,
        run.hashes.validation_forecasts,
        vars(run.validation_metrics),
        validation,
    )
    paths = folder / EVENT_PATHS
    if (file_hash(paths) if paths.is_file() else None) != run.hashes.event_paths:
        problems.append(f"{EVENT_PATHS} is not the file that the run wrote")
    return problems or _event_problems(run, folder, test, validation)


def verify_transfer(record: Path, test: Windows, expected: Hashes) -> list[str]:
    """Return what is wrong with the evaluation of an adapter on another cohort, as `verify_run` does.

    record: its record.json; test: the windows that it was scored on; expected: hashes of code, windows,
    own_windows, weights and adapter as they are now.
    """
    try:
        transfer = TransferRecord.read_in_place(record)
    except UserError as error:
        return [error.found]
    # An adapter that could not be trained was not used, so its hash was not noted.
    expected = dict(expected) | ({"adapter": None} if transfer.failure else {})
    problems = _outdated(vars(transfer.hashes), expected)
    path = record.parent / FORECASTS
    return problems + _forecast_problems(path, transfer.hashes.forecasts, vars(transfer.metrics), test)


def adapter_hash(folder: Path) -> str | None:
    """The hash of a stored adapter; None where there is none."""
    return folder_hash(folder) if any(folder.rglob("[!.]*")) else None


def _outdated(recorded: Hashes, expected: Hashes) -> list[str]:
    return [
        f"{name}: recorded {_short(recorded.get(name))}, now {_short(value)}"
        for name, value in expected.items()
        if recorded.get(name) != value
    ]


def _event_problems(run: RunRecord, folder: Path, test: Windows, validation: Windows) -> list[str]:
    """Which figures of events the stored forecasts, which are known to be the run's, do not give."""
    forecasts = [
        Forecasts(
            windows,
            *read_forecasts_of(folder / name, windows),
            read_path_probabilities(folder / EVENT_PATHS, windows),
        )
        for windows, name in ((test, FORECASTS), (validation, VALIDATION_FORECASTS))
    ]
    again = judge_run_events(run.key.model, Arm.parse(run.key.arm), *forecasts)
    if [result.key for result in again] != [result.key for result in run.events]:
        return ["events: others than are judged now"]
    return [
        f"{' '.join(map(str, new.key))}, {name}: recorded {getattr(old, name)}, scored again {value}"
        for old, new in zip(run.events, again, strict=True)
        for name, value in vars(new).items()
        if not isinstance(value, str) and not _same(getattr(old, name), value)
    ]


def _forecast_problems(
    forecasts: Path, digest: str, metrics: Mapping[str, float | None], windows: Windows
) -> list[str]:
    """What is wrong with the stored forecasts, and with the metrics that they give."""
    problems = []
    if forecasts.is_file() and file_hash(forecasts) != digest:
        problems.append(f"{forecasts.name} is not the file that the run wrote")
    try:
        quantiles, levels = read_forecasts_of(forecasts, windows)
    except UserError as error:
        return [*problems, error.found]
    again: Mapping[str, float | None] = dict.fromkeys(METRIC_NAMES)
    if len(windows):
        metadata = windows.metadata
        again = score(windows.target, quantiles, levels, metadata.scale_low, metadata.scale_high).metrics
    return problems + [
        f"{name}: recorded {metrics.get(name)}, scored again {value}"
        for name, value in again.items()
        if not _same(metrics.get(name), value)
    ]


def _same(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=ROUNDING)


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
