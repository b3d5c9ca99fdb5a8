"""What MLflow shows of a run, a sweep and an experiment, made from run records."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from workflow_scripts.evaluation.events.definitions import events_of
from workflow_scripts.models.registry import is_stand_in
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.datasets import dataset_of
from workflow_scripts.tracking.sweeps import StoredRun, Sweep, in_words, learned_nothing
from workflow_scripts.windows.reading import Windows, read_windows

LOG = logging.getLogger(__name__)

Curve = Sequence[tuple[int, float | None]]
"""[(step, value), ...]"""

ERRORS = {"mse": "MSE, scaled series", "mae": "MAE, {unit}", "wql": "weighted quantile loss"}
"""The metrics in descriptions."""

NO_METRICS = ("rank", "seed", "stopped_early", "event_lead_minutes")
"""Numbers of metrics.csv that identify a run or are no quantity."""

TRAINING_PAGES = "workflowType=machine_learning"
"""Without it an address opens MLflow's pages for chat models."""

ARCHIVE = "adapter.zip"
"""The artifact of a run with all that its adapter needs, in one download."""

LONGEST_TABLE = 4000
"""Characters; MLflow refuses tags that are longer than 8,000."""


@dataclass(frozen=True)
class Links:
    """Addresses within MLflow's pages, as the browser shows them there. ids: MLflow's id by a record's path."""

    experiment_id: str
    ids: Mapping[Path, str]

    def run(self, run: StoredRun, part: str = "") -> str:
        """The page of a run, or a part of it."""
        return f"#/experiments/{self.experiment_id}/runs/{self.ids[run.path]}{part}?{TRAINING_PAGES}"

    def runs_of(self, vital: str) -> str:
        """The table of a vital sign's runs, the smallest error first."""
        query = f"tags.kind = 'run' and tags.vital = '{vital}'"
        order = urlencode({"searchFilter": query, "orderByKey": "metrics.`mse`", "orderByAsc": "true"})
        return f"#/experiments/{self.experiment_id}/runs?{TRAINING_PAGES}&{order}"


@dataclass(frozen=True)
class Page:
    """What MLflow shows of a run or a sweep.

    Attributes:
        key: what identifies it; by it the page is found again.
        name: the run's name in MLflow.
        status: FINISHED, FAILED, or SCHEDULED where runs of a sweep are missing.
        started, ended: milliseconds since 1970; None of a sweep without runs.
        tags: values to filter by; None is left out.
        parameters: settings, nested; None is left out.
        metrics: final values by name; None (not finite) is left out.
        curves: points by name; None is left out.
        description: Markdown.
        dataset: the windows: name, hash, source and counts, no row.
        artifacts: files or folders by the folder that they get in MLflow; missing ones are left out.
        archived: a folder that is also stored as ARCHIVE.
    """

    key: Mapping[str, object]
    name: str
    status: str
    started: int | None
    ended: int | None
    tags: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    description: str = ""
    dataset: Mapping[str, str] | None = None
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    archived: Path | None = None


def run_page(run: StoredRun, windows: Path | None = None) -> Page:
    """Return the page of a finished run.

    windows: folder of the windows, <cohort>/<vital>.parquet, for the error at each step of the horizon.
    """
    record, row, folder = run.record, run.row, run.path.parent
    started, ended = run_times(run)
    curves: dict[str, Curve] = {"mae_by_horizon_step": error_by_horizon_step(run, windows)}
    if record.training:
        curves["train_loss"] = record.training.train_loss
        curves["validation_loss"] = record.training.validation_loss
    key = vars(record.key)
    return Page(
        key=key,
        name=f"{row.model} {row.arm}, seed {row.seed}",
        status="FINISHED" if row.status == "ok" else "FAILED",
        started=started,
        ended=ended,
        tags={
            "family": row.family,
            "method": record.arm.method,
            "rank": row.rank,
            "data": data_kind(row.dataset),
            "reason": row.reason or None,
            "git_commit": record.git_commit,
            **{f"hash.{name}": value for name, value in vars(record.hashes).items()},
        },
        parameters={**key, "rank": row.rank, **record.settings},
        metrics=run_metrics(run) | event_metrics(run),
        curves=curves,
        description=_run_description(run),
        dataset=data_set(run),
        artifacts={"record": run.path, "adapter": folder / "adapter"},
        archived=folder / "adapter" if record.arm.is_adapter else None,
    )


