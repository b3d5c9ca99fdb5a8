"""Runs of other studies that take part in this one's transfers, held against the study's own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from workflow_scripts.evaluation.aggregation import run_row
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.runtime.errors import UserError


def site_rows(paths: Sequence[Path], own: Mapping[RunRow, Path]) -> dict[RunRow, Path]:
    """Return the row of every run.json, with the site as its cohort (`eicu-demo.all`), and its folder.

    own: the study's rows and folders. Raises UserError where a site's run was made with other settings than the study's
    run of that model and arm: a difference would then not be the site's.
    """
    records = [(path, RunRecord.read_in_place(path)) for path in paths]
    ours = {_subject(row): folder / "run.json" for row, folder in own.items()} if paths else {}
    rows: dict[RunRow, Path] = {}
    for path, record in records:
        row = run_row(record)
        own_record = ours.get(_subject(row))
        if own_record and own_record.is_file():
            _refuse_other_settings(path, record, RunRecord.read(own_record))
        rows[replace(row, cohort=f"{row.dataset}.{row.cohort}")] = path.parent
    return rows


def _subject(row: RunRow) -> tuple[str, str, str, int]:
    return row.vital, row.model, row.arm, row.seed


def _refuse_other_settings(path: Path, theirs: RunRecord, ours: RunRecord) -> None:
    groups = sorted(
        name
        for name in {*theirs.settings, *ours.settings}
        if theirs.settings.get(name) != ours.settings.get(name)
    )
    if groups:
        raise UserError(
            str(path),
            f"a run with other settings than this study's: {', '.join(groups)}",
            "the same settings in both studies",
            f"run the study of {theirs.key.dataset} again with this study's settings",
        )
