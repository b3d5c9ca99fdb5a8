"""What failed, what is undefined, and what was not run."""

from collections.abc import Sequence

from workflow_scripts.evaluation.names import capital, cohort_name, model_name, run_name, vital_name
from workflow_scripts.evaluation.summary import MISSING
from workflow_scripts.models.registry import family_of
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.study import Study

MOST_SHOWN = 100
"""Rows of a table of failures; the rest is in metrics.csv."""


FOR_ONE_VITAL = "n-hits"
"""The family whose models are each made for one vital sign."""


def gap_section(study: Study, others: Sequence[Section]) -> Section:
    """Failed runs with their reasons, undefined metrics, arms that some vital sign lacks, and empty sections."""
    missing = [row for row in study.rows if row.status == MISSING]
    failed = [row for row in study.rows if row.status not in ("ok", MISSING)]
    undefined = [row for row in study.rows if row.status == "ok" and row.reason]
    absent = _absent(study)
    blocks = []
    for name, heading, lines in (
        (
            "missing",
            f"{len(missing)} of {len(study.rows)} runs have not finished",
            [_line(row) for row in missing],
        ),
        ("failed", f"{len(failed)} of {len(study.rows)} runs failed", [_line(row) for row in failed]),
        ("undefined", f"{len(undefined)} runs with an undefined metric", [_line(row) for row in undefined]),
        ("not-run", f"{len(absent)} arms were not run", absent),
    ):
        if lines:
            note = f"The first {MOST_SHOWN} of {len(lines)}." if len(lines) > MOST_SHOWN else ""
            table = Table(
                name, heading, heads("run", "what happened"), [Group(lines[:MOST_SHOWN])], words=True
            )
            blocks.append(Block(heading, tables=[table], note=note))
    if at_end := _at_an_end(study):
        blocks.append(Block("The tuning ended at an end of its candidates", points=at_end))
    empty = [f"{section.title}: {section.missing}" for section in others if section.missing]
    if empty:
        blocks.append(Block("Parts of this report that are empty", points=empty))
    lead = (
        ""
        if blocks
        else "Every run gave a finite error for every metric, and every part of the report is there."
    )
    return Section("gaps", "What failed or was skipped", blocks, lead)


def _at_an_end(study: Study) -> list[str]:
    """Each model whose arms chose the smallest or the largest learning rate: a better one may be beyond."""
    rates = sorted(study.sources.settings.get("tuning", {}).get("learning_rates", []))
    if len(rates) < 2:
        return []
    points = []
    for model in dict.fromkeys(row.model for row in study.rows):
        chosen = [
            row.learning_rate for row in study.rows if row.model == model and row.learning_rate is not None
        ]
        for word, end in (("smallest", rates[0]), ("largest", rates[-1])):
            if number := chosen.count(end):
                points.append(
                    f"{capital(model_name(model))}: {number} of {len(chosen)} runs chose the {word} learning rate, "
                    f"{end:g}; a better one may be beyond the candidates"
                )
    return points


def _line(row: object) -> Line:
    run = vars(row)
    where = f"{capital(vital_name(run['vital']))}, {cohort_name(run['cohort'])}"
    name = f"{where}: {run_name(run['model'], run['arm'])}, seed {run['seed']}"
    return Line(name, [Cell(run["reason"])], failed=run["status"] != "ok")


def _absent(study: Study) -> list[Line]:
    """Arms that another cohort or vital sign has; models made for one vital sign alone are no gap."""
    wanted = dict.fromkeys((row.model, row.arm) for row in study.rows)
    lines = []
    for task in study.tasks:
        present = {(arm.first.model, arm.first.arm) for arm in task.arms}
        for model, arm in wanted:
            if (model, arm) not in present and family_of(model) != FOR_ONE_VITAL:
                where = f"{capital(vital_name(task.vital))}, {cohort_name(task.cohort)}"
                lines.append(
                    Line(f"{where}: {run_name(model, arm)}", [Cell("not among the runs of this study")])
                )
    return lines
