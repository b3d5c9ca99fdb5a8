"""A cohort's attrition as a CONSORT-style flow chart: a plain SVG that reads in light, dark and by ear."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

from workflow_scripts.cohorts.parameters import CohortParameters
from workflow_scripts.cohorts.table_one import FEWER
from workflow_scripts.reporting.attrition import AttritionStep
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import MADE_BY
from workflow_scripts.sources.counts import SMALLEST_GROUP

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Counts:
    """Numbers of ICU stays, of their hospital admissions (0 where the data do not tell them), and of their patients."""

    stays: int
    admissions: int
    patients: frozenset[int]

    @property
    def few(self) -> bool:
        """Whether there are so few patients that no number may be shown."""
        return 0 < len(self.patients) < SMALLEST_GROUP


@dataclass(frozen=True)
class Exclusion:
    """What one inclusion step excluded; reason: in words, as it follows "excluded:"."""

    reason: str
    excluded: Counts


@dataclass(frozen=True)
class _Stage:
    """Exclusions that are shown together, and what is left after them."""

    reasons: tuple[str, ...]
    excluded: Counts
    left: Counts


def attrition_stages(
    stays: "pd.DataFrame", steps: Sequence[AttritionStep], parameters: CohortParameters, vitals: Sequence[str]
) -> tuple[Counts, list[tuple[Exclusion, Counts]]]:
    """Return all stays' counts, and each step's exclusion with what is left after it.

    stays: one row per ICU stay with subject_id, hadm_id and excluded_at; steps: the attrition table.
    Raises UserError where the two do not belong together.
    """
    reasons = _reasons(parameters, vitals)
    left = stays
    stages = []
    for step in steps[1:]:
        gone = left["excluded_at"] == step.step
        excluded, left = left[gone], left[~gone]
        reason = reasons.get(step.step, step.label)
        stages.append((Exclusion(reason, _count(excluded)), _count(left)))
        if len(left) != step.stays:
            raise UserError(
                f"attrition table, step {step.step}",
                f"{step.stays} stays left, and {len(left)} by the cohort table",
                "a cohort table and its own attrition table",
                "label the cohort again (label_cohort), which writes both",
            )
    return _count(stays), stages


def _count(stays: "pd.DataFrame") -> Counts:
    return Counts(len(stays), stays["hadm_id"].nunique(), frozenset(stays["subject_id"].tolist()))


def _reasons(parameters: CohortParameters, vitals: Sequence[str]) -> dict[str, str]:
    """Step -> why a stay is excluded at it, in words."""
    charted = " and ".join(vital.replace("_", " ") for vital in vitals)
    return {
        "share_of_patients": f"not in the random {parameters.share_of_patients:.3g} of all patients",
        "adult": f"younger than {parameters.minimum_age_years:g} years",
        "first_stay": "not the patient's first ICU stay",
        "stay_length": f"ICU stay shorter than {parameters.minimum_stay_hours:g} hours",
        "definition": "does not meet the definition",
        "charted_values": f"fewer than {parameters.minimum_charted_values} charted values of {charted}",
    }


def draw_consort(cohort: str, everybody: Counts, exclusions: Sequence[tuple[Exclusion, Counts]]) -> str:
    """Return the flow chart as an SVG document.

    exclusions: each step's exclusion with what is left after it. Steps that excluded fewer than 11 patients are
    shown together with a neighbour, without numbers of their own, so that no difference tells their size.
    """
    stages = _merge(exclusions)
    boxes = [_everybody(everybody), *(_left(stage) for stage in stages)]
    sides = [_excluded(stage) for stage in stages]
    boxes[-1] = ["Included", *boxes[-1][1:]]
    words = f"Flow of ICU stays into the cohort {cohort}. " + " ".join(
        f"{' '.join(side)}. {' '.join(box)}." for side, box in zip([["Start"], *sides], boxes, strict=True)
    )
    return _svg(cohort, words, boxes, sides)


def _merge(exclusions: Sequence[tuple[Exclusion, Counts]]) -> list[_Stage]:
    stages: list[_Stage] = []
    for exclusion, left in exclusions:
        stage = _Stage((exclusion.reason,), exclusion.excluded, left)
        # Where few are excluded, or few are left, the difference to the next number would tell how many.
        if stages and (stages[-1].excluded.few or stages[-1].left.few):
            stage = _joined(stages.pop(), stage)
        stages.append(stage)
    while len(stages) > 1 and stages[-1].excluded.few:
        last = stages.pop()
        stages.append(_joined(stages.pop(), last))
    return stages


def _joined(first: _Stage, second: _Stage) -> _Stage:
    excluded = Counts(
        first.excluded.stays + second.excluded.stays,
        first.excluded.admissions + second.excluded.admissions,
        first.excluded.patients | second.excluded.patients,
    )
    return replace(second, reasons=first.reasons + second.reasons, excluded=excluded)


def _numbers(counts: Counts) -> list[str]:
    admissions = f"{counts.admissions:,} admissions, " if counts.admissions else ""
    return [f"{counts.stays:,} ICU stays", f"{admissions}{len(counts.patients):,} patients"]


def _everybody(counts: Counts) -> list[str]:
    return ["All ICU stays of the data set", *_numbers(counts)]


def _left(stage: _Stage) -> list[str]:
    if stage.left.few:
        return ["Left", f"{FEWER} patients"]
    if stage.excluded.few:
        return ["Left", f"all but {FEWER} patients"]
    return ["Left", *_numbers(stage.left)]


def _excluded(stage: _Stage) -> list[str]:
    if stage.excluded.few:
        head = f"Excluded: {FEWER} patients"
    elif stage.left.few:
        head = "Excluded: all others"
    elif not stage.excluded.stays:
        head = "Excluded: none"
    else:
        count = stage.excluded
        head = f"Excluded: {count.stays:,} stays of {len(count.patients):,} patients"
    return [head, *(f"{'– ' * (len(stage.reasons) > 1)}{reason}" for reason in stage.reasons)]


_LINE, _PADDING, _GAP, _WIDTH, _INDENT = 18, 10, 22, 290, 320
_CHARACTERS = 40

_STYLE = """
.consort { --ink: #1b1f24; --muted: #6b7280; --paper: #ffffff; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .consort { --ink: #e6e8eb; --muted: #9aa3ad; --paper: #14171a; } }
.consort rect { fill: var(--paper); stroke: var(--muted); }
.consort .page { stroke: none; }
.consort text { fill: var(--ink); }
.consort .head { font-weight: 600; }
.consort path { fill: none; stroke: var(--muted); stroke-width: 1.2; }
.consort .tip { fill: var(--muted); stroke: none; }
"""


def _svg(cohort: str, words: str, boxes: list[list[str]], sides: list[list[str]]) -> str:
    parts: list[str] = []
    y = 12
    for number, box in enumerate(boxes):
        if number:
            side = _wrapped(sides[number - 1])
            middle = 12 + _WIDTH // 2
            height = _height(side)
            bottom = y + height + 2 * _GAP
            parts += [
                f'<path d="M{middle} {y}V{bottom - 6}"/>',
                f'<path class="tip" d="M{middle - 5} {bottom - 8}h10l-5 8z"/>',
                f'<path d="M{middle} {y + _GAP + height // 2}H{_INDENT - 6}"/>',
                f'<path class="tip" d="M{_INDENT - 8} {y + _GAP + height // 2 - 5}v10l8 -5z"/>',
                _box(_INDENT, y + _GAP, side),
            ]
            y = bottom
        lines = _wrapped(box)
        parts.append(_box(12, y, lines))
        y += _height(lines)
    width, height = _INDENT + _WIDTH + 12, y + 12
    key = re.sub(r"\W", "-", f"consort-{cohort}")  # Several charts may be on one page.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="consort" viewBox="0 0 {width} {height}" width="{width}"'
        f' role="img" aria-labelledby="{key}-title {key}-words">\n'
        f'<title id="{key}-title">{escape(f"Cohort {cohort}")}</title>\n'
        f'<desc id="{key}-words">{escape(words)}</desc>\n'
        f"<metadata>{MADE_BY}</metadata>\n"
        f'<style>{_STYLE}</style>\n<rect class="page" width="{width}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, _CHARACTERS, subsequent_indent="  " * line.startswith("– "))
    ]


def _height(lines: Sequence[str]) -> int:
    return len(lines) * _LINE + 2 * _PADDING


def _box(x: int, y: int, lines: Sequence[str]) -> str:
    texts = []
    for number, line in enumerate(lines):
        kind = "" if number else ' class="head"'
        indent = 6 if line.startswith("  ") else 0
        at = f'x="{x + _PADDING + indent}" y="{y + _PADDING + 13 + number * _LINE}"'
        texts.append(f"<text {at}{kind}>{escape(line.strip())}</text>")
    return f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_height(lines)}" rx="6"/>' + "".join(texts)