def sweep_page(sweep: Sweep) -> Page:
    """Return the page of a sweep: the numbers of the recommended arm, means over seeds, and a table of all arms."""
    chosen, first = sweep.recommended, sweep.runs[0] if sweep.runs else None
    times = [run_times(run) for run in sweep.runs]
    metrics: dict[str, float | None] = {"best_rank": sweep.best_rank()}
    if chosen and first:
        metrics |= {name: chosen.mean(name) for name in run_metrics(first)}
    return Page(
        key=sweep.key,
        name=sweep.name,
        status="SCHEDULED" if sweep.missing else "FINISHED",
        started=min((started for started, _ in times), default=None),
        ended=max((ended for _, ended in times), default=None),
        tags={
            "recommended": chosen.first.arm if chosen else None,
            "family": first.row.family if first else None,
            "data": data_kind(sweep.dataset),
            "runs": f"{len(sweep.runs)} of {len(sweep.runs) + len(sweep.missing)}",
        },
        metrics=metrics,
        description=_sweep_description(sweep),
        dataset=data_set(first) if first else None,
    )


def experiment_description(dataset: str, sweeps: Sequence[Sweep], links: Links) -> str:
    """Return the description of a data set's experiment: how to read it, and what was chosen in each sweep."""
    rows = []
    for sweep in sorted(sweeps, key=lambda each: each.best_run() is None):
        chosen, best = sweep.recommended, sweep.best_run()
        name = chosen.first.arm if chosen else "–"
        arm = f"[{name}]({links.run(best, f'/artifacts/{ARCHIVE}')})" if best else name
        errors = [number(chosen.mean(name) if chosen else None) for name in ("mse", "mae")]
        rows.append([sweep.name, arm, str(sweep.best_rank() or "–"), *errors])
    vitals = dict.fromkeys(sweep.vital for sweep in sweeps)
    parts = [
        f"**Every run:** {' · '.join(f'[{in_words(vital)}]({links.runs_of(vital)})' for vital in vitals)}",
        f"Forecasts of vital signs on **{dataset}**: a sweep for each model, vital sign and cohort, and below it one "
        "run for each arm and seed. The recommended arm is chosen on validation alone; `mse`, `mae` and the "
        "others are of test windows that no run trained on. `run.json`, an artifact of every run, is its full record.",
        table(["sweep", "recommended, on validation", "best rank", "test MSE", "test MAE"], rows),
        cautions(dataset, *(sweep.model for sweep in sweeps)),
    ]
    return "\n\n".join(filter(None, parts))


def model_description(sweep: Sweep, run: StoredRun) -> str:
    """Return the description of a registered adapter."""
    text = (
        f"What is recommended of **{sweep.name}** on {sweep.dataset}: {run.row.arm}, seed {run.row.seed}, chosen on "
        "validation alone. docs/using-adapters.md says how to use it; its files are safetensors and JSON, no "
        "pickle and no code."
    )
    return "\n\n".join(filter(None, [text, cautions(sweep.dataset, sweep.model)]))


def run_metrics(run: StoredRun) -> dict[str, float | None]:
    """The numbers of a run under their names in metrics.csv: mse, trainable_parameters, training_seconds, ..."""
    return {
        name: value
        for name, value in vars(run.row).items()
        if (value is None or isinstance(value, int | float)) and name not in NO_METRICS
    }


def event_metrics(run: StoredRun) -> dict[str, float | None]:
    """The scores of every event's main condition at each lead, as `events/hypotension at 60 min/auroc`."""
    mains = {(event.name, str(event.main)) for event in events_of(run.row.vital)}
    return {
        f"events/{result.event} at {result.lead_minutes} min/{name}": getattr(result, name)
        for result in run.record.events
        if (result.event, result.condition) in mains and (result.population, result.form) == ("onset", "at")
        for name in ("prevalence", "auroc", "auprc", "brier", "brier_skill", "sensitivity_5", "ppv_5")
    }


def error_by_horizon_step(run: StoredRun, windows: Path | None) -> Curve:
    """Mean absolute error of the test windows at each step of the horizon, in the unit of the vital sign.

    Empty without windows, and where windows and forecasts do not belong together.
    """
    import numpy as np

    from workflow_scripts.evaluation.forecasts import read_forecasts_of

    path = windows and windows / run.row.cohort / f"{run.row.vital}.parquet"
    if not path or not path.is_file():
        return []
    try:
        test = _test_windows(path)
        quantiles, levels = read_forecasts_of(run.path.with_name("forecasts.parquet"), test)
    except UserError as error:
        LOG.warning("%s: no error by step of the horizon: %s", run.path, error.found)
        return []
    errors = np.abs(test.target - quantiles[:, levels.index(0.5)])
    return [
        (step, float(np.nanmean(column)))
        for step, column in enumerate(errors.T, start=1)
        if np.isfinite(column).any()
    ]


@lru_cache(maxsize=1)
def _test_windows(path: Path) -> Windows:
    """Runs of one cohort and vital sign come one after another."""
    return read_windows(path, ("test",))


def run_times(run: StoredRun) -> tuple[int, int]:
    """Start and end of a run, in milliseconds since 1970."""
    ended = datetime.fromisoformat(run.record.finished_at).timestamp()
    return int((ended - run.record.seconds.total) * 1000), int(ended * 1000)


