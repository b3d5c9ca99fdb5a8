"""One run's record, for a reader."""

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from typer import Argument

from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import run_step
from workflow_scripts.runtime.terminal import as_text, table
from workflow_scripts.settings import Study

SHORT_HASH = 12
WIDTH = 110
LEVELS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 40
NAME_WIDTH = 30

METRICS = {
    "mse": ("MSE, scaled series", 1e4, "x 1e-4"),
    "mape": ("MAPE", 1, "%"),
    "mape_paper": ("MAPE as in the paper", 1, "% (of the forecast)"),
    "dtw": ("DTW, scaled series", 1e3, "x 1e-3"),
    "mae": ("MAE", 1, "{unit}"),
    "rmse": ("RMSE", 1, "{unit}"),
    "wql": ("weighted quantile loss", 1, ""),
    "coverage_80": ("coverage of the 80 % interval", 100, "%"),
}
"""Metric of the record -> what it is called, the factor it is shown with, its unit."""


def explain_run(
    run: Annotated[Path, Argument(help="folder of a run, or its run.json")],
) -> None:
    """Print the record of one run as a person reads it: data, settings, training, errors, costs, files, command.

    Takes the folder of a run, results/<dataset>/runs/<cohort>/<vital>/<model>/<arm>/seed<k>, or the run.json in it.
    Nothing is computed or written; times are in seconds, memory in MiB.

    Example:
        python -m workflow_scripts.steps.explain_run results/simulated/runs/sepsis3/heart_rate/moirai-nano/lora-r2/seed0
    """
    path = record_path(run)
    print("\n".join(explain(RunRecord.read(path), path)))


def record_path(path: Path) -> Path:
    """The run.json that a folder or a file names. Raises UserError where there is none."""
    file = path / "run.json" if path.is_dir() else path
    if file.name == "run.json" and file.is_file():
        return file
    below = sorted(path.rglob("run.json"))[:3] if path.is_dir() else []
    raise UserError(
        str(path),
        f"no run.json in it, but {', '.join(map(str, below))} below" if below else "no run.json there",
        "a run's folder, results/<dataset>/runs/<cohort>/<vital>/<model>/<arm>/seed<k>",
        "name one of these" if below else "list the runs: find results -name run.json",
    )


def explain(record: RunRecord, path: Path) -> list[str]:
    """The lines that are printed."""
    key = record.key
    lines = [
        f"{key.model}, {key.arm}: {key.vital} of the cohort {key.cohort}, {key.dataset}, seed {key.seed}"
    ]
    lines += [f"  FAILED: {record.failure}"] if record.failure else []
    lines += _section("Data", _data(record))
    lines += _section("Settings that differ from the defaults", _settings(record))
    lines += _section("Training", _training(record))
    lines += _section("Errors on the test windows", _metrics(record))
    lines += _section("Costs", _costs(record))
    lines += _section("Provenance", _provenance(record))
    lines += ["", "Files", *(f"  {name:<{NAME_WIDTH}} {file}" for name, file in _files(record, path))]
    return [*lines, "", "The command that makes it again", f"  {remake_command(record)}"]


