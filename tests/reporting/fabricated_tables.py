"""Fabricates the tables of parts, calibration, transfer and findings that belong to a study's runs."""

from itertools import product

import numpy as np

from workflow_scripts.evaluation.aggregation import summarise_arms
from workflow_scripts.evaluation.summary import (
    PER_DOUBLING,
    RELATIVE,
    BreakdownRow,
    CalibrationRow,
    FindingRow,
    TransferRow,
    rows_text,
)

BASELINES = ("persistence", "mean-of-context")
DIMENSIONS = {
    "horizon_step": [str(step) for step in range(1, 13)],
    "hours_from_onset": ["before -24", "-24 to -12", "-12 to 0", "0 to 12", "12 to 24", "24 to 48"],
    "sex": ["female", "male"],
    "age_band": ["18-44", "45-64", "65-79", "80+"],
    "icu_type": ["MICU", "SICU", "TSICU"],
}
SMALL = "not shown, fewer than 11 patients"


def write_tables(folder, rows, levels):
    arms = [arm for arm in summarise_arms(rows) if arm.mean("mae") is not None]
    write = {
        "breakdown": (BreakdownRow, breakdown(arms)),
        "calibration": (CalibrationRow, calibration(arms, levels)),
        "transfer": (TransferRow, transfer(arms)),
        "findings": (FindingRow, findings(arms)),
    }
    for name, (kind, table) in write.items():
        (folder / f"{name}.csv").write_text(rows_text(kind, table))


def _subject(arm):
    return {name: getattr(arm.first, name) for name in ("cohort", "vital", "model", "arm")}


def breakdown(arms):
    """Errors that grow over the horizon; the group TSICU is too small to be shown."""
    table = []
    for arm, (dimension, names) in product(arms, DIMENSIONS.items()):
        for place, level in enumerate(names):
            row = {"dimension": dimension, "level": level, "metric": "mae", "seeds": len(arm.runs)}
            if level == "TSICU":
                hidden = dict.fromkeys(("patients", "windows", "value", "low", "high"))
                table.append(BreakdownRow(**_subject(arm), **row, **hidden, reason=SMALL))
                continue
            value = arm.mean("mae") * (0.7 + 0.05 * place)
            ends = {"low": 0.85 * value, "high": 1.15 * value}
            table.append(
                BreakdownRow(**_subject(arm), **row, patients=14, windows=44, value=value, **ends, reason="")
            )
    return table


def calibration(arms, levels):
    """Zero-shot is too narrow, everything else nearly right."""
    return [
        CalibrationRow(
            **_subject(arm),
            level=level,
            seeds=len(arm.runs),
            patients=20,
            windows=60,
            observed=float(
                np.clip(0.5 + (level - 0.5) * (0.7 if arm.first.arm == "zero-shot" else 0.96), 0, 1)
            ),
            reason="",
        )
        for arm in arms
        if arm.first.model not in BASELINES
        for level in levels
    ]


def transfer(arms):
    """Of each model its arm of rank 2, moved between all cohorts: farther from home, larger errors."""
    cohorts = list(dict.fromkeys(arm.first.cohort for arm in arms))
    table = []
    for arm, trained in product([arm for arm in arms if arm.first.rank == 2], cohorts):
        own = arm.first.cohort == trained
        if len(cohorts) < 2:
            continue
        value = arm.mean("mse") * (1 if own else 1.2)
        above = None if own else value - arm.mean("mse")
        table.append(
            TransferRow(
                vital=arm.first.vital,
                model=arm.first.model,
                arm=arm.first.arm,
                trained_on=trained,
                evaluated_on=arm.first.cohort,
                metric="mse",
                seeds=len(arm.runs),
                patients=18,
                windows=50,
                value=value,
                low=0.8 * value,
                high=1.2 * value,
                above_own=above,
                above_own_low=None if own else -0.5 * above if len(arm.first.model) % 2 else 0.5 * above,
                above_own_high=None if own else 2 * above,
                above_zero_shot=-0.3 * value,
                above_zero_shot_low=-0.5 * value,
                above_zero_shot_high=-0.1 * value,
                reason="",
            )
        )
    return table


def findings(arms):
    """One row for each finding: agreement, disagreement, indecision, and one that could not be tested."""
    verdicts = ("agrees", "agrees", "disagrees", "undecided", "undecided", "not tested", "agrees")
    first = arms[0].first if arms else None
    return [
        FindingRow(
            finding=number,
            cohort=first.cohort,
            vital=first.vital,
            claim="LoRA improves on zero-shot",
            arms="chronos-t5-nano lora-r2",
            against="chronos-t5-nano zero-shot",
            metric="" if verdict == "not tested" else "mse",
            found="the error is lower" if verdict == "agrees" else "the error is not lower",
            measure=PER_DOUBLING if number == 7 else RELATIVE,
            value=None if verdict == "not tested" else -0.02,
            low=None if verdict == "not tested" else -0.04,
            high=None if verdict == "not tested" else -0.01,
            p_value=None if verdict == "not tested" else 0.004,
            p_holm=None if verdict == "not tested" else 0.012,
            claims=7,
            patients=20,
            seeds=1,
            verdict=verdict,
            reason="there is no Chronos small" if verdict == "not tested" else "",
        )
        for number, verdict in enumerate(verdicts, start=1)
        if first
    ]
