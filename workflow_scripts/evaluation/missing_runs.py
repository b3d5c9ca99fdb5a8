"""Rows of runs that did not finish: named in every table, with the reason that their logs give."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.summary import MISSING, RunRow
from workflow_scripts.models.registry import family_of

SHARED_BY_A_PART = ("train_windows", "validation_windows", "test_windows", "test_patients")
"""Columns that all runs of one cohort and vital sign have in common."""

ERROR, FOUND = "error: ", "  found: "


def missing_row(record: Path, logs: Sequence[Path], finished: Iterable[RunRow]) -> RunRow:
    """The row of a run without a record: its name, what its part of the study shares, no value, and the reason.

    record: where the record would be, results/<dataset>/runs/<cohort>/<vital>/<model>/<arm>/seed<k>/run.json.
    logs: of the run and of the steps before it; the first that ends with an error gives the reason.
    """
    dataset, _, cohort, vital, model, arm, seed = record.absolute().parts[-8:-1]
    sibling = next((run for run in finished if (run.cohort, run.vital) == (cohort, vital)), None)
    columns: dict[str, Any] = {field.name: "" if field.type is str else None for field in fields(RunRow)}
    columns |= {name: getattr(sibling, name) for name in SHARED_BY_A_PART if sibling}
    columns |= {"dataset": dataset, "cohort": cohort, "vital": vital, "model": model, "arm": arm}
    columns |= {"seed": int(seed.removeprefix("seed")), "rank": Arm.parse(arm).rank}
    columns["family"] = family_of(model)
    return RunRow(**columns | {"status": MISSING, "reason": _reason(logs)})


def _reason(logs: Sequence[Path]) -> str:
    for log in logs:
        if log.is_file() and (found := _last_error(log.read_text(encoding="utf-8", errors="replace"))):
            return f"not finished: {found}"
    return "not finished: the run has no record and its log names no error"


def _last_error(log: str) -> str:
    """Place and finding of the last error that a step printed for its user; empty where there is none.

    Nothing else of a log is repeated: only these messages are known to hold no value of a patient.
    """
    lines = log.splitlines()
    for at in range(len(lines) - 2, -1, -1):
        if lines[at].startswith(ERROR) and lines[at + 1].startswith(FOUND):
            return f"{lines[at].removeprefix(ERROR)}: {lines[at + 1].removeprefix(FOUND).strip()}"
    return ""
