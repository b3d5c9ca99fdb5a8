"""From run records to the summary table, the means over seeds, and the tables that DVC compares and draws."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.summary import MISSING, RunRow, in_study_order, table_text
from workflow_scripts.models.registry import Kind, kind_of
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from workflow_scripts.evaluation.run_record import RunRecord

SHORT_HASH = 12
"""Characters of a hash in the summary table: enough to tell versions apart."""


@dataclass(frozen=True)
class ArmSummary:
    """The runs of one arm of one model on one cohort and vital sign: one for each seed."""

    runs: tuple[RunRow, ...]

    @property
    def first(self) -> RunRow:
        """A run to read what all seeds share: names, rank, counts of parameters; one that ran, where there is one."""
        return next((run for run in self.runs if run.status != MISSING), self.runs[0])

    @cached_property
    def arm(self) -> Arm:
        """The arm, parsed."""
        return Arm.parse(self.first.arm)

    @property
    def method(self) -> str:
        """The arm's method: `lora` for lora-r4."""
        return self.arm.method

    @property
    def kind(self) -> Kind:
        """What the model learns from: the registry decides."""
        return kind_of(self.first.model)

    @property
    def failed(self) -> bool:
        """Whether a run of this arm failed."""
        return any(run.status != "ok" for run in self.runs)

    @property
    def reason(self) -> str:
        """What failed or is undefined, over all seeds; empty where every run is complete."""
        reasons = {run.reason for run in self.runs}
        if len(reasons) == 1:
            each = f"each of {len(self.runs)} seeds: " if len(self.runs) > 1 and self.first.reason else ""
            return each + self.first.reason
        return "; ".join(f"seed {run.seed}: {run.reason}" for run in self.runs if run.reason)

    def values(self, name: str) -> list[float]:
        """A column's value in every run; empty where one run has none, so that no mean hides a failure."""
        values = [getattr(run, name) for run in self.runs]
        return [] if any(value is None for value in values) else values

    def mean(self, name: str) -> float | None:
        """The mean of a column over seeds; None where one run has no value."""
        values = self.values(name)
        return fmean(values) if values else None

    def extremes(self, name: str) -> tuple[float, float] | None:
        """Smallest and largest value over seeds; None where one run has no value."""
        values = self.values(name)
        return (min(values), max(values)) if values else None


def summarise_arms(rows: Iterable[RunRow]) -> list[ArmSummary]:
    """Gather the seeds of each arm, in the order of the rows."""
    groups: dict[tuple[str, str, str, str], list[RunRow]] = {}
    for row in rows:
        groups.setdefault((row.cohort, row.vital, row.model, row.arm), []).append(row)
    return [ArmSummary(tuple(runs)) for runs in groups.values()]


def collect_rows(paths: Sequence[Path]) -> list[RunRow]:
    """Read run records and return their rows in the study's order.

    Raises UserError where a file is no run record, or where two records do not belong in one table.
    """
    from workflow_scripts.evaluation.run_record import RunRecord

    rows: dict[tuple[str, str, str, str, int], RunRow] = {}
    for path in paths:
        row = run_row(RunRecord.read_in_place(path))
        first = next(iter(rows.values()), row)
        identity = (row.cohort, row.vital, row.model, row.arm, row.seed)
        if row.dataset != first.dataset or identity in rows:
            raise UserError(
                where=str(path),
                found=f"a second record of this run, or one of the data set {row.dataset}",
                expected=f"each run of the data set {first.dataset} once",
                remedy="remove the folder of the run that does not belong here",
            )
        rows[identity] = row
    if not rows:
        raise UserError(
            "summary", "no run", "at least one run record", "name models or baselines in params.yaml"
        )
    return in_study_order(rows.values())