def _section(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """A title and its rows; long values are continued below where they begin."""
    named = [(f"{name:<{NAME_WIDTH}}", value) for name, value in rows]
    return [
        "",
        title,
        *(f"  {line}" for line in as_text(table(("", ""), named), width=WIDTH - 2).splitlines()),
    ]


def _data(record: RunRecord) -> list[tuple[str, str]]:
    counts, hashes = record.counts, record.hashes
    return [
        ("windows", geometry(record)),
        ("training windows", f"{counts.train_windows:,}"),
        ("validation windows", f"{counts.validation_windows:,}"),
        ("test windows", f"{counts.test_windows:,} of {counts.test_patients:,} patients"),
        ("forecasts not finite", f"{counts.non_finite_windows:,}"),
        ("SHA-256 of the windows", hashes.windows[:SHORT_HASH]),
        ("SHA-256 of the weights", (hashes.weights or "")[:SHORT_HASH] or "none: no base weights"),
    ]


def geometry(record: RunRecord) -> str:
    """Context, horizon and split."""
    windows = record.windows
    hours = " and ".join(
        f"{count} steps ({count * windows.interval_minutes / 60:g} h)"
        for count in (windows.context, windows.horizon)
    )
    counted = f" (each {windows.subject_kind} counts as a patient)" * (windows.subject_kind != "patient")
    smoothed = f", smoothed ({windows.smoothing})" * (windows.smoothing != "none")
    split = f"split {windows.split_kind}{counted}, stratified by {windows.stratified_by}"
    return f"context and horizon of {hours}{smoothed}, {split}"


def _settings(record: RunRecord) -> list[tuple[str, str]]:
    changed = differences(record.settings, Study().model_dump(mode="json"))
    rows = [
        (f"{group}.{name}", json.dumps(value))
        for group, values in changed.items()
        for name, value in values.items()
    ]
    return rows or [("none", "")]


def differences(recorded: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The recorded settings, group by group, that the others do not have."""
    changed = {
        group: {name: value for name, value in values.items() if others.get(group, {}).get(name) != value}
        for group, values in recorded.items()
        if isinstance(values, Mapping)
    }
    return {group: values for group, values in changed.items() if values}


def _training(record: RunRecord) -> list[tuple[str, str]]:
    training, parameters = record.training, record.parameters
    share = f" ({100 * parameters.trainable / parameters.total:.3g} %)" if parameters.total else ""
    trained = ("trainable parameters", f"{parameters.trainable:,} of {parameters.total:,}{share}")
    if training is None:
        return [trained, ("steps", "none: nothing is trained")]
    early = ", stopped early" if training.stopped_early else ""
    best = f"the best was {training.best_step:,}"
    if training.best_step == 0:
        best = "none lowered the validation loss, so the forecasts are those of the untrained model"
    rows = [
        trained,
        ("steps", f"{training.steps:,}{early}; {best}"),
        ("learning rate", f"{training.learning_rate:g}"),
        ("training loss", curve(training.train_loss)),
        ("validation loss", curve(training.validation_loss)),
    ]
    if len(training.trials) > 1:
        for trial in training.trials:
            loss = trial.failure or f"validation loss {_number(trial.best_validation_loss)}"
            rows.append(("tried", f"rate {trial.learning_rate:g}, {trial.steps:,} steps: {loss}"))
    return rows


def curve(losses: list[tuple[int, float | None]]) -> str:
    """Losses as a line of blocks, with the first, the smallest and the last value.

    At most CURVE_WIDTH of them, evenly chosen; a loss that is no number is shown as `!`.
    """
    known = [(step, value) for step, value in losses if value is not None]
    if not known:
        return "none"
    chosen = losses[:: -(-len(losses) // CURVE_WIDTH)]
    low, high = min(value for _, value in known), max(value for _, value in known)
    scale = (len(LEVELS) - 1) / (high - low) if high > low else 0.0
    blocks = "".join("!" if value is None else LEVELS[round((value - low) * scale)] for _, value in chosen)
    best_step = min(known, key=lambda point: point[1])[0]
    (first_step, first), (last_step, last) = known[0], known[-1]
    ends = f"{_number(first)} at {first_step}, {_number(low)} at {best_step}, {_number(last)} at {last_step}"
    return f"{blocks}  {ends}"


def _metrics(record: RunRecord) -> list[tuple[str, str]]:
    unit = record.windows.unit
    rows = []
    for name, value in vars(record.metrics).items():
        label, factor, shown_unit = METRICS.get(name, (name, 1, ""))
        text = "undefined" if value is None else f"{value * factor:.4g} {shown_unit.format(unit=unit)}"
        rows.append((label, text.rstrip()))
    return rows


def _costs(record: RunRecord) -> list[tuple[str, str]]:
    seconds, memory, cost = record.seconds, record.memory, record.cost
    parts = (
        f"start-up {seconds.start_up:.1f}, training {seconds.training:.1f}, forecast {seconds.forecast:.1f}"
    )
    rows = [
        ("time", f"{seconds.total:.1f} s: {parts}"),
        ("a training step", _with_unit(cost.seconds_per_step, "s")),
        ("training speed", _with_unit(cost.examples_per_second, "windows/s")),
        ("a window's forecast", _with_unit(cost.forecast_seconds_per_window, "s")),
        ("adapter on disk", _with_unit(cost.adapter_mib, "MiB")),
        ("peak memory", _with_unit(memory.peak_host_mib, "MiB")),
        ("peak memory of the device", _with_unit(memory.peak_device_mib, "MiB")),
    ]
    return [row for row in rows if row[1]]


def _provenance(record: RunRecord) -> list[tuple[str, str]]:
    machine = ", ".join(f"{name} {value}" for name, value in record.machine.items() if value is not None)
    return [
        ("finished", record.finished_at),
        ("git commit", record.git_commit or "unknown"),
        ("SHA-256 of the code", record.hashes.code[:SHORT_HASH]),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("machine", machine),
    ]


def _files(record: RunRecord, path: Path) -> list[tuple[str, str]]:
    key = record.key
    log = f"logs/{key.dataset}/run_arm/{key.cohort}-{key.vital}-{key.model}-{key.arm}-seed{key.seed}.log"
    rows = [("record", path), ("forecasts", path.parent / "forecasts.parquet"), ("log", Path(log))]
    if record.training is not None:
        rows.append(("adapter", path.parent / "adapter"))
    return [(name, f"{file}" if file.exists() else f"{file} (not there)") for name, file in rows]


def remake_command(record: RunRecord, params: Path = Path("params.yaml")) -> str:
    """The command that repeats the run: its target, and the settings that params.yaml does not have as recorded."""
    key = record.key
    try:
        current = Study.model_validate(yaml.safe_load(params.read_text(encoding="utf-8")) or {})
    except (OSError, ValueError, yaml.YAMLError):
        current = Study()
    config = [f"dataset={key.dataset}"] if current.dataset != key.dataset else []
    changed = differences(record.settings, current.model_dump(mode="json"))
    config += [f"{group}={json.dumps(values)}" for group, values in changed.items()]
    target = (
        f"results/{key.dataset}/runs/{key.cohort}/{key.vital}/{key.model}/{key.arm}/seed{key.seed}/run.json"
    )
    options = ["--config", *config] if config else []
    return shlex.join(["snakemake", "--cores", "all", "--force", *options, "--", target])


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    run_step(explain_run)
