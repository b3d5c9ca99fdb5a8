"""What the summary's statistics say, in the words of the report: never more than an interval shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import ceil

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import ComparisonRow, IntervalRow, RankRow
from workflow_scripts.reporting.words import (
    arm_name,
    capital,
    method_name,
    model_name,
    percent,
    probability,
    signed,
    signed_span,
    subject,
)

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

    @cached_property
    def _intervals(self) -> dict[tuple[str, str, str, str, str], IntervalRow]:
        return {(row.cohort, row.vital, row.model, row.arm, row.metric): row for row in self.intervals}


@dataclass(frozen=True)
class ComparisonLine:
    """One planned comparison as text; verdict is `lower`, `higher` or that neither can be said."""

    arm: str
    against: str
    difference: str
    interval: str
    p_value: str
    wins: str
    verdict: str


@dataclass(frozen=True)
class ComparisonPart:
    """The planned comparisons of one cohort and vital sign, and what they come to."""

    sentence: str
    lines: list[ComparisonLine]


def comparison_part(statistics: Statistics, cohort: str, vital: str) -> ComparisonPart | None:
    """The comparisons of MSE; None where none was planned."""
    rows = [
        row for row in statistics.comparisons if (row.cohort, row.vital, row.metric) == (cohort, vital, "mse")
    ]
    if not rows:
        return None
    level = 1 - statistics.parameters.confidence
    return ComparisonPart(_family_sentence(rows, statistics), [_line(row, level) for row in rows])


def _family_sentence(rows: Sequence[ComparisonRow], statistics: Statistics) -> str:
    level = 1 - statistics.parameters.confidence
    tested = [row for row in rows if row.p_holm is not None]
    sentence = (
        f"{len(rows)} comparison{'s' * (len(rows) > 1)} of MSE {'were' if len(rows) > 1 else 'was'} planned"
    )
    if len(tested) < len(rows):
        sentence += f", {len(rows) - len(tested)} could not be made"
    if tested:
        told = [row for row in tested if _told_apart(row, level)]
        lower = sum((row.difference or 0) < 0 for row in told)
        sentence += (
            f". After Holm's correction at {100 * level:g} %, the first arm's error is lower in {lower} and higher "
            f"in {len(told) - lower}; the other {len(tested) - len(told)} are not told apart"
        )
        if 2 * len(rows) / (statistics.parameters.resamples + 1) > level:
            sentence += (
                f". With {statistics.parameters.resamples:,} resamples no p-value can be small enough for so many "
                f"comparisons: evaluation.resamples must be at least {ceil(2 * len(rows) / level):,}"
            )
    return f"{sentence}."


def _told_apart(row: ComparisonRow, level: float) -> bool:
    return row.p_holm is not None and row.p_holm <= level and (row.low or 0) * (row.high or 0) > 0


def _line(row: ComparisonRow, level: float) -> ComparisonLine:
    arm = capital(subject(row.model, row.arm))
    own = row.against_model == row.model
    against = arm_name(row.against_arm) if own else subject(row.against_model, row.against_arm)
    if row.low is None or row.high is None or row.p_holm is None:
        difference = "–" if row.difference is None else signed(row.difference * 1e4)
        return ComparisonLine(arm, against, difference, "–", "–", "–", row.reason)
    verdict = "not told apart"
    if _told_apart(row, level):
        verdict = "lower" if (row.difference or 0) < 0 else "higher"
    return ComparisonLine(
        arm=arm,
        against=against,
        difference=signed((row.difference or 0) * 1e4),
        interval=signed_span(row.low * 1e4, row.high * 1e4),
        p_value=probability(row.p_holm),
        wins=percent(row.win_rate or 0),
        verdict=verdict,
    )


@dataclass(frozen=True)
class RankLine:
    """One model and method: the smallest good rank, and the share of resamples that choose each rank."""

    subject: str
    chosen: int | None
    shares: list[str]
    reason: str


@dataclass(frozen=True)
class RankPart:
    """The rank thresholds of one cohort and vital sign."""

    margin: str
    ranks: list[int]
    lines: list[RankLine]


def rank_part(statistics: Statistics, cohort: str, vital: str) -> RankPart | None:
    """Which rank is good enough for MSE, and how often resamples say so; None where ranks are not compared."""
    rows = [row for row in statistics.ranks if (row.cohort, row.vital, row.metric) == (cohort, vital, "mse")]
    if not rows:
        return None
    ranks = sorted({row.rank for row in rows})
    groups = groupby(rows, key=lambda row: (row.model, row.method))
    lines = [
        _rank_line(f"{capital(model_name(model))}, {method_name(method)}", ranks, list(group))
        for (model, method), group in groups
    ]
    return RankPart(f"{100 * rows[0].margin:g} %", ranks, lines)


def _rank_line(subject: str, ranks: Sequence[int], rows: Sequence[RankRow]) -> RankLine:
    own = {row.rank: row for row in rows}
    chosen = next((row.rank for row in rows if row.threshold and not row.reason), None)
    return RankLine(
        subject, chosen, [_share(own[rank]) if rank in own else "–" for rank in ranks], rows[0].reason
    )


def _share(row: RankRow) -> str:
    return "–" if row.share is None else percent(row.share)
