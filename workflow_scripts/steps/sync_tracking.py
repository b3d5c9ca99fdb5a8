"""The study's runs, mirrored in MLflow."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from typer import Option

from workflow_scripts.models.registry import is_stand_in
from workflow_scripts.reporting.experiment_pages import experiment_description, experiment_views
from workflow_scripts.reporting.run_pages import data_kind, run_contents
from workflow_scripts.reporting.sweep_pages import model_description, model_name, sweep_contents
from workflow_scripts.reporting.sweeps import Sweep, sweep_keys
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, write_json
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.parameters import TrackingParameters
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.tracking.contents import Contents
from workflow_scripts.tracking.mirror import FinishedRun, Mirror
from workflow_scripts.tracking.names import key_text, sweep_key
from workflow_scripts.tracking.registry import register
from workflow_scripts.tracking.store import initialise, unusable
from workflow_scripts.tracking.views import VIEW

LOG = logging.getLogger(__name__)


def sync_tracking(
    settings: Annotated[
        Path,
        Option(
            help="settings file of this step (JSON): `dataset`, `tracking` as in params.yaml, and `runs`, "
            "the paths of all run.json of the study; those that are not there yet count as unfinished"
        ),
    ],
    windows: Annotated[
        Path | None,
        Option(help="folder of the windows, <cohort>/<vital>.parquet, for figures of runs that MLflow lacks"),
    ] = None,
    output: Annotated[
        Path | None, Option(help="JSON to write: how many runs and sweeps MLflow shows")
    ] = None,
) -> None:
    """Bring MLflow up to date with the records of finished runs, each exactly once.

    Runs that MLflow lacks (it was down, locked or emptied) are made from run.json with their artifacts; runs that it
    shows already stay as they are; what a dead process left open is closed. Each sweep then shows what was chosen on
    validation, and its best adapter is registered under the alias `best`. Run again, it changes nothing.

    Example:
        python -m workflow_scripts.steps.sync_tracking \\
            --settings results/simulated/summary/settings/sync_tracking.json --output tracking.json
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    shown = sync(read_settings(settings), windows)
    if output:
        write_json(output, shown)


def sync(settings: Mapping[str, Any], windows: Path | None = None) -> dict[str, Any]:
    """Do the step's work; return how many runs and sweeps MLflow shows.

    windows: folder of the windows, for the figures of runs that are made anew; without it they get none.

    Raises UserError where the store cannot be used.
    """
    tracking = TrackingParameters(**settings["tracking"])
    paths = [Path(path) for path in settings["runs"]]
    if not tracking.uri:
        return {"experiment_id": None, "runs": 0, "sweeps": 0}
    experiment_id = initialise(tracking.uri, settings["dataset"])
    try:
        mirror = Mirror(tracking.uri, experiment_id)
        sweeps = _mirror_study(mirror, settings["dataset"], paths, windows)
        for sweep in sweeps:
            _register(mirror, sweep, tracking.private)
    except Exception as error:
        raise unusable(tracking.uri, error) from error
    LOG.info(
        "MLflow shows %d runs in %d sweeps; %d entries written", len(mirror.runs), len(sweeps), mirror.written
    )
    return {"experiment_id": experiment_id, "runs": len(mirror.runs), "sweeps": len(sweeps)}


def _mirror_study(mirror: Mirror, dataset: str, paths: Sequence[Path], windows: Path | None) -> list[Sweep]:
    keys = sweep_keys(dataset, paths)
    mirror.add_sweeps(keys)
    records: dict[str, list[Any]] = {key_text(key): [] for key in keys}
    for path in paths:
        if path.is_file():
            record = read_json(path)
            mirror.add_run(_finished_run(record, path.parent, windows))
            records[key_text(sweep_key(record["key"]))].append(record)
    sweeps = [
        Sweep(
            key=key,
            records=records[key_text(key)],
            expected=sum(path.parts[-6:-3] == (key["cohort"], key["vital"], key["model"]) for path in paths),
            run_ids=mirror.runs,
            stand_in=is_stand_in(key["model"]),
        )
        for key in keys
    ]
    for sweep in sweeps:
        contents = sweep_contents(sweep, mirror.experiment_id)
        times = [_times(record) for record in sweep.records]
        mirror.show_sweep(sweep.key, contents, max((ended for _, ended in times), default=0), sweep.done)
    vitals = list(dict.fromkeys(key["vital"] for key in keys))
    mirror.show_experiment(
        experiment_views(vitals),
        f"{VIEW}vitalora-",
        experiment_description(sweeps, mirror.experiment_id, dataset),
    )
    mirror.remove_leftovers()
    return sweeps


def _finished_run(record: Mapping[str, Any], folder: Path, windows: Path | None) -> FinishedRun:
    started, ended = _times(record)
    return FinishedRun(
        key=record["key"],
        record=file_hash(folder / "run.json"),
        started=started,
        ended=ended,
        contents=partial(_contents, record, folder, windows),
    )


@contextmanager
def _contents(record: Mapping[str, Any], folder: Path, windows: Path | None) -> Iterator[Contents]:
    """The run's page, with its figures for as long as the block lasts."""
    key = record["key"]
    with TemporaryDirectory() as name:
        figures = Path(name)
        source = windows and windows / key["cohort"] / f"{key['vital']}.parquet"
        if source and source.is_file():
            try:
                _draw(record, folder, source, figures)
            except (
                UserError
            ) as error:  # Windows or forecasts of another version: the numbers stand all the same.
                LOG.warning("no figures of %s: %s", folder, error.found)
        yield run_contents(record, folder, is_stand_in(key["model"]), figures)


def _draw(record: Mapping[str, Any], folder: Path, source: Path, figures: Path) -> None:
    """The figures that the run itself would have drawn."""
    from workflow_scripts.evaluation.forecasts import read_test_forecasts
    from workflow_scripts.reporting.run_figures import draw_run_figures
    from workflow_scripts.windows.reading import read_windows

    test = read_windows(source, ("test",))
    quantiles, levels = read_test_forecasts(folder / "forecasts.parquet", test)
    median = quantiles[:, levels.index(0.5)]
    draw_run_figures(figures, record["training"], test.target, median, test.metadata.unit)


def _register(mirror: Mirror, sweep: Sweep, private: bool) -> None:
    """Register the sweep's best adapter, unless the data forbid it."""
    best = sweep.best_adapter()
    if best is None or not sweep.done:
        return
    if data_kind(str(sweep.key["dataset"])) == "credentialed" and not private:
        LOG.info("%s: not registered, trained on credentialed data (tracking.private)", model_name(sweep.key))
        return
    mirror.written += register(
        mirror.client,
        model_name(sweep.key),
        sweep.run_id(best),
        "adapter",
        model_description(sweep, best, mirror.experiment_id),
    )


def _times(record: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end of a run, in milliseconds since 1970."""
    ended = datetime.fromisoformat(record["finished_at"]).timestamp()
    return int((ended - record["seconds"]["total"]) * 1000), int(ended * 1000)


if __name__ == "__main__":
    run_step(sync_tracking)
