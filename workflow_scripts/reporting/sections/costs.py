"""What each arm cost: parameters, times, memory and the size of its adapter, as measured in each run."""

from collections.abc import Callable, Sequence
from math import isfinite
from statistics import fmean
from typing import Any

from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.parts import Study
from workflow_scripts.reporting.words import arm_name, capital, count, model_name, number, seconds

COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("total_parameters", "all parameters", count),
    ("trainable_parameters", "trainable", count),
    ("learning_rate", "learning rate", lambda value: f"{value:.2g}"),
    ("training_steps", "steps", count),
    ("training_seconds", "training", seconds),
    ("seconds_per_step", "a step", seconds),
    ("examples_per_second", "windows / s", lambda value: number(value, 1)),
    ("forecast_seconds_per_window", "a forecast", seconds),
    ("start_up_seconds", "start-up", seconds),
    ("total_seconds", "whole run", seconds),
    ("peak_host_mib", "peak memory, MiB", count),
    ("growth_host_mib", "of it beyond the loaded model, MiB", count),
    ("peak_device_mib", "on the device, MiB", count),
    ("adapter_mib", "adapter, MiB", lambda value: number(value, 2)),
)


def cost_section(study: Study) -> Section:
    """One table: means over cohorts, vital signs and seeds."""
    groups: dict[tuple[str, str], list[RunRow]] = {}
    for row in study.rows:
        groups.setdefault((row.model, row.arm), []).append(row)
    shown = [
        (name, heading, said)
        for name, heading, said in COLUMNS
        if any(_mean(rows, name) is not None for rows in groups.values())
    ]
    models: dict[str, list[Line]] = {}
    for (model, arm), rows in groups.items():
        cells = [Cell(_text(_mean(rows, name), said)) for name, _, said in shown]
        models.setdefault(model, []).append(Line(arm_name(arm), cells))
    table = Table(
        "Costs of each arm",
        heads("model and arm", *(heading for _, heading, _ in shown)),
        [
            Group(lines, capital(model_name(model)), study.places.get(model))
            for model, lines in models.items()
        ],
        "Costs of all arms" if len(groups) > study.sources.parameters.most_lines else "",
    )
    return Section(
        "costs",
        "What it cost",
        [Block(tables=[table])],
        "Means over vital signs, cohorts and seeds, each run in a process of its own. Memory is the process's peak, "
        "with libraries and base weights; on small models it says little about the method. Times are of the machine "
        "below, shared with whatever else ran on it.",
    )


def _mean(rows: Sequence[RunRow], name: str) -> float | None:
    values: list[Any] = [getattr(row, name, None) for row in rows]
    known = [float(value) for value in values if value is not None and isfinite(value)]
    return fmean(known) if known else None


def _text(value: float | None, said: Callable[[float], str]) -> str:
    return "–" if value is None else said(value)
