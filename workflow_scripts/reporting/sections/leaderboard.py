"""The leaderboard: every arm over all vital signs and cohorts."""

from collections.abc import Sequence

from workflow_scripts.evaluation.names import capital, counted, model_name, run_name
from workflow_scripts.evaluation.summary import LeaderboardRow
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Signs, Table, heads
from workflow_scripts.reporting.study import Study
from workflow_scripts.reporting.words import number, percent, signed_percent, span

METRICS = {"wql": "weighted quantile loss", "mae": "MAE", "mse": "MSE"}
"""Metrics that the page shows, the first unfolded; leaderboard.csv has all."""

LEAD = (
    "Skill: by how much the error is smaller than that of {baseline}, a geometric mean over {tasks}. Win rate: share "
    "of the other arms that are beaten. Intervals of two arms can overlap though their paired difference is claimed."
)


def leaderboard_section(study: Study) -> Section:
    """A sortable table for each metric."""
    rows = study.sources.leaderboard
    shown = {metric: [row for row in rows if row.metric == metric] for metric in METRICS}
    drawn = f"{study.sources.statistics.confidence} intervals over patients, drawn once for all"
    signs: Signs = {"below": drawn} if any(row.win_rate_low is not None for row in rows) else {}
    blocks = [
        Block(tables=[_table(own, metric, place > 0)], signs={} if place else signs)
        for place, (metric, own) in enumerate(shown.items())
        if own
    ]
    if not blocks:
        missing = "There is no leaderboard (leaderboard.csv), or no arm is in every vital sign and cohort."
        return Section("leaderboard", "Leaderboard", [], missing=missing)
    first = next(row for own in shown.values() for row in own)
    lead = LEAD.format(
        baseline=model_name(first.baseline),
        tasks=counted(first.tasks, "vital sign and cohort")
        if first.tasks == 1
        else f"{first.tasks} pairs of vital sign and cohort",
    )
    return Section(
        "leaderboard", "Leaderboard", blocks, f"{lead}{f' {capital(first.reason)}.' if first.reason else ''}"
    )


def _table(rows: Sequence[LeaderboardRow], metric: str, folded: bool) -> Table:
    names = ("model and arm", "skill", "win rate", "mean rank", "failed")
    return Table(
        f"leaderboard-{metric}",
        f"Leaderboard by {METRICS[metric]}",
        heads(*names),
        [Group([_line(row) for row in rows])],
        f"By {METRICS[metric]}" if folded else "",
        sortable=True,
    )


def _line(row: LeaderboardRow) -> Line:
    skill = "–" if row.skill is None else signed_percent(row.skill)
    ends = ""
    if row.skill_low is not None and row.skill_high is not None:
        ends = f"{signed_percent(row.skill_low)} to {signed_percent(row.skill_high)}"
    wins = ""
    if row.win_rate_low is not None and row.win_rate_high is not None:
        wins = f"{percent(row.win_rate_low)} to {percent(row.win_rate_high)}"
    cells = [
        Cell(skill, ends),
        Cell(percent(row.win_rate), wins),
        Cell(number(row.mean_rank, 1), span(row.mean_rank_low, row.mean_rank_high, 1)),
        Cell(str(row.failures)),
    ]
    return Line(capital(run_name(row.model, row.arm)), cells)