def data_kind(dataset: str) -> str:
    """`open` or `credentialed`: who may not have the data may not have what was trained on it either."""
    return "open" if dataset in OPEN_DATASETS else "credentialed"


def data_set(run: StoredRun) -> dict[str, str]:
    """The fields of MLflow's data set entity for the windows of a run: name, hash, source and counts, no row."""
    row = run.row
    counts = {name: count for name, count in vars(run.record.counts).items() if name != "non_finite_windows"}
    return {
        "name": f"{row.dataset} · {row.cohort} · {in_words(row.vital)}",
        "digest": run.record.hashes.windows[:36],  # MLflow's longest digest.
        "source_type": "local",
        "source": json.dumps({"uri": f"data/{row.dataset}/windows/{row.cohort}/{row.vital}.parquet"}),
        "profile": json.dumps(counts),
    }


def cautions(dataset: str, *models: str) -> str:
    """What the numbers of these models cannot tell, in Markdown."""
    texts = []
    if stand_ins := [name for name in dict.fromkeys(models) if is_stand_in(name)]:
        texts.append(
            f"**Stand-in** models, small and pre-trained for minutes on synthetic series: {', '.join(stand_ins)}. "
            "Their errors say nothing about published weights."
        )
    if dataset_of(dataset).patients == "simulated":
        texts.append("The patients are **simulated**: no number here says anything about real ones.")
    elif dataset == "mimic-iii-demo":
        texts.append("The open demo holds 100 patients: **far too few** for a conclusion.")
    elif data_kind(dataset) == "credentialed":
        texts.append(
            "Trained on **credentialed data**: share adapters only as its data use agreement allows."
        )
    return "\n\n".join(texts)


def number(value: float | None) -> str:
    """Four significant digits."""
    return "–" if value is None else f"{value:.4g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; rows beyond the longest text are counted."""
    if not rows:
        return ""
    # MLflow's pages leave no space between cells.
    lines = [f"| {'&emsp;| '.join(head)} |", "|---" * len(head) + "|"]
    for position, row in enumerate(rows):
        line = f"| {'&emsp;| '.join(row)} |"
        if sum(map(len, lines)) + len(line) > LONGEST_TABLE:
            return "\n".join(lines) + f"\n\n… and {len(rows) - position} more."
        lines.append(line)
    return "\n".join(lines)


def _run_description(run: StoredRun) -> str:
    row, training = run.row, run.record.training
    parts = [
        f"**{row.model}**, arm **{row.arm}**, seed {row.seed}: forecasts of {in_words(row.vital)} in cohort "
        f"{row.cohort} of {row.dataset}, scored on {row.test_windows} windows of {row.test_patients} patients that it "
        "never trained on."
    ]
    if row.status != "ok":
        parts.append(f"**It failed:** {row.reason}")
    rows = [[label, number(getattr(row, name))] for name, label in _error_labels(run).items()]
    parts.append(table(["on the test windows", ""], rows))
    if training:
        parts.append(
            f"The weights are those of step {training.best_step}, where the validation loss was smallest "
            f"({number(training.best_validation_loss)})."
        )
    parts.append(cautions(row.dataset, row.model))
    return "\n\n".join(filter(None, parts))


def _sweep_description(sweep: Sweep) -> str:
    total = len(sweep.runs) + len(sweep.missing)
    parts = [f"**{sweep.name}** on {sweep.dataset}: {total} runs, one for each arm and seed."]
    if sweep.missing:
        names = ", ".join(f"{path.parts[-3]} {path.parts[-2]}" for path in sweep.missing[:20])
        more = ", …" if len(sweep.missing) > 20 else ""
        parts.append(f"**{len(sweep.missing)} of them are not finished:** {names}{more}.")
    if sweep.recommended:
        parts.append(
            f"Recommended, chosen on validation alone: **{sweep.recommended.first.arm}**. This page shows its numbers, "
            "means over seeds."
        )
    if idle := [arm.first.arm for arm in sweep.arms if learned_nothing(arm)]:
        parts.append(
            f"**Nothing was learned** by {', '.join(idle)}: no step lowered the validation loss, so these are the "
            "untrained model's forecasts."
        )
    parts.append(_table_of_arms(sweep))
    parts.append(cautions(sweep.dataset, sweep.model))
    return "\n\n".join(filter(None, parts))


def _table_of_arms(sweep: Sweep) -> str:
    if not sweep.runs:
        return ""
    labels = _error_labels(sweep.runs[0])
    rows = [
        [
            arm.first.arm,
            *(number(arm.mean(name)) for name in (*labels, "validation_wql")),
            f"{arm.first.trainable_parameters:,}",
        ]
        for arm in sweep.arms
    ]
    return table(["arm", *labels.values(), "validation WQL", "trained parameters"], rows)


def _error_labels(run: StoredRun) -> dict[str, str]:
    return {name: label.format(unit=run.record.windows.unit) for name, label in ERRORS.items()}
