"""The study's summary: tables of runs, arms and statistics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from workflow_scripts.evaluation.aggregation import arm_metrics, collect_rows, plot_tables, summarise_arms
from workflow_scripts.evaluation.missing_runs import missing_row
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.site_runs import site_rows
from workflow_scripts.evaluation.study_statistics import study_statistics
from workflow_scripts.evaluation.summary import TABLES, RunRow, in_study_order, rows_text
from workflow_scripts.evaluation.transfer import read_transfer, transfer_rows
from workflow_scripts.runtime.files import (
    atomic_folder,
    require_own_file,
    require_own_folder,
    write_json,
    write_text,
)
from workflow_scripts.runtime.step import read_settings, run_step


def aggregate_metrics(
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON); `runs` lists the paths of all run.json, `transfers` "
            "those of all record.json, `site_runs` those of other studies' run.json with which these are "
            "compared, `missing` those records that an unfinished study lacks, each "
            "with its logs, `evaluation` holds the settings of the statistics"
        ),
    ],
    summary: Annotated[
        Path,
        Option(
            help="folder to write: metrics.csv with a row for each run, the tables of statistics, `arms` for "
            "`dvc metrics` and `plots` for `dvc plots` (docs/statistics.md)"
        ),
    ],
    windows: Annotated[
        Path | None, Option(help="folder of the windows, <cohort>/<vital>.parquet; without it no statistics")
    ] = None,
    cohorts: Annotated[
        Path | None,
        Option(
            help="folder of the cohort tables, <cohort>.parquet, which say sex, age and type of ICU; may be "
            "left out"
        ),
    ] = None,
) -> None:
    """Collect all runs into one table, into the files that DVC compares and draws, and into tables of statistics.

    Example:
        python -m workflow_scripts.steps.aggregate_metrics \\
            --settings results/simulated/summary/settings/aggregate_metrics.json \\
            --windows data/simulated/windows --cohorts data/simulated/cohorts --summary summary
    """
    for name, kind in (TABLES | {"metrics": RunRow}).items():
        require_own_file(summary / f"{name}.csv", begins=rows_text(kind, []))
    for name in ("arms", "plots"):
        require_own_folder(summary / name)
    parameters = read_settings(settings)
    paths = [Path(path) for path in parameters["runs"]]
    rows = _rows(paths, parameters.get("missing", {}))
    if windows:
        for name, found in _statistics(parameters, rows, paths, windows, cohorts).items():
            write_text(summary / f"{name}.csv", rows_text(TABLES[name], found))
    arms = summarise_arms(rows)
    with atomic_folder(summary / "arms") as folder:
        for name, values in arm_metrics(arms).items():
            write_json(folder / name, values)
    with atomic_folder(summary / "plots") as folder:
        for name, text in plot_tables(arms).items():
            (folder / name).write_text(text, encoding="utf-8")
    write_text(summary / "metrics.csv", rows_text(RunRow, rows))


def _rows(paths: Sequence[Path], missing: Mapping[str, Sequence[str]]) -> list[RunRow]:
    """The rows of all runs; `missing` names the records that an unfinished study lacks, and the logs that say why."""
    finished = collect_rows([path for path in paths if str(path) not in missing])
    lacking = [
        missing_row(Path(path), [Path(log) for log in logs], finished) for path, logs in missing.items()
    ]
    return in_study_order([*finished, *lacking])


def _statistics(
    settings: Mapping[str, Any],
    rows: Sequence[RunRow],
    paths: Sequence[Path],
    windows: Path,
    cohorts: Path | None,
) -> dict[str, Any]:
    """The rows of every table of statistics by its name."""
    # collect_rows has checked that a record's folder has its run's name.
    named = {path.absolute().parts[-6:-1]: path.parent for path in paths}
    folders = {row: named[row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}"] for row in rows}
    parameters = EvaluationParameters(**settings.get("evaluation", {}))
    found = dict(vars(study_statistics(rows, folders, windows, parameters, cohorts)))
    records = [read_transfer(Path(path)) for path in settings.get("transfers", [])]
    with_sites = folders | site_rows([Path(path) for path in settings.get("site_runs", [])], folders)
    return found | {"transfer": transfer_rows(records, with_sites, windows, parameters)}


if __name__ == "__main__":
    run_step(aggregate_metrics)
