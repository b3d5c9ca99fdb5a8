"""Where the numbers come from: commit, hashes, versions, machine, and the parameters that differ from the default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.run_records import RunRecord, read_run_record
from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.reporting.page import Block, Section, facts_table
from workflow_scripts.reporting.parts import Study
from workflow_scripts.reporting.words import cohort_name, model_name, vital_name


def provenance_section(study: Study) -> Section:
    """Facts, changed parameters, and all settings. Raises UserError where the latest run's record is missing."""
    sources = study.sources
    latest = _latest_record(study.rows, sources.runs)
    settings = {name: value for name, value in sources.settings.items() if name != "changed"}
    changed = flat(sources.settings.get("changed", {}))
    blocks = [Block(tables=[facts_table("Where the numbers come from", _facts(study.rows, latest))])]
    heading = "Parameters that differ from the default"
    if changed:
        blocks.append(Block(heading, tables=[facts_table(heading, changed)]))
    elif "changed" in sources.settings:
        blocks.append(Block(heading, "None."))
    if settings:
        folded = facts_table("Settings of this report and its runs", flat(settings), "All settings")
        blocks.append(Block(tables=[folded]))
    return Section("provenance", "Provenance", blocks)


def _latest_record(rows: Sequence[RunRow], runs: Path) -> RunRecord:
    row = max(rows, key=lambda row: row.finished_at)
    return read_run_record(
        runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}", "run.json")
    )


def _facts(rows: Sequence[RunRow], latest: RunRecord) -> list[tuple[str, str]]:
    def distinct(values: Sequence[str]) -> str:
        return ", ".join(sorted({value for value in values if value})) or "unknown"

    machine = latest.machine if isinstance(latest.machine, str) else _pairs(latest.machine)
    finished = sorted(row.finished_at for row in rows if row.finished_at)
    facts = [
        ("runs", f"{len(finished)}, finished {finished[0]} to {finished[-1]}"),
        ("git commit", distinct([row.git_commit for row in rows])),
        ("code", distinct([row.code_hash for row in rows])),
    ]
    for cohort, vital in dict.fromkeys((row.cohort, row.vital) for row in rows):
        hashes = [row.windows_hash for row in rows if (row.cohort, row.vital) == (cohort, vital)]
        facts.append((f"windows of {vital_name(vital)}, {cohort_name(cohort)}", distinct(hashes)))
    for model in dict.fromkeys(row.model for row in rows if row.weights_hash):
        hashes = [row.weights_hash for row in rows if row.model == model]
        facts.append((f"weights of {model_name(model)}", distinct(hashes)))
    return [*facts, ("versions", _pairs(latest.versions)), ("machine of the last run", machine)]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, ""))


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Path and value of every setting."""
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{prefix}{name}.")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs.append((f"{prefix}{name}", shown))
    return pairs
