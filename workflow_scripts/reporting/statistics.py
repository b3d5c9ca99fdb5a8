"""What the summary's statistics say, as sentences and tables of the report: never more than an interval shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import ceil
from typing import Literal

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.names import arm_name, capital, counted, method_name, model_name, run_name
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import ComparisonRow, IntervalRow, RankRow
from workflow_scripts.reporting.page import Cell, Group, Line, Table, heads
from workflow_scripts.reporting.words import percent, probability, signed, signed_span

Verdict = Literal["lower", "higher", "same", "open", "missing"]

FEW_PATIENTS = 40
"""Below so many, percentile intervals are clearly too narrow: docs/statistics.md has the measured coverage."""

FEW_SEEDS = 5
"""The same for what another seed would change."""


@dataclass(frozen=True)
class Statistics:
    """The tables of intervals, comparisons and rank thresholds, and the settings behind them."""

    intervals: Sequence[IntervalRow] = ()
    comparisons: Sequence[ComparisonRow] = ()
    ranks: Sequence[RankRow] = ()
    parameters: EvaluationParameters = field(default_factory=EvaluationParameters)

    def interval(self, arm: ArmSummary, metric: str) -> IntervalRow | None:
        """The row of an arm and a metric; None where there are no statistics."""
        run = arm.first
        return self._intervals.get((run.cohort, run.vital, run.model, run.arm, metric))

    @property
    def confidence(self) -> str:
        """The confidence of the intervals in words: 95 %."""
        return f"{100 * self.parameters.confidence:g} %"

    @property
    def level(self) -> float:
        """The p-value, after correction, up to which a difference is claimed."""
        return 1 - self.parameters.confidence

    @cached_property
    def _intervals(self) -> dict[tuple[str, str, str, str, str], IntervalRow]:
        return {(row.cohort, row.vital, row.model, row.arm, row.metric): row for row in self.intervals}


def claim(row: ComparisonRow, level: float) -> Verdict:
    """Which way the arm's error differs, by its interval and its corrected p-value together."""
    if row.low is None or row.high is None or row.p_holm is None:
        return "missing"
    if row.low == row.high == 0:
        return "same"
    if row.p_holm <= level and row.high < 0:
        return "lower"
    if row.p_holm <= level and row.low > 0:
        return "higher"
    return "open"


def comparison_sentence(rows: Sequence[ComparisonRow], statistics: Statistics) -> str:
    """What the planned comparisons of one cohort and vital sign come to."""
    level, resamples = statistics.level, statistics.parameters.resamples
    claims = [claim(row, level) for row in rows]
    lower, higher, missing = (claims.count(verdict) for verdict in ("lower", "higher", "missing"))
    sentence = f"{counted(len(rows), 'comparison')} of MSE {'were' if len(rows) > 1 else 'was'} planned"
    if missing:
        sentence += f", {missing} could not be made"
    if missing < len(rows):
        sentence += (
            f". After Holm's correction at {100 * level:g} %, the first arm's error is lower in {lower} and higher "
            f"in {higher}; the other {len(rows) - missing - lower - higher} are inconclusive"
        )
        if 2 * len(rows) / (resamples + 1) > level:
            sentence += (
                f". With {resamples:,} resamples no p-value can be small enough for so many comparisons: "
                f"evaluation.resamples must be at least {ceil(2 * len(rows) / level):,}"
            )
    return f"{sentence}."


def comparison_table(title: str, rows: Sequence[ComparisonRow], statistics: Statistics) -> Table:
    """The planned comparisons of one cohort and vital sign, a line each."""
    names = ("arm", "against", "difference, MSE × 10⁻⁴", f"{statistics.confidence} interval", "p (Holm)")
    return Table(
        "comparisons",
        f"Planned comparisons, {title}",
        heads(*names, "patients better", "the arm's error"),
        [Group([_comparison(row, statistics.level) for row in rows])],
        "All planned comparisons",
    )


def _comparison(row: ComparisonRow, level: float) -> Line:
    own = row.against_model == row.model
    against = arm_name(row.against_arm) if own else run_name(row.against_model, row.against_arm)
    difference = "–" if row.difference is None else signed(row.difference * 1e4)
    numbers, verdict = ["–", "–", "–"], Cell(row.reason)
    if row.low is not None and row.high is not None and row.p_holm is not None:
        interval = signed_span(row.low * 1e4, row.high * 1e4)
        numbers = [interval, probability(row.p_holm), percent(row.win_rate or 0)]
        said = claim(row, level)
        verdict = Cell("inconclusive") if said not in CLAIMED else Cell(said, mark=CLAIMED[said])
    cells = [Cell(text) for text in (against, difference, *numbers)]
    return Line(capital(run_name(row.model, row.arm)), [*cells, verdict])


CLAIMED = {"lower": "good", "higher": "bad"}
"""Verdicts that are claimed, and their marks."""


def rank_thresholds(rows: Sequence[RankRow]) -> dict[str, list[RankRow]]:
    """Model and method in words -> the rows of its ranks."""
    groups = groupby(rows, key=lambda row: (row.model, row.method))
    return {
        f"{capital(model_name(model))}, {method_name(method)}": list(own) for (model, method), own in groups
    }


def chosen_rank(rows: Sequence[RankRow]) -> int | None:
    """The smallest rank of a model and method that is good enough; None where there is a reason against it."""
    return next((row.rank for row in rows if row.threshold and not row.reason), None)
