"""Where the numbers come from: commit, hashes, versions, machine, and the parameters that differ from the default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.names import cohort_name, listed, model_name, vital_name
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.reporting.page import Block, Section, facts_table
from workflow_scripts.reporting.study import Study

MACHINE = {
    "processor": "{}",
    "cores": "{} cores",
    "memory_gib": "{} GiB of memory",
    "gpu": "{}",
    "system": "{}",
    "forked": "forked from a process that had loaded the libraries",
}
"""What is known of a machine, in words."""


def provenance_section(study: Study) -> Section:
    """Facts, changed parameters, and all settings. Raises UserError where the latest run's record is missing."""
    sources = study.sources
    latest = _latest_record(study.rows, sources.runs)
    settings = {name: value for name, value in sources.settings.items() if name != "changed"}
    changed = flat(sources.settings.get("changed", {}))
    blocks = [
        Block(tables=[facts_table("provenance", "Where the numbers come from", _facts(study.rows, latest))])
    ]
    heading = "Parameters that differ from the default"
    if changed:
        blocks.append(Block(heading, tables=[facts_table("changed", heading, changed)]))
    elif "changed" in sources.settings:
        blocks.append(Block(heading, "None."))
    if settings:
        folded = facts_table(
            "settings", "Settings of this report and its runs", flat(settings), "All settings"
        )
        blocks.append(Block(tables=[folded]))
    return Section("provenance", "Provenance", blocks)


def _latest_record(rows: Sequence[RunRow], runs: Path) -> RunRecord:
    row = max(rows, key=lambda row: row.finished_at)
    return RunRecord.read_in_place(
        runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}", "run.json")
    )


def _facts(rows: Sequence[RunRow], latest: RunRecord) -> list[tuple[str, str]]:
    machine = _machine(latest.machine)
    finished = sorted(row.finished_at for row in rows if row.finished_at)
    facts = [
        ("runs", f"{len(finished)}, finished {_time(finished[0])} to {_time(finished[-1])} UTC"),
        ("git commit", _distinct([_commit(row.git_commit) for row in rows], "commits")),
    ]
    # Models of one family share their code, so each family has a hash of its own.
    for codes, models in _by_code(rows).items():
        facts.append((f"code of {listed(models)}", _distinct(codes, "versions")))
    for cohort, vital in dict.fromkeys((row.cohort, row.vital) for row in rows):
        hashes = [row.windows_hash for row in rows if (row.cohort, row.vital) == (cohort, vital)]
        facts.append(
            (f"windows of {vital_name(vital)}, {cohort_name(cohort)}", _distinct(hashes, "versions"))
        )
    for model in dict.fromkeys(row.model for row in rows if row.weights_hash):
        hashes = [row.weights_hash for row in rows if row.model == model]
        facts.append((f"weights of {model_name(model)}", _distinct(hashes, "versions")))
    return [*facts, ("versions", _pairs(latest.versions)), ("machine of the last run", machine)]


def _by_code(rows: Sequence[RunRow]) -> dict[tuple[str, ...], list[str]]:
    """Hashes of the code -> the models whose runs have just these."""
    models: dict[tuple[str, ...], list[str]] = {}
    for model in dict.fromkeys(row.model for row in rows):
        hashes = tuple(sorted({row.code_hash for row in rows if row.model == model}))
        models.setdefault(hashes, []).append(model_name(model))
    return models


def _distinct(values: Sequence[str], kind: str) -> str:
    """The values that there are; where they are several, that they are mixed."""
    known = sorted({value for value in values if value})
    mixed = f"{len(known)} {kind} are mixed: " if len(known) > 1 else ""
    return mixed + (", ".join(known) or "unknown")


def _commit(commit: str) -> str:
    """`4aee819, with changes that were not committed` for 4aee819-dirty."""
    clean = commit.removesuffix("-dirty")
    return clean if clean == commit else f"{clean} with changes that were not committed"


def _time(finished_at: str) -> str:
    """`2026-05-16 12:00` for 2026-05-16T12:00:31+00:00."""
    return finished_at[:16].replace("T", " ")


def _machine(machine: Mapping[str, Any]) -> str:
    known = {name: value for name, value in machine.items() if value not in (None, "", False)}
    return ", ".join(MACHINE.get(name, f"{name} {{}}").format(value) for name, value in known.items())


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