def run_row(record: "RunRecord") -> RunRow:
    """The row of metrics.csv of a run."""
    status, reason = _status(record)
    training = record.training
    return RunRow(
        **vars(record.key),
        family=record.family,
        rank=record.rank,
        status=status,
        reason=reason,
        **vars(record.metrics),
        **{f"{name}_monte_carlo_error": error for name, error in vars(record.monte_carlo_errors).items()},
        validation_wql=record.validation_metrics.wql,
        **_main_event(record),
        **vars(record.counts),
        total_parameters=record.parameters.total,
        trainable_parameters=record.parameters.trainable,
        **{f"{name}_seconds": value for name, value in vars(record.seconds).items()},
        **vars(record.memory),
        **vars(record.cost),
        learning_rate=training.learning_rate if training else None,
        training_steps=training.steps if training else None,
        best_step=training.best_step if training else None,
        best_validation_loss=training.best_validation_loss if training else None,
        stopped_early=training.stopped_early if training else None,
        code_hash=record.hashes.code[:SHORT_HASH],
        windows_hash=record.hashes.windows[:SHORT_HASH],
        weights_hash=(record.hashes.weights or "")[:SHORT_HASH],
        git_commit=_short_commit(record.git_commit or ""),
        finished_at=record.finished_at,
    )


def _main_event(record: "RunRecord") -> dict[str, Any]:
    """The columns of the vital sign's first event, at the shortest lead."""
    main = record.events[0] if record.events else None
    scores = ("prevalence", "auroc", "auprc", "brier", "brier_skill")
    return {
        "event": main.event if main else "",
        "event_lead_minutes": main.lead_minutes if main else None,
        **{f"event_{name}": getattr(main, name, None) for name in scores},
    }


def _short_commit(commit: str) -> str:
    """A short hash that still says whether the working tree differed from the commit."""
    name, _, state = commit.partition("-")
    return name[:SHORT_HASH] + (f"-{state}" if state else "")


def _status(record: "RunRecord") -> tuple[str, str]:
    failed, windows = record.counts.non_finite_windows, record.counts.test_windows
    if record.failure:
        return "failed", record.failure
    if failed:
        return "failed", f"forecast not finite in {failed} of {windows} test windows"
    undefined = [name for name, value in vars(record.metrics).items() if value is None]
    return "ok", f"undefined: {', '.join(undefined)} (a zero in the denominator)" if undefined else ""


def arm_metrics(arms: Iterable[ArmSummary]) -> dict[str, dict[str, float | int | None]]:
    """File name -> means over seeds of one arm: a folder of which `dvc metrics show` makes one row for each file."""
    files: dict[str, dict[str, float | int | None]] = {}
    for arm in arms:
        run = arm.first
        means = {name: arm.mean(name) for name in ("mse", "mape", "dtw", "mae")}
        rounded = {name: None if value is None else float(f"{value:.6g}") for name, value in means.items()}
        name = ".".join((run.cohort, run.vital, run.model, run.arm, "json"))
        files[name] = rounded | {"trainable": run.trainable_parameters}
    return files


PLOTTED = ("mse", "mape", "dtw", "mae", "wql", "coverage_80")
"""Metrics in the tables that `dvc plots` draws."""


def plot_tables(arms: Sequence[ArmSummary]) -> dict[str, str]:
    """File name -> CSV text, means over seeds.

    error_by_arm.csv has a row for each arm, named by `run`; error_by_rank.csv has the arms with a rank, named
    by `subject` (cohort, vital sign, model).
    """
    ranked = [arm for arm in arms if arm.first.rank is not None]
    return {
        "error_by_arm.csv": _plot_table(arms, ("run", "cohort", "vital", "model", "arm")),
        "error_by_rank.csv": _plot_table(ranked, ("subject", "cohort", "vital", "model", "rank")),
    }


def _plot_table(arms: Iterable[ArmSummary], names: Sequence[str]) -> str:
    rows = []
    for arm in arms:
        subject = f"{arm.first.cohort} {arm.first.vital} {arm.first.model}"
        values = vars(arm.first) | {"subject": subject, "run": f"{subject} {arm.first.arm}"}
        rows.append(
            [values[name] for name in (*names, "trainable_parameters")] + [arm.mean(name) for name in PLOTTED]
        )
    return table_text([*names, "trainable_parameters", *PLOTTED], rows)
