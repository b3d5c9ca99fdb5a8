"""What each arm cost: parameters, times, memory and the size of its adapter, as measured in each run."""

from collections.abc import Callable, Sequence

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.reporting.page import Block, Cell, Line, Section, Table, heads
from workflow_scripts.reporting.study import ForecastTask, Study, arm_line, mean, model_groups
from workflow_scripts.reporting.words import count, number, seconds

Column = tuple[str, str, Callable[[float], str]]

TRAINING: tuple[Column, ...] = (
    ("total_parameters", "all parameters", count),
    ("trainable_parameters", "trainable", count),
    ("adapter_mib", "adapter, MiB", lambda value: number(value, 2)),
    ("learning_rate", "learning rate", lambda value: f"{value:.2g}"),
    ("training_steps", "steps", count),
    ("training_seconds", "training", seconds),
    ("seconds_per_step", "a step", seconds),
)
RUNNING: tuple[Column, ...] = (
    ("examples_per_second", "windows / s", lambda value: number(value, 1)),
    ("forecast_seconds_per_window", "a forecast", seconds),
    ("start_up_seconds", "start-up", seconds),
    ("total_seconds", "whole run", seconds),
    ("peak_host_mib", "peak memory, MiB", count),
    ("growth_host_mib", "grown by, MiB", count),
    ("peak_device_mib", "on the device, MiB", count),
)
KNOWN_BEFORE = ("total_parameters", "trainable_parameters")
"""What no failure changes."""


def cost_section(study: Study) -> Section:
    """Two tables for each cohort and vital sign, narrow enough for paper: size and training, time and memory."""
    blocks = []
    for task in study.tasks:
        named = (
            ("training-costs", "Size and training", TRAINING),
            ("running-costs", "Time and memory", RUNNING),
        )
        many = len(task.arms) > study.sources.parameters.most_lines or task is not study.tasks[0]
        tables = [
            cost_table(study, task, columns, name, title, title if many else "")
            for name, title, columns in named
        ]
        blocks.append(Block(task.title, tables=tables))
    return Section(
        "costs",
        "What it cost",
        blocks,
        "Means over seeds; of an arm with a failed run nothing that was measured is shown. Peak memory is the "
        "process's, with libraries and base weights: what the method itself takes is nearer to what the process has "
        "grown by. Times are of the machine below, shared with whatever else ran on it.",
    )


def cost_table(
    study: Study,
    task: ForecastTask,
    columns: Sequence[Column] = (*TRAINING, *RUNNING),
    name: str = "costs",
    title: str = "Costs of each arm",
    folded: str = "",
) -> Table:
    """Columns of which an arm has a value, a line for each arm."""
    shown = [column for column in columns if any(_value(arm, column[0]) is not None for arm in task.arms)]
    models: dict[str, list[Line]] = {}
    for arm in task.arms:
        cells = [Cell(_text(_value(arm, column), said)) for column, _, said in shown]
        failed = sum(run.status != "ok" for run in arm.runs)
        remark = f"{failed} of {len(arm.runs)} runs failed or are missing" if failed else ""
        models.setdefault(arm.first.model, []).append(arm_line(arm, cells, remark, bool(failed)))
    return Table(
        name,
        f"{title}, {task.title}",
        heads("model and arm", *(heading for _, heading, _ in shown)),
        model_groups(study, models),
        folded,
    )


def _value(arm: ArmSummary, name: str) -> float | None:
    """The mean over seeds; None where a run failed or has no value, so that no mean hides it."""
    return None if arm.failed and name not in KNOWN_BEFORE else mean(arm, name)


def _text(value: float | None, said: Callable[[float], str]) -> str:
    return "–" if value is None else said(value)
